"""What `segstream-producers send` does once its feed is chosen."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import Progress, TaskID

from segstream.adapters.files import FileSource
from segstream.adapters.stdin import StreamSource
from segstream.errors import OutputError
from segstream.kafka_settings import KafkaSettings
from segstream_producers.batch_sender import BatchSender
from segstream_producers.console import progress_bar
from segstream_producers.feeds import told
from segstream_producers.pacing import FREE_SLICE, Pacer
from segstream_producers.sender import (
    Message,
    Part,
    Sender,
    SendPlan,
    Tally,
    file_parts,
    send_feed,
)
from segstream_producers.synthetic.feed import Counts, batches
from segstream_producers.synthetic.options import ending_at, write_truth
from segstream_producers.synthetic.plan import Plan
from segstream_producers.synthetic.population import customer_id

CLIENTS: Final[dict[str, type[Sender]]] = {"kafka-python": Sender, "aiokafka": BatchSender}
# A batch of aiokafka holds a slice's messages of one partition: larger slices, fuller batches.
_BATCHED_SLICE: Final = 12_000


@dataclass(frozen=True, slots=True)
class Target:
    """Where a feed goes, and through which client."""

    brokers: KafkaSettings
    topic: str
    client: str
    expired: bool
    console: Console


def now_ms() -> int:
    """Epoch ms of the wall clock."""
    return time.time_ns() // 1_000_000


def send_source(
    source: FileSource | StreamSource, target: Target, plan: SendPlan, to_now: bool
) -> None:
    """Send files or a pipe; `to_now` moves their last event to the present."""
    if to_now:
        if source.last_ms is None:
            raise click.UsageError("--now needs a feed whose end is known, got stdin")
        plan = replace(plan, shift_ms=now_ms() - source.last_ms)
    total = None if source.total is None else min(plan.limit, max(0, source.total - plan.skip))
    first_ms = None if source.first_ms is None else source.first_ms + plan.shift_ms
    _send(
        target, plan, total, first_ms,
        lambda tally: file_parts(source, tally, plan, _slice(target, plan)),
    )  # fmt: skip


def send_synthetic(
    made: Plan, target: Target, plan: SendPlan, to_now: bool, path: Path | None
) -> None:
    """Send a synthetic feed as it arrives, damaged lines too; `path` gets the truth."""
    made = ending_at(made, now_ms()) if to_now else made
    counts = Counts()

    def finish() -> None:
        click.echo(f"generated {told(counts)}")
        if path is not None:
            write_truth(path, made, counts)

    _send(
        target, plan, None, made.start_ms,
        lambda _: synthetic_parts(made, plan, _slice(target, plan), counts), finish,
    )  # fmt: skip


def synthetic_parts(made: Plan, plan: SendPlan, size: int, counts: Counts) -> Iterator[Part]:
    """Yield a synthetic feed's messages, `size` at a time, from the plan's first on.

    A message's time is its arrival, never later than now; its key is the customer also where the
    line was damaged and does not say it.
    """
    start, last = 0, plan.skip + plan.limit
    for found in batches(made, counts):
        latest = now_ms()
        if start + len(found.lines) > plan.skip:
            each = zip(found.who.tolist(), found.lines, found.arrives_ms.tolist(), strict=True)
            messages = [
                Message(customer_id(who).encode(), line, min(at, latest), "synthetic", entry)
                for entry, (who, line, at) in enumerate(each, start)
            ][max(0, plan.skip - start) : last - start]
            for at in range(0, len(messages), size):
                part = messages[at : at + size]
                yield part[-1].entry + 1, part
        start += len(found.lines)
        if start >= last:
            return


def _slice(target: Target, plan: SendPlan) -> int:
    size = Pacer(plan.rate, 0.0).slice
    return _BATCHED_SLICE if target.client == "aiokafka" and size == FREE_SLICE else size


def _send(
    target: Target, plan: SendPlan, total: int | None, first_ms: int | None,
    parts: Callable[[Tally], Iterator[Part]], finish: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    tally = Tally()
    kind = CLIENTS[target.client]
    sender = kind(target.brokers, target.topic, tally, target.console.print, plan.asked_to_stop)
    with closing(sender):
        if not target.expired and first_ms is not None:
            sender.refuse_expired(first_ms, now_ms())
        begun = time.monotonic()
        with progress_bar(target.console) as bar:
            task = bar.add_task("sending", total=total, state="")
            send_feed(
                parts(tally), sender, tally, plan, lambda: _show(bar, task, tally, plan, begun)
            )
        finish()
        _account(sender, tally, target.topic, time.monotonic() - begun, plan)


def _show(bar: Progress, task: TaskID, tally: Tally, plan: SendPlan, begun: float) -> None:
    rate = tally.sent / max(time.monotonic() - begun, 1e-9)
    done = tally.entries - plan.skip
    bar.update(task, completed=done, state=f"{rate:,.0f} events/s acknowledged")


def _account(sender: Sender, tally: Tally, topic: str, seconds: float, plan: SendPlan) -> None:
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
        remedy = f"to go on: the same command with --skip {sender.resume_at}"
        if plan.shift_ms:
            remedy = "with --now it cannot go on: start again in a new namespace"
        click.echo(f"stopped; {remedy}", err=True)
        raise SystemExit(130)
