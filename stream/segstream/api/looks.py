"""Answers about one customer, and what if: pure functions of a look, a lens and the population."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from segstream.api.answers import (
    Assignment,
    Assumed,
    ChangeDriver,
    Customer,
    Distance,
    FeatureValue,
    HistoryEntry,
    LastChange,
    OrderDay,
    Why,
    WhyDriver,
)
from segstream.api.lens import Lens
from segstream.api.problems import ProblemError
from segstream.core import layout as at
from segstream.core.changes import rfc3339
from segstream.core.model import Segment
from segstream.core.portrait import quantity
from segstream.core.spec import FloatArray

Values = Mapping[str, float]
"""Features by name, real units; NaN is unknown."""
Texts = Mapping[str, str]
"""The same, for people."""
HISTORY: Final = 100
"""Changes of a customer that are told at most: a restless one has thousands."""


@dataclass(frozen=True, slots=True)
class Look:
    """One customer as the store has it.

    Attributes
    ----------
    as_of_ms
        The clock of its records.
    segment, since_ms
        As published last; `NO_SEGMENT` where nothing was.
    raw, scaled : shape (F,), as of its last evaluation
    """

    customer_id: str
    as_of_ms: int
    segment: int
    since_ms: int
    raw: FloatArray
    scaled: FloatArray
    lens: Lens
    orders: list[OrderDay] | None = None


def customer_answer(look: Look, means: Texts, history: Sequence[bytes]) -> Customer:
    """Everything known of a customer."""
    lens = look.lens
    ranked = lens.ranked(look.scaled)
    unassigned = look.segment == at.NO_SEGMENT
    return Customer(
        customer_id=look.customer_id,
        as_of=rfc3339(max(look.as_of_ms, 0)),
        segment_id=None if unassigned else look.segment,
        segment=lens.name(look.segment),
        since=None if unassigned else rfc3339(look.since_ms),
        margin=_margin(look.segment, ranked),
        nearest_id=ranked[0][0] if ranked else None,
        features=_features(look, means),
        distances=[Distance(i, lens.name(i) or "", d) for i, d in ranked],
        history=[history_entry(line) for line in history],
        orders=look.orders,
    )


def _features(look: Look, means: Texts) -> list[FeatureValue]:
    return [
        FeatureValue(
            name, label, unit, finite(value), quantity(value, unit),
            means.get(name) or quantity(None, unit),
        )
        for (name, label, unit), value in zip(look.lens.words, look.raw.tolist(), strict=True)
    ]  # fmt: skip


def mean_texts(lens: Lens, means: Values) -> Texts:
    """Write the means of all customers for people."""
    return {name: quantity(means.get(name), unit) for name, _, unit in lens.words}


def _margin(segment: int, ranked: Sequence[tuple[int, float]]) -> float | None:
    own = dict(ranked).get(segment)
    others = [d for i, d in ranked if i != segment]
    return others[0] - own if own is not None and others else None


def finite(value: float) -> float | None:
    """Return the value; None for NaN."""
    return value if math.isfinite(value) else None


# ---- history ---------------------------------------------------------------------------


class _Ref(msgspec.Struct):
    id: int
    name: str


class _Data(msgspec.Struct):
    sequence: int
    reason: Any
    direction: Any
    model: str
    to: _Ref | None
    from_: _Ref | None = msgspec.field(name="from")


class _Change(msgspec.Struct):
    time: str
    data: _Data


class _DrivenData(_Data):
    drivers: list[ChangeDriver] = []


class _Driven(msgspec.Struct):
    time: str
    data: _DrivenData


_CHANGE: Final = msgspec.json.Decoder(_Change)
_DRIVEN: Final = msgspec.json.Decoder(_Driven)


def history_entry(line: bytes) -> HistoryEntry:
    """Read a published change."""
    change = _CHANGE.decode(line)
    data, from_, to = change.data, change.data.from_, change.data.to
    return HistoryEntry(
        change.time, from_.id if from_ else None, from_.name if from_ else None,
        to.id if to else None, to.name if to else None,
        data.reason, data.direction, data.sequence, data.model,
    )  # fmt: skip


def _last_change(history: Sequence[bytes]) -> LastChange | None:
    if not history:
        return None
    change = _DRIVEN.decode(history[-1])
    data = change.data
    names = (data.from_.name if data.from_ else None, data.to.name if data.to else None)
    return LastChange(change.time, data.reason, *names, data.drivers)


# ---- why -------------------------------------------------------------------------------


def why_answer(look: Look, history: Sequence[bytes]) -> Why:
    """What separates a customer from the next segment, the strongest first."""
    lens = look.lens
    ranked = lens.ranked(look.scaled)
    following = next((i for i, _ in ranked if i != look.segment), None)
    drivers = [] if following is None else _drivers(look, following)
    return Why(
        customer_id=look.customer_id,
        segment=lens.name(look.segment),
        next=None if following is None else lens.name(following),
        margin=_margin(look.segment, ranked),
        drivers=drivers,
        last_change=_last_change(history),
    )


def _drivers(look: Look, following: int) -> list[WhyDriver]:
    own, other = _segment(look.lens, look.segment), _segment(look.lens, following)
    if own is None or other is None:
        return []
    features = look.lens.spec.spec.features
    apart = (look.scaled - np.array(other.centre)) ** 2 - (look.scaled - np.array(own.centre)) ** 2
    order = np.argsort(-np.abs(apart), kind="stable").tolist()
    return [
        WhyDriver(
            features[j].name, look.lens.spec.describe(features[j]), finite(float(look.raw[j])),
            own.average[j], other.average[j], float(apart[j]),
        )
        for j in order
        if features[j].use == "cluster"
    ]  # fmt: skip


def _segment(lens: Lens, segment_id: int) -> Segment | None:
    """A living segment: a retired one has a centre in another scaling."""
    segments = lens.model.segments if lens.model else ()
    return next((s for s in segments if s.id == segment_id), None)


# ---- what if ---------------------------------------------------------------------------


def medians_of(lens: Lens, medians: Values) -> list[Assumed]:
    """What stands for each feature that is not given."""
    return [
        Assumed(name, label, finite(medians[name]), quantity(medians[name], unit))
        for name, label, unit in lens.words
    ]


def assign_answer(lens: Lens, medians: Sequence[Assumed], given: dict[str, float]) -> Assignment:
    """Segment of a vector made of given values and medians.

    Parameters
    ----------
    medians
        One per feature, in the order of the spec.

    Raises
    ------
    ProblemError
        422 for an unknown feature or a value that is out of range.
    """
    _check(lens, given)
    values = [given.get(m.name, m.value) for m in medians]
    raw = np.array([math.nan if value is None else value for value in values])
    ranked = lens.ranked(lens.scale(raw))
    if lens.model is None or not ranked:
        raise ProblemError(503, "no-model", "expected a model, got none yet; feed more events")
    if not math.isfinite(ranked[-1][1]):
        raise ProblemError(422, "out-of-range", "features: expected values whose squared "
                           "distance is a number, got larger ones; give real units")  # fmt: skip
    segment = _segment(lens, ranked[0][0])
    after = ranked[1] if len(ranked) > 1 else None
    return Assignment(
        segment_id=ranked[0][0],
        segment=lens.name(ranked[0][0]) or "",
        description=segment.description if segment else "",
        action=segment.action if segment else "",
        actions=list(segment.actions) if segment else [],
        averages=dict(zip(lens.spec.spec.names, segment.average, strict=True)) if segment else {},
        distance=ranked[0][1],
        next_id=after[0] if after else None,
        next=lens.name(after[0]) if after else None,
        next_distance=after[1] if after else None,
        distances=[Distance(i, lens.name(i) or "", d) for i, d in ranked],
        model=lens.model.version,
        given=given,
        assumed=[m for m in medians if m.name not in given and m.name in lens.clustered],
    )


def _check(lens: Lens, given: Mapping[str, float]) -> None:
    unknown = [name for name in given if name not in lens.spec.spec.names]
    if unknown:
        known = ", ".join(lens.spec.spec.names)
        raise ProblemError(
            422, "unknown-feature", f"features: expected some of {known}; got {unknown[0][:60]!r}"
        )
