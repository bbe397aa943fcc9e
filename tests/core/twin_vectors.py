"""The twin's vectors: features from tiles, scaling, and the nearest centre."""

import math

from tests.core.counting import HOUR_MS, between, factor, measure_named, rivals
from tests.core.twin_records import Customer

from segstream.core.model import Model
from segstream.core.spec import Feature, Spec

MISSING = None
Raw = tuple[float | None, ...]


def raw(spec: Spec, c: Customer, hour: int) -> Raw:
    """Every raw feature at a whole hour."""
    return tuple(_feature(spec, c, f, hour) for f in spec.features)


def _total(spec: Spec, c: Customer, name: str | None, days: float | None, hour: int) -> float:
    measure = measure_named(spec, name)
    m = spec.measures.index(measure)
    if days is None:
        return c.lifetime[m] * factor(measure)
    inside = [t[m] for h, t in c.tiles.items() if hour - h < round(days * 24)]
    return sum(inside) * factor(measure)


def _feature(spec: Spec, c: Customer, f: Feature, hour: int) -> float | None:
    if f.kind in ("count", "sum"):
        return _total(spec, c, f.measure, f.window_days, hour)
    if f.kind in ("mean", "ratio"):
        below = _total(spec, c, f.per, f.window_days, hour)
        return _total(spec, c, f.measure, f.window_days, hour) / below if below else 0.0
    if f.kind in ("recency", "gap", "overdue"):
        return _silence(spec, c, f, hour)
    if f.kind == "tenure" and f.attribute is None:
        return (hour - c.first_hour) / 24
    if f.attribute not in c.attributes:
        return MISSING
    return _said(spec, f, c.attributes[f.attribute][1], hour)


def _silence(spec: Spec, c: Customer, f: Feature, hour: int) -> float | None:
    m = next(i for i, measure in enumerate(spec.measures) if measure.name == f.measure)
    touched = c.touched.get(f.measure or "")
    recency = (hour - (touched[1] if touched else c.first_hour)) / 24
    if f.kind == "recency":
        return recency
    n = c.lifetime[m]
    if f.kind == "gap":
        return (touched[1] - touched[0]) / 24 / (n - 1) if touched and n >= 2 else MISSING
    usual = (hour - touched[0]) / 24 / n if touched else 0.0
    return recency / between(f.floor, usual, f.ceiling)


def _said(spec: Spec, f: Feature, value: float | str, hour: int) -> float:
    if f.kind == "one_hot":
        wanted = value == f.category
        return float(value not in rivals(spec, f) if f.category == "other" else wanted)
    assert not isinstance(value, str)
    if f.kind == "tenure":
        return max(hour - int(value) // HOUR_MS, 0) / 24
    if f.kind == "age":
        return float(math.floor(1970.0 + hour / 8765.82) - value)
    return round(value * 10_000) * (1 / 10_000) if f.attribute == "income" else float(value)


def scaled(spec: Spec, model: Model, vector: Raw) -> list[float]:
    """The model's view of a vector; the panel's median for what is missing."""
    result = []
    for j, (f, x) in enumerate(zip(spec.features, vector, strict=True)):
        if x is None:
            value = model.median[j]
        else:
            value = max(x - f.offset, 0.0) if f.offset else x
            value = between(f.least, value, f.clip)
            if f.transform == "log1p":
                value = math.copysign(math.log1p(abs(value) / f.scale), value)
            else:
                value = value / f.scale
        result.append((value - model.mean[j]) * model.weight[j])
    return result


def nearest(model: Model, vector: list[float]) -> tuple[int, float]:
    """Place of the nearest centre, the first of equals, and its squared distance."""
    distances = [squared(vector, s.centre) for s in model.segments]
    return distances.index(min(distances)), min(distances)


def squared(a: list[float], b: tuple[float, ...]) -> float:
    """Sum of squared differences, in order."""
    total = 0.0
    for x, y in zip(a, b, strict=True):
        total += (x - y) * (x - y)
    return total
