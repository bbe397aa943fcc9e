"""From a transaction's due time to its segment change before a read_committed reader.

    python -m benchmarks.latency BOOTSTRAP TOPIC RATE SECONDS CUSTOMERS

is the producer, in a process of its own. It builds Kafka's batches itself (aiokafka's
`create_batch`, 4 us a message): kafka-python's and aiokafka's `send` cost more than the 50 us that
20,000 a second leave it on a shared core. An event's `ts` is the moment at which it is due, so a
producer that falls behind makes latencies longer and not better.

The event's id follows from customer and time, a change's id is a digest of its cause: the reader
recomputes it, and so knows which event it was.
"""

import asyncio
import datetime as dt
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks import live, synthetic
from benchmarks.live import Shop
from benchmarks.results import Row, row
from segstream.core.changes import change_id
from segstream.core.events import epoch_ms

CUSTOMERS: Final = 40_000
# What everybody has ordered before: customers who are new change at every order.
ORDERS_BEFORE: Final = 6
DAYS_BEFORE: Final = 1.5
RATES: Final = (1_000, 20_000)
SETTLE_S: Final = 3.0
SECONDS: Final = 15.0
P50_MS: Final = 40.0
P99_MS: Final = 150.0
TARGETED: Final = 20_000
RUNS: Final = 3
_TICK_S: Final = 0.005
_GRACE_S: Final = 3.0
_DAY_MS: Final = 86_400_000


def event_id(customer: str, ts_ms: int) -> str:
    """Id of the event that a customer caused at a moment."""
    return f"{customer}-{ts_ms}"


# ---- producer -------------------------------------------------------------------------------


async def produce(bootstrap: str, topic: str, rate: int, seconds: float, customers: int) -> str:
    """Send events as they become due; returns what was reached, as JSON."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    feed = _Due(rate, customers, round(rate * seconds))
    sent: list[asyncio.Future[Any]] = []
    done, begun = 0, time.time()
    try:
        while done < feed.total:
            due = min(feed.total, int((time.time() - begun) * rate))
            for p, batch in feed.batches(producer, begun, done, due).items():
                sent.append(await producer.send_batch(batch, topic, partition=p))
            done = due
            await asyncio.sleep(_TICK_S)
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return msgspec.json.encode({"events": done, "seconds": time.time() - begun}).decode()


class _Due:
    """Orders of customers drawn evenly, one every 1/rate seconds."""

    def __init__(self, rate: int, customers: int, total: int) -> None:
        generator = np.random.default_rng(synthetic.SEED)
        self.total, self._rate = total, rate
        found = synthetic.orders(total, customers, 0, 1.0, synthetic.SEED + 1)
        self._who = generator.integers(0, customers, total).tolist()
        self._amount, self._units = found.amount.tolist(), found.units.tolist()
        self._ids = [synthetic.customer_id(n) for n in range(customers)]
        self._places = [live.partition_of(one.encode()) for one in self._ids]

    def batches(
        self, producer: AIOKafkaProducer, begun: float, first: int, last: int
    ) -> dict[int, Any]:
        """Events first to last, as a batch for each partition."""
        made: dict[int, Any] = {}
        for i in range(first, last):
            who = self._who[i]
            customer, place = self._ids[who], self._places[who]
            ts_ms = int(1000 * (begun + i / self._rate))
            value = (
                f'{{"event_id":"{event_id(customer, ts_ms)}","customer_id":"{customer}",'
                f'"ts":{ts_ms},"type":"purchase","amount":{self._amount[i]},'
                f'"quantity":{self._units[i]},"channel":"store","currency":"EUR"}}'
            ).encode()
            if place not in made:
                made[place] = producer.create_batch()
            made[place].append(key=customer.encode(), value=value, timestamp=ts_ms)
        return made


def start_producer(
    shop: Shop, rate: int, seconds: float, customers: int
) -> "subprocess.Popen[bytes]":
    """Start the producer as a process."""
    given = (shop.place.kafka.bootstrap, shop.topic, rate, seconds, customers)
    command = [sys.executable, "-m", "benchmarks.latency", *map(str, given)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


# ---- reader ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heard:
    """What one run came to.

    Attributes
    ----------
    latency_ms
        Of each change that an event of the run caused.
    produced
        Events a second that the producer reached.
    """

    latency_ms: Sequence[float]
    produced: float
    events: int

    def percentile(self, q: float) -> float:
        """Latency at a percentile, ms."""
        return float(np.percentile(self.latency_ms, q))


async def hear(shop: Shop, rate: int, seconds: float, settle_s: float, customers: int) -> Heard:
    """Produce at a rate and read changes as they become visible."""
    reader = AIOKafkaConsumer(
        shop.place.names.changes,
        bootstrap_servers=shop.place.kafka.bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="latest",
        enable_auto_commit=False,
    )
    await reader.start()
    producer = start_producer(shop, rate, seconds + settle_s, customers)
    arrived: list[tuple[float, list[Any]]] = []
    quiet_since = time.monotonic()
    try:
        await reader.seek_to_end()
        while producer.poll() is None or time.monotonic() - quiet_since < _GRACE_S:
            found = await reader.getmany(timeout_ms=200)
            now_ms = 1000 * time.time()
            arrived.extend((now_ms, records) for records in found.values())
            if found or producer.poll() is None:
                quiet_since = time.monotonic()
    finally:
        await reader.stop()
    told = msgspec.json.decode(producer.communicate()[0])
    if producer.returncode:
        raise RuntimeError(f"the producer ended with {producer.returncode}")
    return _heard(shop, arrived, told, settle_s)


def _heard(
    shop: Shop, arrived: list[tuple[float, list[Any]]], told: dict[str, float], settle_s: float
) -> Heard:
    latency: list[tuple[int, float]] = []
    for now_ms, records in arrived:
        for record in records:
            as_of_ms = _as_of_ms(shop.place.namespace, record.value)
            if as_of_ms is not None:
                latency.append((as_of_ms, now_ms - as_of_ms))
    first_ms = min((at for at, _ in latency), default=0) + 1000 * settle_s
    counted = [ms for at, ms in latency if at >= first_ms]
    return Heard(counted, told["events"] / told["seconds"], int(told["events"]))


def _as_of_ms(namespace: str, body: bytes) -> int | None:
    """When the event was due that caused a change; None where time or another event did."""
    change = msgspec.json.decode(body)
    held, customer = change["data"], change["subject"]
    as_of_ms = epoch_ms(dt.datetime.fromisoformat(change["time"]))
    ids = [None if held[side] is None else held[side]["id"] for side in ("from", "to")]
    told = change_id(
        namespace, customer, held["sequence"], ids[0], ids[1], as_of_ms,
        event_id(customer, as_of_ms),
    )  # fmt: skip
    return as_of_ms if told == change["id"] else None


# ---- case -----------------------------------------------------------------------------------


def history(customers: int) -> list[live.Message]:
    """Orders of the last days, up to two minutes ago."""
    start_ms = round(1000 * time.time() - DAYS_BEFORE * _DAY_MS) - 120_000
    n = ORDERS_BEFORE * customers
    found = synthetic.orders(n, customers, start_ms, DAYS_BEFORE, synthetic.SEED)
    return live.messages(found, "h")


def latency(
    rates: Sequence[int] = RATES, seconds: float = SECONDS, customers: int = CUSTOMERS,
    runs: int = RUNS, settle_s: float = SETTLE_S,
) -> Iterator[Row]:  # fmt: skip
    """Latencies at each rate: one worker, caught up, everybody known."""
    with live.bench() as bench:
        for rate in rates:
            shop = bench.shop()
            try:
                shop.send(history(customers))
                shop.start(1)
                shop.until(shop.drained)
                found = [
                    asyncio.run(hear(shop, rate, seconds, settle_s, customers)) for _ in range(runs)
                ]
            finally:
                shop.close()
            yield from _rows(rate, found)


def _rows(rate: int, found: Sequence[Heard]) -> Iterator[Row]:
    for q, target in ((50, P50_MS), (99, P99_MS)):
        runs = [heard.percentile(q) for heard in found]
        bound = target if rate == TARGETED else None
        yield row(f"latency_ms/{rate}/p{q}", "ms", runs, bound, "lower")
    produced = [heard.produced for heard in found]
    yield row(f"latency_ms/{rate}/produced", "events_per_s", produced, None, "higher")
    counted = [float(len(heard.latency_ms)) for heard in found]
    yield row(f"latency_ms/{rate}/changes", "changes", counted, None, "higher")


def main(given: Sequence[str]) -> None:
    """Be the producer."""
    bootstrap, topic, rate, seconds, customers = given
    print(asyncio.run(produce(bootstrap, topic, int(rate), float(seconds), int(customers))))


if __name__ == "__main__":
    main(sys.argv[1:])
