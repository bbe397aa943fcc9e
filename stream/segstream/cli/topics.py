"""`segstream topics`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from segstream.cli.options import config_option
from segstream.errors import ConfigError
from segstream.kafka_settings import (
    DAY_MS,
    RETENTION,
    SPARE_DAYS,
    KafkaSettings,
    check_kafka,
    kafka_extra,
)
from segstream.main_job import read_settings

if TYPE_CHECKING:
    from segstream.adapters.kafka_topics import Topic

_GIB: Final = 1 << 30


@dataclass(frozen=True)
class Layout:
    """What the settings ask of the brokers."""

    kafka: KafkaSettings
    longest_window_days: float
    topics: "tuple[Topic, ...]"


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of both commands."""
    given = (
        click.option("--bootstrap", envvar="SEGSTREAM_KAFKA", metavar="HOST:PORT",
                     help="Brokers; kafka.bootstrap of --config where absent."),
        click.option("--namespace", help="Begins the topics' names; else as in --config."),
        click.option("--partitions", type=click.IntRange(1), help="Else as in --config."),
        click.option("--replication", type=click.IntRange(1), help="Else as in --config."),
        click.option("--retention-days", metavar="DAYS|auto|forever",
                     help="auto: longest window + 30. forever: for replays of old histories."),
        config_option,
    )  # fmt: skip
    for option in reversed(given):
        command = option(command)
    return command


@click.group()
def topics() -> None:
    """Create Kafka's topics, or look whether they are as they should be.

    \b
    Examples:
      segstream topics create --config shop.toml
      segstream topics describe --config shop.toml
    """  # noqa: D301 - click reads the backspace as "keep these lines"


@topics.command()
@_options
@click.option(
    "--bytes-per-day",
    type=click.IntRange(1),
    help="Of incoming events, as stored; says what the retention costs.",
)
def create(config: Path | None, bytes_per_day: int | None, **given: Any) -> None:
    """Create what is missing; what exists is compared, never changed.

    \b
    Examples:
      segstream topics create --bootstrap localhost:9092 --namespace shop --partitions 12
      segstream topics create --config shop.toml --bytes-per-day 2000000000
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    layout = _layout(config, given)
    from segstream.adapters.kafka_topics import TopicAdmin

    with TopicAdmin(layout.kafka) as admin:
        created = admin.create(layout.topics)
        found = admin.describe([topic.name for topic in layout.topics])
    for topic in layout.topics:
        word = "created" if topic.name in created else "exists"
        click.echo(f"{word:<8} {_described(found.get(topic.name, topic))}")
    click.echo(cost(layout, bytes_per_day))
    _refuse(layout, found)


@topics.command()
@_options
def describe(config: Path | None, **given: Any) -> None:
    """Show the topics as they are; exit code 3 where one is not as it should be.

    A retention is compared where one is set; else it is a warning that it is too short.

    \b
    Example:
      segstream topics describe --config shop.toml
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    layout = _layout(config, given)
    from segstream.adapters.kafka_topics import TopicAdmin

    with TopicAdmin(layout.kafka) as admin:
        found = admin.describe([topic.name for topic in layout.topics])
        sizes = admin.sizes()
    for topic in layout.topics:
        if topic.name in found:
            size = sizes.get(topic.name, 0)
            click.echo(f"{_described(found[topic.name])}, {size:,} bytes on disk")
        else:
            click.echo(f"{topic.name}: does not exist; expected {_described(topic)}")
    _refuse(layout, found)


def cost(layout: Layout, bytes_per_day: int | None) -> str:
    """Say how long transactions stay, why, and what that takes on disk."""
    stays = layout.kafka.retention_ms(layout.longest_window_days)
    if stays < 0:
        return "transactions stay forever: the disk grows with every event"
    days = stays / DAY_MS
    why = ""
    if layout.kafka.retention_days == "auto":
        why = f": the longest window, {layout.longest_window_days:g}, and {SPARE_DAYS} to spare"
    said = f"transactions stay {days:g} days{why}"
    if bytes_per_day is None:
        return f"{said}; --bytes-per-day N says what that takes"
    copies = layout.kafka.replication
    taken = round(days * bytes_per_day * copies)
    return f"{said}; {taken:,} bytes ({taken / _GIB:,.1f} GiB) on disk in {copies} cop" + (
        "y" if copies == 1 else "ies"
    )


def _layout(config: Path | None, given: dict[str, Any]) -> Layout:
    settings = read_settings(config)
    namespace = given.pop("namespace") or settings.namespace
    given["retention_days"] = _retention(given["retention_days"])
    chosen = {key: value for key, value in given.items() if value is not None}
    kafka = msgspec.structs.replace(settings.kafka, **chosen)
    longest = max((f.window_days or 0.0 for f in settings.spec.features), default=0.0)
    check_kafka(kafka, namespace, longest)
    with kafka_extra():
        from segstream.adapters.kafka_topics import wanted_topics

    return Layout(kafka, longest, wanted_topics(kafka, namespace, longest))


def _retention(text: str | None) -> float | str | None:
    if text is None or text in ("auto", "forever"):
        return text
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(
            f"--retention-days: expected a number, auto or forever, got {text!r}"
        ) from error


def _described(topic: "Topic") -> str:
    policy, stays = topic.configs.get("cleanup.policy", "?"), topic.configs.get("retention.ms")
    kept = "compacted"
    if policy != "compact":
        kept = "kept forever" if stays == "-1" else f"kept {int(stays or 0) / DAY_MS:g} days"
    return f"{topic.name}: partitions {topic.partitions}, copies {topic.replication}, {kept}"


def _refuse(layout: Layout, found: "dict[str, Topic]") -> None:
    """Raise where topics are not as they should be; of a retention nobody chose only warn."""
    from segstream.adapters.kafka_topics import mismatches

    differing = []
    for topic in layout.topics:
        differing += mismatches(topic, found.get(topic.name), layout.kafka.bootstrap)
    if layout.kafka.retention_days == "auto":
        kept = [one for one in differing if one.key == RETENTION]
        differing = [one for one in differing if one.key != RETENTION]
        for one in kept:
            if not one.is_longer:
                click.echo(f"warning: {one}", err=True)
    if differing:
        raise ConfigError("topics are not as they should be\n" + "\n".join(map(str, differing)))
