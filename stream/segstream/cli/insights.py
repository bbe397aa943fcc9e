"""`segstream insights`: what each segment buys, live."""

import asyncio
from pathlib import Path

import click

from segstream.adapters.product_names import read_product_names
from segstream.cli.options import Watching, watch_options
from segstream.cli.roles import role_options, role_settings, until_stopped
from segstream.kafka_settings import kafka_extra
from segstream.logs import set_up
from segstream.main_job import with_products

# Counting goes on in a thread; what it counted is lost, and counted again.
_STOP_S = 15.0


@click.command()
@role_options
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("insights"),
    show_default=True,
    help="The role's own directory: what was bought, who is where, and the positions.",
)
@click.option("--every", "every_s", type=click.FloatRange(0.1), default=10.0, show_default=True,
              help="Seconds between two tables in Redis.")  # fmt: skip
@click.option("--days", type=click.IntRange(0), default=0,
              help="Days of event time counted; insights.days where absent.")  # fmt: skip
@click.option("--products", metavar="FILE", help="CSV with product names.")
@watch_options
def insights(
    bootstrap: str | None, redis: str, namespace: str | None, instance: str | None,
    config: Path | None, state: Path, every_s: float, days: int, products: str | None,
    watching: Watching,
) -> None:  # fmt: skip
    """Count what each segment buys, and keep the newest table in Redis.

    Reads transactions and segment changes with a consumer group of its own. Killed and started
    again it goes on where its directory stands; nothing is lost or counted twice.

    \b
    Example:
      segstream insights --config shop.toml --state insights --products products.csv
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    settings = with_products(role_settings(config, bootstrap, namespace), products)
    names = read_product_names(settings.insights)
    with kafka_extra():
        from segstream.adapters.kafka_insights import InsightsOptions, KafkaInsights
        from segstream.adapters.metrics_server import serving
        from segstream.adapters.outages import LastExit
        from segstream.metrics import Metrics

    set_up(watching.log_format)
    metrics = Metrics("insights")
    options = InsightsOptions(redis, state, every_s, days, instance, names)
    role = KafkaInsights(settings, options, metrics)
    with serving(metrics, [role.lacks], watching.host, watching.port), LastExit(_STOP_S) as last:
        asyncio.run(until_stopped(role, last))
