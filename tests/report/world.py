"""A small shop run through the real engine, as a view."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from segstream.adapters.memory import MemorySink, MemorySource
from segstream.adapters.sqlite_store import SqliteStore
from segstream.core.events import Event, parse_json
from segstream.core.spec import Feature, Measure
from segstream.core.trainer_state import TrainerSettings
from segstream.engine import Engine
from segstream.settings import Settings, compile_spec
from segstream.view import View

DAY_MS = 86_400_000
START_MS = 1_483_228_800_000
"""2017-01-01."""
NASTY = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<b>bold</b>",
    'a,b;"c"\n=1+1',
    "名前 \u202e",
)
EARLY = TrainerSettings(k=3, min_panel=10, start="early", refit_days=0)
NO_SPEND = Settings(
    namespace="clicks",
    model=EARLY,
    measures=(Measure("orders", ("purchase",), "order"),),
    features=(
        Feature("orders_30d", "count", measure="orders", window_days=30, transform="log1p"),
        Feature("recency_days", "recency", measure="orders", unit="days"),
    ),
)


def events(days: int = 150) -> Iterator[Event]:
    """Heavy, light and lapsing customers; some with names that no page expects."""
    for day in range(days):
        for i in range(30):
            every, until = ((2, days), (14, days), (3, 80))[i % 3]
            # One of three of the lapsing comes back.
            back = i % 9 == 2 and day > 120
            if (day + i) % every == 0 and (day < until or back):
                name = NASTY[i] if i < len(NASTY) else f"c{i}"
                yield Event(
                    event_id=f"{i}-{day}", customer_id=name, type="purchase",
                    ts=START_MS + day * DAY_MS + i * 1000,
                    amount=(40.0, 10.0, 25.0)[i % 3] + i, quantity=1.0 + i % 4,
                )  # fmt: skip


def view_of(settings: Settings, folder: Path, days: int = 150, with_changes: bool = True) -> View:
    """Run the shop and look at it."""
    payloads = [msgspec.json.encode(event) for event in events(days)]
    source = MemorySource(payloads, [parse_json(p) for p in payloads], "shop")
    store, sink = SqliteStore(folder, compile_spec(settings).spec.digest, "token"), MemorySink()
    try:
        engine = Engine(settings, store, sink)
        engine.run(source)
        changes = [body for _, body in sink.changes] if with_changes else []
        models, ledger = store.models(), store.ledger()
    finally:
        store.close()
    return View(settings, engine.partition, engine.trainer_state, models, ledger, changes)
