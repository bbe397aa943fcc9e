"""Names, descriptions, strategies and actions of segments, from what separates them.

A playbook is a list of templates: a name, the conditions on the figures that justify it, and what
to do. A name claims only what the averages show. It is pinned to the segment's id when the segment
is born; only a weekly check that finds its condition no longer true gives the id another name.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import msgspec

from segstream.core.place_playbook import PlaceTemplate
from segstream.core.portrait import (
    LEVELS,
    UNKNOWN,
    Figures,
    Level,
    Portrait,
    columns_of,
    describe,
    leading,
    plain_holds,
    plain_name,
    portraits,
)
from segstream.core.spec import CompiledSpec

PLAIN_STRATEGY: Final = "Look at what sets this segment apart before you choose an action."


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a figure of a segment must be; all bounds given must hold.

    Attributes
    ----------
    feature
        A role (`value`, `silence`, ...) or the name of one of your own features.
    ratio_at_least, ratio_at_most
        The segment's average over the average of all customers.
    at_least, at_most
        A level: the quintile of all customers in which the segment's average lies, from
        `very_low` to `very_high`.
    average_at_least, average_at_most
        The segment's average itself, in the feature's unit; a share is 0 to 1.
    """

    feature: str
    ratio_at_least: float | None = None
    ratio_at_most: float | None = None
    at_least: Level | None = None
    at_most: Level | None = None
    average_at_least: float | None = None
    average_at_most: float | None = None


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name, the figures that justify it, and what to do.

    Attributes
    ----------
    name
        What people call such a segment; each name once, without a colon.
    when
        Conditions, all of which must hold.
    strategy
        One sentence: what to aim at.
    actions
        Next best actions, the first first.
    description
        A sentence that stands before the segment's figures.
    """

    name: str
    when: tuple[Condition, ...]
    strategy: str
    actions: tuple[str, ...]
    description: str = ""


class Playbook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Templates in order of priority: the first that fits and is not taken names a segment.

    Attributes
    ----------
    description
        For people.
    template
        One `[[template]]` each; without any, names come from the strongest figures.
    place
        One `[[place]]` each: what to do where a city or a coupon differs from the others.
    """

    description: str = ""
    template: tuple[Template, ...] = ()
    place: tuple[PlaceTemplate, ...] = ()


class Label(NamedTuple):
    """What a segment is called, and what to do about it."""

    name: str
    description: str
    strategy: str
    actions: tuple[str, ...]


def missing(template: Template, spec: CompiledSpec) -> list[str]:
    """Features of a template that a spec has not: the template is never used with it."""
    return [c.feature for c in template.when if not columns_of(spec, c.feature)]


def fits(template: Template, spec: CompiledSpec, portrait: Portrait) -> bool:
    """Whether the figures show what a template claims; what is unknown is not claimed."""
    return all(_holds(condition, spec, portrait) for condition in template.when)


def _holds(c: Condition, spec: CompiledSpec, portrait: Portrait) -> bool:
    columns = columns_of(spec, c.feature)
    if not columns:
        return False
    j = leading(portrait, columns)
    ratio, average, level = portrait.ratio[j], portrait.average[j], portrait.level[j]
    if (c.at_least or c.at_most) and level == UNKNOWN:
        return False
    # A comparison with NaN is false: a figure nobody has holds no bound.
    bounds = (
        (c.ratio_at_least, ratio, c.ratio_at_most),
        (c.average_at_least, average, c.average_at_most),
        (_index(c.at_least), level, _index(c.at_most)),
    )
    return all(
        (low is None or bool(figure >= low)) and (high is None or bool(figure <= high))
        for low, figure, high in bounds
    )


def _index(level: Level | None) -> int | None:
    return None if level is None else LEVELS.index(level)


def words(condition: Condition) -> str:
    """Write a condition for people.

    >>> words(Condition("silence", ratio_at_least=2.0, at_most="high"))
    'silence at least 2 times all customers, at most high'
    """
    bounds = [
        f"{side} {bound:g}{of}"
        for of, low, high in (
            (" times all customers", condition.ratio_at_least, condition.ratio_at_most),
            ("", condition.average_at_least, condition.average_at_most),
        )
        for side, bound in (("at least", low), ("at most", high))
        if bound is not None
    ]
    for side, level in (("at least", condition.at_least), ("at most", condition.at_most)):
        if level is not None:
            bounds.append(f"{side} {level.replace('_', ' ')}")
    return f"{condition.feature} {', '.join(bounds)}"


# ---- names -----------------------------------------------------------------------------


def name_segments(
    playbook: Playbook,
    spec: CompiledSpec,
    figures: Figures,
    pinned: Sequence[Label | None],
    owned: Collection[int] = (),
) -> list[Label]:
    """Label each segment: by its pinned name where that is still true, else by a new one.

    Parameters
    ----------
    pinned
        What each row has been called, None where it is new.
    owned
        Rows whose name a person gave: it stays, whatever the figures show.
    """
    views = portraits(figures)
    names = {
        i: label.name
        for i, label in enumerate(pinned)
        if label is not None and (i in owned or still_fits(playbook, spec, label.name, views[i]))
    }
    for i, view in enumerate(views):
        if i not in names:
            names[i] = _choose(playbook, spec, view, set(names.values()))
    return [
        _label(playbook, spec, names[i], view, pinned[i] if i in owned else None)
        for i, view in enumerate(views)
    ]


def describe_anew(
    playbook: Playbook, spec: CompiledSpec, figures: Figures, pinned: Sequence[Label]
) -> list[Label]:
    """Keep every name, and describe it by the figures of today."""
    return [
        _label(playbook, spec, label.name, view, label)
        for label, view in zip(pinned, portraits(figures), strict=True)
    ]


def still_fits(playbook: Playbook, spec: CompiledSpec, name: str, portrait: Portrait) -> bool:
    """Whether what a name claims is still so; a plain one gives way to the first that fits."""
    base, _, detail = _unnumbered(name).partition(": ")
    template = _template(playbook, base)
    if template is not None:
        return fits(template, spec, portrait) and (
            not detail or plain_holds(spec, portrait, detail)
        )
    named = any(fits(t, spec, portrait) for t in playbook.template)
    return not named and plain_holds(spec, portrait, _unnumbered(name))


def _unnumbered(name: str) -> str:
    return re.sub(r" \(\d+\)$", "", name)


def _template(playbook: Playbook, name: str) -> Template | None:
    return next((t for t in playbook.template if t.name == name), None)


def _choose(playbook: Playbook, spec: CompiledSpec, portrait: Portrait, used: set[str]) -> str:
    fitting = [t.name for t in playbook.template if fits(t, spec, portrait)]
    for name in fitting:
        if name not in used:
            return name
    plain = plain_name(spec, portrait)
    base = f"{fitting[0]}: {plain}" if fitting else plain[:1].upper() + plain[1:]
    name, number = base, 2
    while name in used:
        name, number = f"{base} ({number})", number + 1
    return name


def _label(
    playbook: Playbook, spec: CompiledSpec, name: str, portrait: Portrait, pinned: Label | None
) -> Label:
    """Say what a name means; `pinned` speaks where the playbook knows it no longer."""
    template = _template(playbook, _unnumbered(name).partition(": ")[0])
    facts = describe(spec, portrait)
    if template is not None:
        said = f"{template.description} {facts}".lstrip()
        return Label(name, said, template.strategy, template.actions)
    if pinned is not None:
        return Label(name, facts, pinned.strategy, pinned.actions)
    return Label(name, facts, PLAIN_STRATEGY, ())
