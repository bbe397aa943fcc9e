"""Prints a digest of all that a fixed run gives out: for comparing processes."""

import hashlib
import random

from tests.core.engine import HOUR_MS, MINUTE_MS, Engine, model_of, policy
from tests.core.strategies import START_MS

from segstream.core.events import Event
from segstream.core.spec import CompiledSpec, Feature, Measure, Spec

SPEC = Spec(
    (
        Measure("orders", ("purchase",), "order", {"channel": ("web", "store", "app")}),
        Measure("spend", ("purchase", "return"), "amount"),
        Measure("wine", ("purchase",), "quantity", {"category": ("wine", "beer")}),
    ),
    (
        Feature("orders", "count", "orders", window_days=3, transform="log1p"),
        Feature("basket", "mean", "spend", "orders", transform="log1p"),
        Feature("wine", "ratio", "wine", "orders", window_days=7),
        Feature("since", "recency", "wine", transform="log1p"),
        Feature("city", "one_hot", attribute="city", category="Ulm"),
        Feature("elsewhere", "one_hot", attribute="city", category="other"),
    ),
)
CENTRES = [[0.5, 2.0, 0.5, 0.0, 1.0, 0.0], [1.5, 4.0, 2.0, 1.0, 0.0, 1.0], [0.0] * 6]
KINDS = ("purchase", "purchase", "return", "visit", "profile", "erase")


def events(n: int) -> list[Event]:
    """A seeded log of some customers over about a week."""
    drawn = random.Random(7)
    return [
        Event(
            event_id=f"e{drawn.randrange(3 * n)}", customer_id=f"c{drawn.randrange(40)}",
            ts=START_MS + i * 5 * MINUTE_MS - drawn.choice([0, 0, 7]) * HOUR_MS,
            type=drawn.choices(KINDS, [9, 9, 2, 3, 2, 0.2])[0],  # type: ignore[arg-type]
            order_id=f"o{drawn.randrange(50)}", amount=drawn.randrange(10_000) / 100,
            channel=drawn.choice(["web", "store", "fax"]), city=drawn.choice(["Ulm", "Rom", None]),
            category=drawn.choice(["wine", "beer", "bread"]),
        )
        for i in range(n)
    ]  # fmt: skip


def digest() -> str:
    """SHA-256 over records, changes, totals and panel rows."""
    engine = Engine(CompiledSpec(SPEC), policy(forget_hours=100), model_of(SPEC, CENTRES))
    engine.batch(events(2000), START_MS // MINUTE_MS + 12 * 1440)
    assert len(engine.changes) > 100
    found = (engine.store, engine.changes, engine.days, engine.panel, engine.meta)
    return hashlib.sha256(repr(found).encode()).hexdigest()


if __name__ == "__main__":
    print(digest())
