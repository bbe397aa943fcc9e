"""What one event adds to one measure, read from the contract: plain Python for oracle and twin."""

from collections.abc import Sequence

from segstream.core.events import Event, Item
from segstream.core.spec import Feature, Measure, Spec

UNITS = 10_000
HOUR_MS = 3_600_000
_ITEM_FIELDS = ("category", "product_id")


def lines_of(event: Event) -> Sequence[Event | Item]:
    """The items of an order, else the event itself as its only line."""
    return event.items or [event]


def passing(measure: Measure, event: Event) -> list[Event | Item]:
    """Lines of the event that the measure's filters let through."""
    if event.type not in measure.types:
        return []
    for field, allowed in measure.where.items():
        if field not in _ITEM_FIELDS and getattr(event, field) not in allowed:
            return []
    by_item = [(f, allowed) for f, allowed in measure.where.items() if f in _ITEM_FIELDS]
    return [x for x in lines_of(event) if all(getattr(x, f) in allowed for f, allowed in by_item)]


def counts(measure: Measure, event: Event) -> bool:
    """Whether the measure counts the event."""
    return bool(passing(measure, event))


def touches(measure: Measure, event: Event) -> bool:
    """Whether the event is one that recency looks back to: a return never is."""
    return event.type != "return" and counts(measure, event)


def line_amount(line: Event | Item) -> float:
    """Currency units of one line."""
    if line.amount is not None:
        return line.amount
    return line.quantity * (line.unit_price or 0.0)


def stored(value: float) -> int:
    """Whole 1e-4 units, half to even."""
    return round(value * UNITS)


def added(measure: Measure, event: Event) -> int:
    """Stored units the event adds; orders are counted elsewhere."""
    lines = passing(measure, event)
    if measure.value == "event":
        return 1 if lines else 0
    sign = -1 if event.type == "return" else 1
    if measure.value == "amount":
        return sign * sum(stored(line_amount(x)) for x in lines)
    total = sum(stored(getattr(x, measure.value)) for x in lines)
    if measure.value == "discount" and event.items and lines and not _by_item(measure):
        total += stored(event.discount)
    return sign * total


def _by_item(measure: Measure) -> bool:
    return any(field in _ITEM_FIELDS for field in measure.where)


def factor(measure: Measure) -> float:
    """Real units per stored unit."""
    return 1.0 if measure.value in ("order", "event") else 1.0 / UNITS


def between(low: float | None, value: float, high: float | None) -> float:
    """The value, or the limit that it passes; no limit where it is absent."""
    if high is not None and value > high:
        return high
    return low if low is not None and value < low else value


def measure_named(spec: Spec, name: str | None) -> Measure:
    """A measure by its name."""
    return next(m for m in spec.measures if m.name == name)


def rivals(spec: Spec, feature: Feature) -> set[str]:
    """Values named by one-hot features of the same attribute: what `other` is not."""
    return {
        f.category
        for f in spec.features
        if f.kind == "one_hot" and f.attribute == feature.attribute
        and f.category and f.category != "other"
    }  # fmt: skip
