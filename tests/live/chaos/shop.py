"""What a log of a small shop should come to: the feed, and what the embedded engine makes of it."""

import random
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import msgspec
from tests.cli import feeds

from segstream.adapters.memory import MemorySink, MemorySource, MemoryStore
from segstream.core.events import epoch_ms, parse_json_lines
from segstream.core.model import Model
from segstream.engine import Engine
from segstream.settings import Settings

BASE: Final = Settings(currency="USD")
HOUR_MS: Final = 3_600_000


@dataclass(frozen=True)
class Row:
    """One message of the log."""

    key: bytes
    value: bytes
    time_ms: int


@dataclass(frozen=True)
class Expected:
    """What an undisturbed run leaves."""

    records: dict[str, bytes]
    changes: list[bytes]
    clock_minute: int
    counts: dict[str, int]


def rows(customers: int, days: int, seed: int) -> list[Row]:
    """A log with returns, erasures, duplicates, late and bad events.

    A late event comes right after one of its customer that is on time: how late it is is judged
    by the clock of its partition, and then all partitions would agree.
    """
    rng = random.Random(seed)
    made: list[Row] = []
    for event in feeds.events(customers, days, seed):
        on_time = _row(event)
        made.append(on_time)
        made.extend(_dirt(rng, event, on_time))
    return made


def _dirt(rng: random.Random, event: dict[str, Any], on_time: Row) -> list[Row]:
    luck = rng.random()
    if luck < 0.03:
        return [on_time]
    if luck < 0.06 and event["type"] == "purchase":
        late = event | {"event_id": event["event_id"] + "-late", "ts": event["ts"] - 5 * HOUR_MS}
        late.pop("order_id")
        return [Row(on_time.key, msgspec.json.encode(late), on_time.time_ms)]
    if luck < 0.08:
        return [Row(on_time.key, rng.choice((b"{not json", b"", b"[]")), on_time.time_ms)]
    if luck < 0.09:
        bad = event | {"event_id": event["event_id"] + "-bad", "type": "purchased"}
        return [Row(on_time.key, msgspec.json.encode(bad), on_time.time_ms)]
    return []


def _row(event: dict[str, Any]) -> Row:
    return Row(event["customer_id"].encode(), msgspec.json.encode(event), event["ts"])


@cache
def fixed_model() -> Model:
    """A model of four segments, made by an embedded run of a shop of its own."""
    early = msgspec.structs.replace(BASE.model, k=4, start="early", min_panel=50)
    settings = msgspec.structs.replace(BASE, model=early)
    engine = Engine(settings, MemoryStore(), MemorySink())
    payloads = [row.value for row in rows(150, 30, seed=99)]
    engine.run(MemorySource(payloads, parse_json_lines(payloads), "model"))
    model = engine.partition.model
    assert model is not None
    return model


def expected(settings: Settings, log: list[Row], model: Model | None) -> Expected:
    """Run the embedded engine over the log, with a model or with a trainer of its own."""
    store, sink = MemoryStore(), MemorySink()
    engine = Engine(settings, store, sink, fixed_model=model)
    payloads = [row.value for row in log]
    engine.run(MemorySource(payloads, parse_json_lines(payloads), "shop"))
    meta = engine.partition.meta()
    names = ("applied", "duplicates", "skipped", "dead")
    return Expected(
        {r.customer_id: r.blob for r in store.records()},
        sorted(body for _, body in sink.changes),
        meta.clock_minute,
        {name: getattr(meta, name) for name in names},
    )


def event_rows(events: list[Any]) -> list[Row]:
    """Rows of parsed events, each with its own bytes."""
    return [Row(e.customer_id.encode(), msgspec.json.encode(e), epoch_ms(e.ts)) for e in events]
