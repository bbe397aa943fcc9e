"""Events of shoppers as JSON lines, and states of any number of customers to apply them to."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from benchmarks.feeds import Replay
from segstream.adapters.memory import MemorySink, MemoryStore
from segstream.core.events import Event, Parsed
from segstream.core.partition import StoredRecord
from segstream.engine import Engine
from segstream.ports import Batch, Chunk, Claim, Outbox, PanelBlock, Position, Store
from segstream.settings import Settings, compile_spec

DAY_MS: Final = 86_400_000
START_MS: Final = 1_767_225_600_000  # 2026-01-01
SEED: Final = 11
# Enough shapes of customers for a model; larger populations repeat them under other ids.
SHAPES: Final = 5_000
ACTIVE_DAYS: Final = 10
# The first model waits for the longest clustered window, 112 days.
SEED_DAYS: Final = 125
SETTINGS: Final = Settings(currency="EUR")
# The events that are timed make every customer a heavy buyer within a day; the model stays, so
# that each run meets the same segments. Its daily step is one small sum.
STEADY: Final = msgspec.structs.replace(
    SETTINGS, model=msgspec.structs.replace(SETTINGS.model, learner="none", refit_days=0)
)
# Nobody changes: what a change costs would count for large populations only, because in a small
# one everybody has changed after a few batches.
SETTLED: Final = msgspec.structs.replace(
    STEADY, policy=msgspec.structs.replace(STEADY.policy, margin=0.99)
)


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders by time: which customer, when (epoch ms), for how much, how many units."""

    customer: "np.typing.NDArray[np.int64]"
    time_ms: "np.typing.NDArray[np.int64]"
    amount: "np.typing.NDArray[np.float64]"
    units: "np.typing.NDArray[np.int64]"


def orders(n: int, customers: int, start_ms: int, days: float, seed: int) -> Orders:
    """Orders of customers drawn evenly; the basket is the customer's own size."""
    generator = np.random.default_rng(seed)
    customer = generator.integers(0, customers, n)
    time_ms = np.sort(start_ms + generator.integers(0, round(days * DAY_MS), n))
    size = 8.0 * 1.6 ** (customer % 7)
    amount = np.round(size * generator.lognormal(0.0, 0.4, n), 2)
    units = 1 + generator.poisson(size / 8.0)
    return Orders(customer, time_ms, amount, units)


def customer_id(number: int) -> str:
    """Return a customer's id."""
    return f"c{number:08d}"


def lines(found: Orders, label: str) -> Iterator[bytes]:
    """One JSON object per order, about 200 bytes each; `label` keeps ids of runs apart."""
    stamps = found.time_ms.astype("datetime64[ms]").astype(str).tolist()
    columns = (found.customer.tolist(), stamps, found.amount.tolist(), found.units.tolist())
    for i, (who, ts, amount, units) in enumerate(zip(*columns, strict=True)):
        yield (
            f'{{"event_id":"{label}-{i:09d}","customer_id":"{customer_id(who)}","ts":"{ts}Z",'
            f'"type":"purchase","order_id":"o-{label}-{i:09d}","amount":{amount},'
            f'"quantity":{units},"channel":"store","branch_id":"s{who % 97:03d}",'
            f'"currency":"EUR"}}\n'
        ).encode()


def write_lines(path: Path, found: Orders, label: str) -> int:
    """Write events to a file; returns its bytes."""
    with path.open("wb") as file:
        file.writelines(lines(found, label))
    return path.stat().st_size


def replay_of(events: list[Event], label: str) -> Replay:
    """Return events as a source, without bytes."""
    parsed: list[Parsed] = list(events)
    chunks = []
    for start in range(0, len(parsed), 20_000):
        part = parsed[start : start + 20_000]
        chunks.append(Chunk(start, [b""] * len(part), part, [""] * len(part)))
    return Replay(label, chunks)


def events(found: Orders, label: str) -> list[Event]:
    """Return the same events, parsed."""
    return [msgspec.json.decode(line, type=Event) for line in lines(found, label)]


@dataclass(frozen=True, slots=True)
class Population:
    """What a store holds of `SHAPES` customers who ordered on about ten days each.

    Attributes
    ----------
    end_ms
        Where its clock stands; nothing is in the dedupe memory but a few last orders.
    """

    claim: Claim
    records: tuple[StoredRecord, ...]
    end_ms: int


@cache
def population() -> Population:
    """Stream a season of orders into memory."""
    store, sink = MemoryStore(), MemorySink()
    engine = Engine(SETTINGS, store, sink)
    found = orders(SHAPES * ACTIVE_DAYS, SHAPES, START_MS, SEED_DAYS, SEED)
    engine.run(replay_of(events(found, "seed"), "seed"))
    return Population(store.claim(), tuple(store.records()), int(found.time_ms[-1]))


def fill(store: Store, shapes: Population, customers: int) -> None:
    """Put `customers` records into an empty store: the shapes again and again."""
    epoch = store.claim().epoch
    held = shapes.claim
    # A few customers never ordered.
    n = len(shapes.records)
    meta = msgspec.structs.replace(held.meta, next_slot=customers, customers=customers)
    for start in range(0, customers, 50_000):
        records = [
            StoredRecord(slot, customer_id(slot), shapes.records[slot % n].blob)
            for slot in range(start, min(customers, start + 50_000))
        ]
        store.commit(
            Batch(
                epoch=epoch,
                position=Position(),
                meta=meta,
                records=records,
                ended=(),
                outbox=Outbox(),
                panel=PanelBlock(),
                ledger=b"",
                new_day=False,
                trainer=held.trainer,
                models=(),
            )
        )


def spec_digest() -> str:
    """Digest of the spec that the states are made with."""
    return compile_spec(SETTINGS).spec.digest
