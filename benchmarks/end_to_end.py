"""The whole path on a real broker and a real Redis, on the machine's own cores.

A backlog is drained by `segstream worker`, the command people run. The worker is started and warmed
on the first events of the feed, then held (SIGSTOP) while the rest is written. The clock runs from
SIGCONT until every position is committed in Redis *and* published in Kafka: start-up is not in it,
sweeps and everything else are.
"""

import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from benchmarks import live, synthetic
from benchmarks.live import Bench, Message, Shop, peer
from benchmarks.results import Row, row
from segstream.adapters import redis_keys

CUSTOMERS: Final = 20_000
WARM: Final = 12_000
EVENTS: Final = 500_000
RUNS: Final = 3
NAIVE_S: Final = 20.0
MILLION: Final = 1_000_000
NAIVE_TARGET: Final = 100.0
DECODE_TARGET: Final = 0.33
DRAIN_TARGET: Final = 0.8
_SAMPLE: Final = 1_000


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    customers: int = CUSTOMERS
    warm: int = WARM
    events: int = EVENTS
    runs: int = RUNS
    naive_s: float = NAIVE_S


WHOLE: Final = Size()


@dataclass
class Drained:
    """Figures of each run.

    Attributes
    ----------
    cpu
        Seconds per million events by role.
    sizes
        Bytes per customer: all of Redis, and one record.
    """

    rates: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    sizes: dict[str, list[float]] = field(default_factory=dict)


@cache
def feed(size: Size) -> list[Message]:
    """The whole feed; each customer orders as often a day as in the other cases."""
    n = size.warm + size.events
    days = n / size.customers / 15.0
    found = synthetic.orders(n, size.customers, synthetic.START_MS, days, synthetic.SEED)
    return live.messages(found, "e")


def end_to_end(size: Size = WHOLE) -> Iterator[Row]:
    """One worker and two, the plain versions beside them, and where the CPU went."""
    one, two, restarted = Drained(), Drained(), Drained()
    decoded: list[dict[str, float]] = []
    naive: dict[str, float] = {}
    with live.bench() as bench:
        for run in range(size.runs):
            shop = drain(bench, size, 1, one)
            try:
                shop.tell(signal.SIGSTOP)  # the machine is the peers' own
                decoded.append(peer("consume_and_decode", bench.stack.kafka, shop.topic))
                if run == 0:
                    naive = _naive(bench, shop, size)
            finally:
                shop.close()
            drain(bench, size, 2, two).close()
            drain_restarted(bench, size, restarted).close()
    yield from _rates(one, two)
    yield from _beside(one, two, decoded, naive)
    yield from _costs(one)
    ratios = [r / full for r, full in zip(restarted.rates, one.rates, strict=True)]
    yield row("backlog_drain", "ratio", ratios, DRAIN_TARGET, "higher")


def drain(bench: Bench, size: Size, workers: int, found: Drained) -> Shop:
    """Drain one backlog; returns the namespace as it is then, its workers still there."""
    shop, events = bench.shop(), feed(size)
    try:
        held = shop.redis.info("memory")["used_memory_dataset"]
        shop.send(events[: size.warm])
        shop.start(workers)
        shop.until(shop.drained)
        shop.tell(signal.SIGSTOP)
        shop.send(events[size.warm :])
        before, changes = shop.cpu(), shop.changes()
        begun = time.monotonic()
        shop.tell(signal.SIGCONT)
        ended = shop.until(shop.drained)
        _note(found, size.events / (ended - begun), before, shop.cpu(), size)
        found.shares.append((shop.changes() - changes) / size.events)
        _note_sizes(found, shop, held, size)
    except BaseException:
        shop.close()
        raise
    return shop


def drain_restarted(bench: Bench, size: Size, found: Drained) -> Shop:
    """Drain a backlog that grew while the only worker was away, from its first claim on."""
    shop, events = bench.shop(), feed(size)
    try:
        shop.send(events[: size.warm])
        shop.start(1)
        shop.until(shop.drained)
        (name,) = shop.roles.workers
        shop.end(name, signal.SIGTERM)
        shop.send(events[size.warm :])
        epochs = shop.epochs()
        shop.restart(name)
        begun = shop.until(lambda: shop.epochs() != epochs)
        ended = shop.until(shop.drained)
        found.rates.append(size.events / (ended - begun))
    except BaseException:
        shop.close()
        raise
    return shop


def _note(
    found: Drained, rate: float, before: dict[str, float], after: dict[str, float], size: Size
) -> None:
    found.rates.append(rate)
    for role, seconds in after.items():
        spent = (seconds - before[role]) * MILLION / size.events
        found.cpu.setdefault(role, []).append(spent)


def _note_sizes(found: Drained, shop: Shop, held: int, size: Size) -> None:
    grown = shop.redis.info("memory")["used_memory_dataset"] - held
    found.sizes.setdefault("all", []).append(grown / size.customers)
    some = range(0, size.customers, max(1, size.customers // _SAMPLE))
    pipe = shop.redis.pipeline(transaction=False)
    for number in some:
        name = synthetic.customer_id(number)
        key = redis_keys.record(shop.place.namespace, live.partition_of(name.encode()), name)
        pipe.memory_usage(key)
    used = [n for n in pipe.execute() if n]
    found.sizes.setdefault("record", []).append(sum(used) / len(used))


def _naive(bench: Bench, shop: Shop, size: Size) -> dict[str, float]:
    """Run the plain version on the same topic."""
    shop.create(f"{shop.topic}.naive-changes")
    return peer("naive", bench.stack.kafka, shop.topic, bench.stack.redis, str(size.naive_s))


def _rate(counted: dict[str, float]) -> float:
    return counted["events"] / counted["seconds"]


def _rates(one: Drained, two: Drained) -> Iterator[Row]:
    yield row("end_to_end", "events_per_s", one.rates, None, "higher")
    yield row("end_to_end", "changes_per_event", one.shares, None, "lower")
    yield row("end_to_end/2_workers", "events_per_s", two.rates, None, "higher")


def _beside(
    one: Drained, two: Drained, decoded: Sequence[dict[str, float]], naive: dict[str, float]
) -> Iterator[Row]:
    plain = _rate(naive)
    yield row("end_to_end/naive", "events_per_s", [plain], None, "higher")
    share = naive["changes"] / naive["events"]
    yield row("end_to_end/naive", "changes_per_event", [share], None, "lower")
    ratios = [rate / plain for rate in one.rates]
    yield row("ratio/naive", "ratio", ratios, NAIVE_TARGET, "higher")
    alone = [_rate(counted) for counted in decoded]
    yield row("consume_and_decode", "events_per_s", alone, None, "higher")
    ratios = [rate / best for rate, best in zip(one.rates, alone, strict=True)]
    yield row("ratio/consume_and_decode", "ratio", ratios, DECODE_TARGET, "higher")
    ratios = [rate / best for rate, best in zip(two.rates, alone, strict=True)]
    yield row("ratio/consume_and_decode/2_workers", "ratio", ratios, None, "higher")
    for name, runs in (("naive", [naive]), ("consume_and_decode", decoded)):
        spent = [MILLION * r["cpu_s"] / r["events"] for r in runs]
        yield row(f"cpu_per_million_events_s/{name}", "cpu_s", spent, None, "lower")


def _costs(one: Drained) -> Iterator[Row]:
    for role, spent in one.cpu.items():
        yield row(f"cpu_per_million_events_s/{role}", "cpu_s", spent, None, "lower")
    yield row("redis_bytes_per_customer", "bytes", one.sizes["all"], None, "lower")
    yield row("redis_bytes_per_customer/record", "bytes", one.sizes["record"], None, "lower")
