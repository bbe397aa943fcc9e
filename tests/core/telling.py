"""A segment change as bytes, made from the contract by hand; for the twin."""

import hashlib
import json
import math
from datetime import UTC, datetime
from typing import Any

import msgspec
from tests.core.engine import NAMESPACE

from segstream.core.model import Model, Segment
from segstream.core.spec import Spec


def told_id(parts: list[object]) -> str:
    """First 32 hex digits of SHA-256 of a JSON array without spaces."""
    text = json.dumps(parts, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def moment(ms: int) -> str:
    """UTC, to the millisecond."""
    whole = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{ms % 1000:03d}Z"


def _find(model: Model, number: int | None) -> Segment | None:
    return next((s for s in (*model.segments, *model.retired) if s.id == number), None)


def _named(model: Model, number: int | None) -> dict[str, Any] | None:
    segment = _find(model, number)
    if number is None:
        return None
    return {"id": number, "name": segment.name if segment else f"segment {number}"}


def _direction(model: Model, a: int | None, b: int | None) -> str:
    """Up or down where the segments' mean spends differ by over a twentieth of the larger."""
    before, after = _find(model, a), _find(model, b)
    if a is None or b is None:
        return "level"
    x = (before.average[model.value_feature] or 0.0) if before else 0.0
    y = (after.average[model.value_feature] or 0.0) if after else 0.0
    if abs(y - x) <= 0.05 * max(abs(x), abs(y)):
        return "level"
    return "up" if y > x else "down"


def _drivers(
    spec: Spec, model: Model, a: int | None, b: int, raw: tuple[float | None, ...],
    scaled: list[float],
) -> tuple[float, list[dict[str, Any]]]:  # fmt: skip
    """Contributions sum to the margin; the four largest are told."""
    former, target = _find(model, a), _find(model, b)
    assert target is not None
    centre = former.centre if former else (0.0,) * len(scaled)
    averages = former.average if former else model.population
    gains = [
        (x - p) * (x - p) - (x - q) * (x - q)
        for x, p, q in zip(scaled, centre, target.centre, strict=True)
    ]
    largest = sorted(range(len(gains)), key=lambda j: (-abs(gains[j]), j))[:4]
    drivers = [
        {
            "feature": spec.names[j], "contribution": _rounded(gains[j]), "value": _rounded(raw[j]),
            "from_average": _rounded(averages[j]), "to_average": _rounded(target.average[j]),
        }
        for j in largest
        if gains[j] != 0
    ]  # fmt: skip
    return round(math.fsum(gains), 6), drivers


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def tell(
    spec: Spec, model: Model, customer_id: str, sequence: int, from_: int | None, to: int | None,
    reason: str, as_of: int, cause: str, entered: int, since: int,
    raw: tuple[float | None, ...], scaled: list[float],
) -> bytes:  # fmt: skip
    """One CloudEvents 1.0 JSON object."""
    margin: float | None = None
    drivers: list[dict[str, Any]] = []
    if to is not None:
        margin, drivers = _drivers(spec, model, from_, to, raw, scaled)
    data = {
        "customer_id": customer_id, "sequence": sequence, "from": _named(model, from_),
        "to": _named(model, to), "reason": reason, "direction": _direction(model, from_, to),
        "times_entered": entered, "since": None if from_ is None else moment(since),
        "margin": margin, "model": f"{model.generation}.{model.revision}", "drivers": drivers,
    }  # fmt: skip
    change = {
        "specversion": "1.0",
        "id": told_id([NAMESPACE, customer_id, sequence, from_, to, as_of, cause]),
        "source": f"/segstream/{NAMESPACE}", "type": "segstream.segment.changed.v1",
        "subject": customer_id, "time": moment(as_of), "datacontenttype": "application/json",
        "data": data,
    }  # fmt: skip
    return msgspec.json.encode(change)
