"""Two models beside each other: what became of each segment between them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

import msgspec
import numpy as np

from segstream.core.identity import Descent
from segstream.core.model import Model, Segment

AVERAGES_TOLD: Final = 3

Became = Literal["survived", "split", "merged", "new", "returned", "retired"]


class Shift(msgspec.Struct, frozen=True):
    """How a feature's average moved, real units; `spreads` in deviations between segments."""

    feature: str
    then: float | None
    now: float | None
    spreads: float


class Compared(msgspec.Struct, frozen=True):
    """One segment in two models.

    Attributes
    ----------
    became
        `returned`: it had retired before, and a rollback brought it back.
    parents
        Ids of the segments most of its customers come from; of a retired one where they went.
    share_then, share_now
        Of the panel, 0 to 1; None where the model has it not.
    shifts
        The averages that changed most, the strongest first.
    """

    segment: int
    became: Became
    parents: tuple[int, ...]
    name_then: str | None
    name_now: str | None
    share_then: float | None
    share_now: float | None
    shifts: tuple[Shift, ...] = ()


def compare(
    models: Sequence[Model], then: Model, now: Model, features: Collection[str]
) -> list[Compared]:
    """Compare a model with a later one.

    Parameters
    ----------
    models
        Every model, oldest first: the generations between tell what became of a segment.
    features
        Whose averages are compared.

    Returns
    -------
    list
        Segments of `now` in its order, then those that are gone.
    """
    steps = [m for m in _births(models) if then.generation < m.generation <= now.generation]
    spread = {f: s for f, s in _spread(then, now).items() if f in features}
    before = {s.id: s for s in then.segments}
    after = {s.id: s for s in now.segments}
    known = before.keys() | {s.id for s in then.retired}
    found = []
    for i in [*after, *(i for i in before if i not in after)]:
        became, parents = _became(i, i in before, i in after, i in known, steps)
        old, new = before.get(i), after.get(i)
        found.append(
            Compared(
                i,
                became,
                parents,
                name_then=old.name if old else None,
                name_now=new.name if new else None,
                share_then=old.share if old else None,
                share_now=new.share if new else None,
                shifts=_shifts(now.features, old, new, spread),
            )
        )
    return found


def _births(models: Sequence[Model]) -> list[Model]:
    """The first model of each generation."""
    first: dict[int, Model] = {}
    for model in models:
        first.setdefault(model.generation, model)
    return [first[generation] for generation in sorted(first)]


def _became(
    segment: int, was: bool, is_there: bool, known: bool, steps: Sequence[Model]
) -> tuple[Became, tuple[int, ...]]:
    """Follow one id through the generations between."""
    told = [d for step in steps for d in step.lineage if d.segment == segment]
    if was and is_there:
        merged = [d for d in told if d.fate == "merged"]
        return ("merged", merged[-1].parents) if merged else ("survived", (segment,))
    if was:
        gone = [d for d in told if d.fate == "retired"]
        return "retired", gone[-1].parents if gone else ()
    if known:
        return "returned", ()
    born = next((d for d in told if d.fate != "retired"), Descent(segment, "new", ()))
    return born.fate, born.parents


def _spread(then: Model, now: Model) -> Mapping[str, float]:
    """Deviation of each feature's average between the segments of both models."""
    rows = [s.average for s in (*then.segments, *now.segments)]
    found = {}
    for feature, column in zip(now.features, zip(*rows, strict=True), strict=True):
        known = [value for value in column if value is not None]
        found[feature] = float(np.std(known)) if known else 0.0
    return found


def _shifts(
    features: Sequence[str], old: Segment | None, new: Segment | None, spread: Mapping[str, float]
) -> tuple[Shift, ...]:
    if old is None or new is None:
        return ()
    shifts = [
        Shift(name, then, now, abs(now - then) / spread[name])
        for name, then, now in zip(features, old.average, new.average, strict=True)
        if then is not None and now is not None and then != now and spread.get(name, 0.0) > 0
    ]
    shifts.sort(key=lambda shift: -shift.spreads)
    return tuple(shifts[:AVERAGES_TOLD])
