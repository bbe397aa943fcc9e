"""A dumb oracle: every feature from the raw events of a customer, one loop each, no tiles.

It keeps nothing but the events. Orders are counted in the hour of their earliest line; a line
counts for an order where some order measure of the spec counts it.
"""

import math

from tests.core.counting import (
    HOUR_MS,
    added,
    between,
    counts,
    factor,
    measure_named,
    rivals,
    touches,
)  # fmt: skip

from segstream.core.events import Event
from segstream.core.spec import Feature, Measure, Spec

HOURS_PER_YEAR = 8765.82


def hour_of(event: Event) -> int:
    """Whole UTC hours since 1970 of an event that was drawn in epoch milliseconds."""
    assert isinstance(event.ts, int)
    return event.ts // HOUR_MS


def total(spec: Spec, measure: Measure, events: list[Event], since: float, until: int) -> int:
    """Stored units of a measure in the hours `since` to `until`, both included."""
    if measure.value == "order":
        return sum(since <= h <= until for h in order_hours(spec, measure, events))
    return sum(added(measure, e) for e in events if since <= hour_of(e) <= until)


def order_hours(spec: Spec, measure: Measure, events: list[Event]) -> list[int]:
    """The hour of each order that the measure counts."""
    orders = [m for m in spec.measures if m.value == "order"]
    loose = [hour_of(e) for e in events if e.order_id is None and counts(measure, e)]
    named = []
    for order_id in {e.order_id for e in events if e.order_id is not None and counts(measure, e)}:
        lines = [e for e in events if e.order_id == order_id and any(counts(m, e) for m in orders)]
        named.append(min(map(hour_of, lines)))
    return loose + named


def touched(measure: Measure, events: list[Event]) -> list[int]:
    """Hours of the events that recency looks back to."""
    return [hour_of(e) for e in events if touches(measure, e)]


def attribute(name: str, events: list[Event]) -> object:
    """The latest value said; None where nobody said one. Equal times: the test avoids them."""
    said = [e for e in events if getattr(e, name) is not None]
    return getattr(max(said, key=lambda e: e.ts), name) if said else None


def feature(spec: Spec, f: Feature, events: list[Event], hour: int) -> float | None:
    """One raw feature of a customer at a whole hour; None where it is missing."""
    if f.kind in ("count", "sum", "mean", "ratio"):
        return _window(spec, f, events, hour)
    if f.kind in ("recency", "gap", "overdue"):
        return _silence(spec, f, events, hour)
    if f.kind == "tenure" and f.attribute is None:
        return (hour - min(map(hour_of, events))) / 24
    return _profile(spec, f, events, hour)


def _window(spec: Spec, f: Feature, events: list[Event], hour: int) -> float:
    width = math.inf if f.window_days is None else round(f.window_days * 24)
    measure = measure_named(spec, f.measure)
    above = total(spec, measure, events, hour - width + 1, hour) * factor(measure)
    if f.per is None:
        return above
    per = measure_named(spec, f.per)
    below = total(spec, per, events, hour - width + 1, hour) * factor(per)
    return above / below if below != 0 else 0.0


def _silence(spec: Spec, f: Feature, events: list[Event], hour: int) -> float | None:
    measure = measure_named(spec, f.measure)
    hours = touched(measure, events)
    recency = (hour - max(hours or [min(map(hour_of, events))])) / 24
    if f.kind == "recency":
        return recency
    n = total(spec, measure, events, -math.inf, hour)
    if f.kind == "gap":
        return (max(hours) - min(hours)) / 24 / (n - 1) if n >= 2 else None
    usual = (hour - min(hours)) / 24 / n if n else 0.0
    return recency / between(f.floor, usual, f.ceiling)


def _profile(spec: Spec, f: Feature, events: list[Event], hour: int) -> float | None:
    value = attribute(f.attribute or "", events)
    if value is None:
        return None
    if f.kind == "one_hot":
        if f.category == "other":
            return float(value not in rivals(spec, f))
        return float(value == f.category)
    assert isinstance(value, int | float)
    if f.kind == "tenure":
        return max(hour - int(value) // HOUR_MS, 0) / 24
    if f.kind == "age":
        return float(math.floor(1970 + hour / HOURS_PER_YEAR) - value)
    if f.attribute == "income":
        return round(value * 10_000) * (1 / 10_000)
    return float(value)


def vector(spec: Spec, events: list[Event], hour: int) -> tuple[float | None, ...]:
    """Every raw feature of a customer at a whole hour."""
    return tuple(feature(spec, f, events, hour) for f in spec.features)


def transformed(f: Feature, raw: float) -> float:
    """Offset, clip, scale and log of a feature, as the spec's docstring says it."""
    value = max(raw - f.offset, 0.0) if f.offset else raw
    value = between(f.least, value, f.clip) / f.scale
    return math.copysign(math.log1p(abs(value)), value) if f.transform == "log1p" else value
