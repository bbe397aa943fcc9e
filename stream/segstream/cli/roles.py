"""`segstream worker`, `trainer` and `up`: the roles on Kafka and Redis."""

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from segstream.cli.options import Command, Watching, config_option, json_option, watch_options
from segstream.errors import StateError
from segstream.kafka_settings import check_kafka, kafka_extra
from segstream.logs import quiet_clients, set_up
from segstream.main_job import read_model, read_settings
from segstream.settings import Settings

if TYPE_CHECKING:
    from segstream.adapters.audit import Audit
    from segstream.adapters.faust_app import Role
    from segstream.adapters.kafka_worker import WorkerOptions
    from segstream.adapters.outages import LastExit

# Of the trainer: to finish a day, to leave the group.
_STOP_S = 15.0


def role_options(command: Command) -> Command:
    """`--bootstrap`, `--redis`, `--namespace`, `--instance`, `--config`."""
    given = (
        click.option("--bootstrap", envvar="SEGSTREAM_KAFKA", metavar="HOST:PORT",
                     help="Brokers; kafka.bootstrap of --config where absent."),
        click.option("--redis", envvar="SEGSTREAM_REDIS", default="redis://127.0.0.1:6379",
                     show_default=True, metavar="URL"),
        click.option("--namespace", help="Begins topics' and keys' names; else as in --config."),
        click.option("--instance", help="Name of this member, kept over restarts: they are then "
                     "no rebalance."),
        config_option,
    )  # fmt: skip
    for option in reversed(given):
        command = option(command)
    return command


def role_settings(config: Path | None, bootstrap: str | None, namespace: str | None) -> Settings:
    """Settings of a role on Kafka: the file's, with what was given beside it.

    Raises
    ------
    ConfigError
    """
    settings = read_settings(config)
    kafka = settings.kafka
    if bootstrap:
        kafka = msgspec.structs.replace(kafka, bootstrap=bootstrap)
    settings = msgspec.structs.replace(
        settings, kafka=kafka, namespace=namespace or settings.namespace
    )
    longest = max((f.window_days or 0.0 for f in settings.spec.features), default=0.0)
    check_kafka(kafka, settings.namespace, longest)
    return settings


def _worker_options(
    settings: Settings, redis: str, instance: str | None, model: Path | None, relaxed: bool
) -> "WorkerOptions":
    with kafka_extra():
        from segstream.adapters.kafka_worker import WorkerOptions

    return WorkerOptions(
        settings.kafka, redis, instance, read_model(model), relaxed,
        erase_key=os.environ.get("SEGSTREAM_ERASE_KEY", "").encode(),
    )  # fmt: skip


_MODEL = click.option(
    "--model", type=click.Path(path_type=Path, dir_okay=False), default=None,
    help="Keep to this model (from `segstream export model`); the models topic is not read.",
)  # fmt: skip
_RELAXED = click.option(
    "--relaxed", is_flag=True,
    help="Accept a Redis with appendfsync everysec: a power cut may publish a second again.",
)  # fmt: skip


@click.command()
@role_options
@_MODEL
@_RELAXED
@watch_options
def worker(
    bootstrap: str | None, redis: str, namespace: str | None, instance: str | None,
    config: Path | None, model: Path | None, relaxed: bool, watching: Watching,
) -> None:  # fmt: skip
    """Apply transactions from Kafka and publish every segment change, exactly once.

    Start as many as you like: they share the partitions.

    \b
    Example:
      segstream worker --config shop.toml --redis redis://redis:6379 --instance worker-1
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    settings = role_settings(config, bootstrap, namespace)
    options = _worker_options(settings, redis, instance, model, relaxed)
    with kafka_extra():
        from segstream.adapters.faust_app import run_roles
        from segstream.adapters.kafka_worker import KafkaWorker
        from segstream.adapters.metrics_server import serving
        from segstream.metrics import Metrics

    set_up(watching.log_format)
    metrics = Metrics("worker")
    role = KafkaWorker(settings, options, metrics)
    with serving(metrics, [role.lacks], watching.host, watching.port):
        run_roles(settings, options, [role], watching.log_format)


@click.command()
@role_options
@watch_options
def trainer(
    bootstrap: str | None, redis: str, namespace: str | None, instance: str | None,
    config: Path | None, watching: Watching,
) -> None:  # fmt: skip
    """Make models of what the workers learn, day by day; several stand by for each other.

    \b
    Example:
      segstream trainer --config shop.toml
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    del redis
    settings = role_settings(config, bootstrap, namespace)
    with kafka_extra():
        from segstream.adapters.kafka_trainer import KafkaTrainer
        from segstream.adapters.metrics_server import serving
        from segstream.adapters.outages import LastExit
        from segstream.metrics import Metrics

    set_up(watching.log_format)
    metrics = Metrics("trainer")
    role = KafkaTrainer(settings, settings.kafka, instance, metrics)
    with serving(metrics, [role.lacks], watching.host, watching.port), LastExit(_STOP_S) as last:
        asyncio.run(until_stopped(role, last))


@click.command()
@role_options
@_MODEL
@_RELAXED
@watch_options
def up(
    bootstrap: str | None, redis: str, namespace: str | None, instance: str | None,
    config: Path | None, model: Path | None, relaxed: bool, watching: Watching,
) -> None:  # fmt: skip
    """Run worker and trainer together in this terminal.

    \b
    Example:
      eval "$(deploy/local/stack env)" && segstream up --namespace shop
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    settings = role_settings(config, bootstrap, namespace)
    options = _worker_options(settings, redis, instance, model, relaxed)
    with kafka_extra():
        from segstream.adapters.faust_app import Role, run_roles
        from segstream.adapters.kafka_trainer import KafkaTrainer
        from segstream.adapters.kafka_worker import KafkaWorker
        from segstream.adapters.metrics_server import serving
        from segstream.metrics import Metrics

    set_up(watching.log_format)
    metrics = Metrics("worker", "trainer")
    first = KafkaWorker(settings, options, metrics)
    roles: list[Role] = [first]
    lacks = [first.lacks]
    if model is None:
        second = KafkaTrainer(settings, settings.kafka, instance, metrics)
        roles.append(second)
        lacks.append(second.lacks)
    with serving(metrics, lacks, watching.host, watching.port):
        run_roles(settings, options, roles, watching.log_format)


@click.command()
@role_options
@json_option
def audit(
    bootstrap: str | None, redis: str, namespace: str | None, instance: str | None,
    config: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Check that topic, store and output agree; exit code 5 where they do not.

    \b
    Example:
      segstream audit --config shop.toml
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    del instance
    settings = role_settings(config, bootstrap, namespace)
    with kafka_extra():
        from segstream.adapters.audit import audit as compare

    found = asyncio.run(compare(settings, settings.kafka, redis))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        for line in _audit_words(found):
            click.echo(line)
    if not found.agrees:
        raise StateError("audit: topic, store and output do not agree; see above")


def _audit_words(found: "Audit") -> list[str]:
    parts = (
        (found.applied, "applied"), (found.skipped, "skipped"),
        (found.duplicates, "duplicates"), (found.dead, "dead letters"),
    )  # fmt: skip
    accounted = " + ".join(f"{n:,} {word}" for n, word in parts)
    features, changes = len(found.features_differ), len(found.changes_differ)
    lines = [
        f"messages: {found.sent:,} sent = {accounted}",
        f"customers: {found.customers:,}",
        f"features that differ from those recomputed from the topic: {features:,}",
        f"last changes that are not the stored segment: {changes:,}",
    ]
    if found.cut:
        partitions = ", ".join(map(str, found.cut))
        lines.append(f"not recomputed: the log of partitions {partitions} no longer begins at 0")
    lines.extend(f"  differs: {c}" for c in (found.features_differ + found.changes_differ)[:10])
    return lines


async def until_stopped(role: "Role", last: "LastExit") -> None:
    """Run a role until SIGINT or SIGTERM, or until it fails for good."""
    quiet_clients()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        last.asked()
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    living, halted = asyncio.create_task(_live(role)), asyncio.create_task(stopped.wait())
    await asyncio.wait([living, halted], return_when=asyncio.FIRST_COMPLETED)
    halted.cancel()
    if living.done():
        return living.result()
    living.cancel()
    await asyncio.wait([living])
    return None


async def _live(role: "Role") -> None:
    await role.start()
    try:
        await role.wait()
    finally:
        await role.stop()
