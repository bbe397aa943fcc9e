"""One customer called ann, a broad spec, and her features after some events."""

from tests.core.engine import HOUR_MS, Engine, policy
from tests.core.strategies import START_MS

from segstream.core.events import Event
from segstream.core.spec import CompiledSpec, Feature, Measure, Spec

MEASURES = (
    Measure("orders", ("purchase",), "order"),
    Measure("web_orders", ("purchase",), "order", {"channel": ("web",)}),
    Measure("lines", ("purchase",), "event"),
    Measure("returns", ("return",), "event"),
    Measure("spend", ("purchase", "return"), "amount"),
    Measure("units", ("purchase", "return"), "quantity"),
    Measure("discount", ("purchase",), "discount"),
    Measure("wine", ("purchase",), "amount", {"category": ("wine",)}),
)
SPEC = CompiledSpec(
    Spec(
        MEASURES,
        (
            *(Feature(m.name, "sum", m.name) for m in MEASURES),
            Feature("orders_1d", "count", "orders", window_days=1),
            Feature("basket", "mean", "spend", "orders"),
            Feature("since_order", "recency", "orders"),
            Feature("since_wine", "recency", "wine"),
            Feature("tenure", "tenure"),
            Feature("income", "attribute", attribute="income"),
            Feature("in_ulm", "one_hot", attribute="city", category="Ulm"),
            Feature("elsewhere", "one_hot", attribute="city", category="other"),
            Feature("age", "age", attribute="birth_year"),
        ),
    )
)
HOUR = START_MS // HOUR_MS


def made(kind: str = "purchase", at: int = 0, number: int = 0, **fields: object) -> Event:
    """An event of ann, `at` hours after the start."""
    plain = {"event_id": f"e{number}", "customer_id": "ann", "ts": START_MS + at * HOUR_MS}
    return Event(**{**plain, "type": kind, **fields})  # type: ignore[arg-type]


def fed(*events: Event | None, until_hour: int = 0) -> Engine:
    return Engine(SPEC, policy()).batch(events, (HOUR + until_hour) * 60 + 59)


def features_of(*events: Event, until_hour: int = 0) -> dict[str, float | None]:
    return fed(*events, until_hour=until_hour).features("ann")
