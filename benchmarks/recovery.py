"""What happens to a running feed when a worker dies, and how fast only time passes in a worker."""

import signal
import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from benchmarks import live, synthetic
from benchmarks.latency import history, start_producer
from benchmarks.live import PARTITIONS, Bench, Message
from benchmarks.results import Row, row

RUNS: Final = 3
# ---- takeover: the default session timeout, a feed that goes on ---------------------------------
SESSION_MS: Final = 10_000
TAKEOVER_S: Final = 15.0
CUSTOMERS: Final = 2_000
RATE: Final = 300
FEED_S: Final = 60.0
# A transaction that was under way at the kill is settled within this.
_SETTLED_S: Final = 0.5

# ---- sweep -------------------------------------------------------------------------------------
SWEPT: Final = 200_000
SWEPT_HOURS: Final = 24
SWEEP_RATE: Final = 250_000.0
_HOUR_MS: Final = 3_600_000


def takeover(runs: int = RUNS, session_ms: int = SESSION_MS) -> Iterator[Row]:
    """Seconds from SIGKILL of one of two workers until all its partitions publish again."""
    with live.bench() as bench:
        found = [_takeover(bench, session_ms) for _ in range(runs)]
    yield row("takeover_s", "seconds", found, TAKEOVER_S, "lower")


def _takeover(bench: Bench, session_ms: int) -> float:
    shop = bench.shop(session_ms=session_ms)
    try:
        shop.send(history(CUSTOMERS))
        shop.start(2)
        shop.until(shop.drained)
        producer = start_producer(shop, RATE, FEED_S, CUSTOMERS)
        try:
            first = shop.published()
            shop.until(lambda: all(n > first[p] for p, n in shop.published().items()))
            shop.end(next(iter(shop.roles.workers)), signal.SIGKILL)
            begun = time.monotonic()
            time.sleep(_SETTLED_S)
            before = shop.published()
            ended = shop.until(lambda: all(n > before[p] for p, n in shop.published().items()))
        finally:
            producer.kill()
            producer.communicate()
        return ended - begun
    finally:
        shop.close()


def sweep_redis(
    customers: int = SWEPT, hours: int = SWEPT_HOURS, runs: int = RUNS
) -> Iterator[Row]:
    """Customers evaluated a second where only time passes, in `segstream worker`.

    A few visits an hour move the clocks. It includes reading them, every record that an
    evaluation changed with its write to Redis, every change with its Kafka transaction, and the
    days' evidence.
    """
    rates, shares = [], []
    with live.bench() as bench:
        shop = bench.shop()
        try:
            found = synthetic.orders(customers, customers, synthetic.START_MS, 0.04, synthetic.SEED)
            shop.send(live.messages(_one_each(found, customers), "s"))
            shop.start(1)
            shop.until(shop.drained)
            # A first hour is not counted: whoever is new gets the first segment at an instant.
            hour = int(found.time_ms[-1]) // _HOUR_MS + 1
            for n in (1, *[hours] * runs):
                changes = shop.changes()
                shop.tell(signal.SIGSTOP)
                shop.send(_ticks(hour, n))
                begun = time.monotonic()
                shop.tell(signal.SIGCONT)
                ended = shop.until(shop.drained)
                rates.append(customers * n / (ended - begun))
                shares.append((shop.changes() - changes) / customers / n)
                hour += n
        finally:
            shop.close()
    yield row("sweep_redis", "customers_per_s", rates[1:], SWEEP_RATE, "higher")
    yield row("sweep_redis", "changes_per_evaluation", shares[1:], None, "lower")


def _one_each(found: synthetic.Orders, customers: int) -> synthetic.Orders:
    who = np.random.default_rng(synthetic.SEED).permutation(customers)
    return synthetic.Orders(who, found.time_ms, found.amount, found.units)


def _ticks(hour: int, hours: int) -> list[Message]:
    """One visit for each partition at the end of each hour, by a customer of its own."""
    names: dict[int, str] = {}
    for number in range(1_000):
        names.setdefault(live.partition_of(f"tick-{number}".encode()), f"tick-{number}")
    moments = [(hour + i + 1) * _HOUR_MS for i in range(hours)]
    return [
        (p, names[p].encode(), _visit(names[p], at_ms), at_ms)
        for at_ms in moments
        for p in range(PARTITIONS)
    ]


def _visit(customer: str, ts_ms: int) -> bytes:
    return (
        f'{{"event_id":"{customer}-{ts_ms}","customer_id":"{customer}","ts":{ts_ms},'
        '"type":"visit"}'
    ).encode()
