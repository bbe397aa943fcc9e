"""What a playbook says of cities and coupons that differ from the others.

Whether one differs is a matter of figures (`segstream.core.differing`); a template says for which
of those there is something to do, and what. The first that fits speaks.
"""

import re
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from segstream.core.places_answer import Advice, PlaceKind

Way = Literal["more", "less"]
MARKS: Final = ("place", "segment")
"""What texts may name in braces."""
_MARK: Final = re.compile(r"\{([^{}]*)\}")


class PlaceTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do where a city, coupon, merchant or branch differs from the others of its list.

    Attributes
    ----------
    name
        What people call it; each name once.
    of
        What it is said of.
    redeemed
        Whether more or less of the claimed coupons are redeemed there. This, or `segment`.
    segment
        Whether a segment is more or less frequent in that city; `{segment}` is its name.
    ratio_at_least, ratio_at_most
        The figure there over that of all: the rate of redemption, or the segment's share.
    claims_at_least, customers_at_least
        Coupons claimed there, and customers, at least.
    strategy
        One sentence: what to aim at; `{place}` is the city, coupon, merchant or branch.
    actions
        Next best actions, the first first.
    """

    name: str
    of: tuple[PlaceKind, ...]
    strategy: str
    actions: tuple[str, ...]
    redeemed: Way | None = None
    segment: Way | None = None
    ratio_at_least: float | None = None
    ratio_at_most: float | None = None
    claims_at_least: int = 0
    customers_at_least: int = 0

    @property
    def marks(self) -> list[str]:
        """Names in braces, in strategy and actions."""
        return [mark for text in (self.strategy, *self.actions) for mark in _MARK.findall(text)]


class Finding(msgspec.Struct, frozen=True):
    """A place that differs, for templates to speak of.

    Attributes
    ----------
    way
        More or less, of redemptions or of the segment.
    ratio
        The figure there over that of all.
    segment
        Id and name; None where it is redemption that differs.
    why
        The figures in one sentence.
    """

    kind: PlaceKind
    place: str
    way: Way
    ratio: float
    claims: int
    customers: int
    segment: tuple[int, str] | None
    why: str


def advice(templates: Sequence[PlaceTemplate], found: Finding) -> list[Advice]:
    """Return what the first template that fits says; nothing where none does."""
    for template in templates:
        if _fits(template, found):
            break
    else:
        return []
    words = {"place": found.place, "segment": found.segment[1] if found.segment else ""}

    def filled(text: str) -> str:
        return _MARK.sub(lambda mark: words.get(mark[1], mark[0]), text)

    return [
        Advice(
            template.name, found.why, filled(template.strategy),
            [filled(action) for action in template.actions],
            found.segment[0] if found.segment else None,
        )
    ]  # fmt: skip


def _fits(template: PlaceTemplate, found: Finding) -> bool:
    low, high = template.ratio_at_least, template.ratio_at_most
    return (
        found.kind in template.of
        and found.way == (template.segment if found.segment else template.redeemed)
        and found.claims >= template.claims_at_least
        and found.customers >= template.customers_at_least
        and (low is None or found.ratio >= low)
        and (high is None or found.ratio <= high)
    )


def place_words(template: PlaceTemplate) -> str:
    """Write a template's conditions for people.

    >>> place_words(PlaceTemplate("n", ("city",), "s", ("a",), "more", claims_at_least=50))
    'city: more of its coupons redeemed; claims at least 50'
    """
    if template.redeemed:
        parts = [f"{template.redeemed} of its coupons redeemed"]
    else:
        parts = [f"{template.segment} of a segment"]
    parts += [
        f"{name} {side} {bound:g}{of}"
        for name, side, bound, of in (
            ("", "at least", template.ratio_at_least, " times all"),
            ("", "at most", template.ratio_at_most, " times all"),
            ("claims", "at least", template.claims_at_least or None, ""),
            ("customers", "at least", template.customers_at_least or None, ""),
        )
        if bound is not None
    ]
    return f"{', '.join(template.of)}: {'; '.join(part.strip() for part in parts)}"
