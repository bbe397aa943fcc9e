"""The producers' command line."""

import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from segstream.errors import SegstreamError
from segstream.kafka_settings import KafkaSettings, kafka_extra
from segstream_producers.console import progress_bar, stop_on_signal
from segstream_producers.datasets.tables import TABLES
from segstream_producers.feeds import (
    COMPLETE_JOURNEY,
    NAMES,
    PRODUCTS,
    SYNTHETIC,
    open_feed,
    write_dataset,
    write_product_table,
    write_synthetic,
    write_tables,
)
from segstream_producers.pacing import parse_speed
from segstream_producers.synthetic.feed import Counts
from segstream_producers.synthetic.options import (
    plan_of,
    refuse_synthetic_options,
    synthetic_options,
    write_truth,
)

__all__ = ["COMPLETE_JOURNEY", "main", "producers"]

_FROM: Final = "Folder or file of a data set that is not ours to ship."
_NO_LIMIT: Final = 1 << 62


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="segstream")
def producers() -> None:
    """Make feeds: public data sets as event files, and files as Kafka messages."""


@producers.command()
@click.argument("dataset", type=click.Choice([*NAMES, PRODUCTS]))
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--from", "where", type=click.Path(path_type=Path), help=_FROM)
@synthetic_options
def write(dataset: str, path: Path, where: Path | None, **options: Any) -> None:
    """Write a data set as a file: raw rows, or events where its files are your own.

    The feed `synthetic` is made as it would arrive: planted segments, drift, faults, a truth file.

    \b
    Examples:
      segstream-producers write complete-journey complete-journey.jsonl
      segstream-producers write complete-journey-products products.csv
      segstream-producers write total-value events.jsonl --from total_value/
      segstream-producers write synthetic feed.jsonl --drift abrupt --truth truth.jsonl
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    if dataset == PRODUCTS:
        click.echo(write_product_table(path))
        return
    if dataset != SYNTHETIC:
        refuse_synthetic_options(click.get_current_context(), dataset)
        if dataset in TABLES:
            click.echo(write_tables(dataset, where, path))
        elif where is None:
            click.echo(write_dataset(dataset, path))
        else:
            raise click.UsageError(f"--from goes with one of {', '.join(sorted(TABLES))}")
        return
    if where is not None:
        raise click.UsageError("--from means nothing to the feed `synthetic`")
    plan, counts = plan_of(options), Counts()
    click.echo(write_synthetic(plan, path, counts))
    if options["truth"] is not None:
        write_truth(options["truth"], plan, counts)


def _broker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    given = (
        click.option(
            "--bootstrap", envvar="SEGSTREAM_KAFKA", metavar="HOST:PORT",
            help="Brokers; $SEGSTREAM_KAFKA or kafka.bootstrap of --config where absent.",
        ),
        click.option(
            "--config", type=click.Path(path_type=Path, dir_okay=False),
            help="Settings (TOML): namespace, brokers, encryption, name and password.",
        ),
    )  # fmt: skip
    for option in reversed(given):
        command = option(command)
    return command


def _brokers(config: Path | None, bootstrap: str | None) -> tuple[KafkaSettings, str]:
    """How to reach the brokers, and the namespace of the settings."""
    if config is None:
        return KafkaSettings(bootstrap=bootstrap or KafkaSettings().bootstrap), "default"
    # Here, because it loads the engine, which a feed without settings need not wait for.
    from segstream.cli.roles import role_settings

    settings = role_settings(config, bootstrap, None)
    return settings.kafka, settings.namespace


def _speed(context: click.Context, option: click.Parameter, text: str | None) -> float | None:
    del context, option
    try:
        return None if text is None else parse_speed(text)
    except ValueError as error:
        raise click.BadParameter(f"expected a number above 0 like 3600x, got {text!r}") from error


@producers.command()
@click.argument("feeds", nargs=-1, required=True, metavar="FILE...|-|NAME")
@_broker_options
@click.option("--namespace", help="Begins the topic's name; else as in --config, or `default`.")
@click.option("--mapping", metavar="NAME|FILE", help="plain, or a named data set's own.")
@click.option("--from", "where", type=click.Path(path_type=Path), help=_FROM)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Events per second.")
@click.option("--speed", callback=_speed, metavar="Nx", help="By event time, N times as fast.")
@click.option("--as-fast-as-possible", is_flag=True, help="The default.")
@click.option("--now", "to_now", is_flag=True, help="Move all times: the last event is now.")
@click.option(
    "--client",
    type=click.Choice(["kafka-python", "aiokafka"]),
    default="kafka-python",
    show_default=True,
    help="aiokafka sends whole batches, several times faster: for load tests.",
)
@click.option("--skip", type=click.IntRange(0), default=0, help="Entries to leave out first.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=_NO_LIMIT,
    help="Entries to read.",
    show_default="all",
)
@click.option("--expired", is_flag=True, help="Send events older than the topic's retention too.")
@synthetic_options
def send(
    feeds: tuple[str, ...],
    bootstrap: str | None,
    config: Path | None,
    namespace: str | None,
    mapping: str | None,
    where: Path | None,
    rate: float | None,
    speed: float | None,
    as_fast_as_possible: bool,
    to_now: bool,
    client: str,
    skip: int,
    limit: int,
    expired: bool,
    **options: Any,
) -> None:
    """Send feeds to NAMESPACE.transactions, in time order, keyed by customer.

    Files, stdin (-, as it comes), or a data set's NAME; `synthetic` goes as it arrives, faults and
    all. Ctrl-C sends what is under way and says how to go on.

    \b
    Examples:
      segstream-producers send complete-journey --rate 1000
      segstream-producers send sales.csv --mapping online-retail --namespace shop
      segstream-producers send synthetic --customers 10000 --drift abrupt --speed 3600x --now
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    if sum([as_fast_as_possible, rate is not None, speed is not None]) > 1:
        raise click.UsageError("--rate, --speed and --as-fast-as-possible exclude each other")
    if to_now and skip:
        raise click.UsageError("--now moves the times anew at each start: it cannot --skip")
    synthetic = feeds == (SYNTHETIC,)
    if synthetic and (mapping or where):
        raise click.UsageError("the feed `synthetic` takes neither --mapping nor --from")
    if not synthetic:
        refuse_synthetic_options(click.get_current_context(), " ".join(feeds))
    console = Console(stderr=True)
    with kafka_extra():
        from segstream_producers.sender import SendPlan
        from segstream_producers.sending import Target, send_source, send_synthetic
    brokers, own = _brokers(config, bootstrap)
    target = Target(brokers, f"{namespace or own}.transactions", client, expired, console)
    with stop_on_signal() as asked_to_stop:
        plan = SendPlan(synthetic, rate, skip, limit, asked_to_stop, speed)
        if synthetic:
            send_synthetic(plan_of(options), target, plan, to_now, options["truth"])
            return
        console.print("reading", *feeds)
        source, chosen = open_feed(feeds, mapping, where)
        with closing(source):
            send_source(source, target, replace(plan, as_is=chosen.declared.contract), to_now)


@producers.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@_broker_options
@click.option("--mapping", default="plain", show_default=True, metavar="NAME|FILE",
              help="How to read a message's customer.")  # fmt: skip
@click.option("--until-end", is_flag=True, help="Stop at what is the end now.")
@click.option("--append", is_flag=True, help="DST may hold messages at the first start.")
def rekey(
    source: str, target: str, bootstrap: str | None, config: Path | None, mapping: str,
    until_end: bool, append: bool,
) -> None:  # fmt: skip
    """Copy a topic exactly once, keyed by customer and partitioned by murmur2.

    Messages whose customer cannot be read keep their key. However it ends, started again it goes
    on where it was. Topics are full names; DST must exist.

    \b
    Example:
      segstream-producers rekey raw-orders shop.transactions --until-end
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    with kafka_extra():
        from segstream_producers.rekey import Copied, Rekey, customer_reader
        from segstream_producers.rekey import rekey as copy

    brokers, _ = _brokers(config, bootstrap)
    plan = Rekey(brokers, source, target, customer_reader(mapping), until_end, append)
    with stop_on_signal() as asked_to_stop, progress_bar(Console(stderr=True)) as bar:
        task = bar.add_task("copying", total=None, state="")

        def report(copied: Copied) -> None:
            bar.update(task, completed=copied.copied, total=copied.copied + copied.left)

        done = copy(plan, report, asked_to_stop)
        stopped = asked_to_stop()
    click.echo(
        f"{target}: {done.copied:,} messages copied from {source}; of {done.unreadable:,} the"
        f" customer could not be read; {done.empty:,} without key and value left out"
    )
    if stopped:
        click.echo("stopped; the same command goes on where it was", err=True)
        raise SystemExit(130)


def main() -> None:
    """Run a command; a known failure becomes one clear line and its exit code."""
    try:
        producers(standalone_mode=False)
    except SegstreamError as error:
        click.echo(f"segstream-producers: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
