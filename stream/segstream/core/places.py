"""Cities and coupons: who is there, what they claim and redeem, and what differs.

    traits, coupons ► Groups ► Counts, Shares ► advice ► Places

Cities are the customers' own, the last told of each. Coupons are told by id where customers share
one, and by the merchant and the branch they belong to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segstream.core.coupons import Coupons
from segstream.core.likelihoods import Interval, distinct, ranks
from segstream.core.place_counts import (
    Counts,
    Group,
    People,
    Shares,
    counts_of,
    groups_of,
    shares_of,
)
from segstream.core.place_playbook import Finding, PlaceTemplate, Way, advice
from segstream.core.places_answer import Advice, Differs, Place, Places, PlaceSegment
from segstream.core.places_words import (
    coupons_say,
    redemption_why,
    segment_why,
    segments_say,
    single_says,
)
from segstream.core.spec import IntArray


@dataclass(frozen=True, slots=True)
class Telling:
    """How much to tell: `most` places of each list (None for all), and the playbook's templates."""

    most: int | None = 100
    templates: Sequence[PlaceTemplate] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class _Found:
    """A list, counted."""

    group: Group
    people: People
    counts: Counts
    shares: Shares

    @property
    def whole(self) -> tuple[float, float, float] | None:
        """Rate of all places with its interval."""
        return None if self.counts.whole is None else _three(self.counts.whole, 0)

    def rates(self, i: int) -> tuple[float, float, float] | None:
        """Rate of a place with its interval."""
        if self.counts.whole is None or not self.counts.claimed[i]:
            return None
        return _three(self.counts.rate, i)

    def lift(self, i: int, j: int) -> tuple[float, float, float] | None:
        """Lift of a segment in a place with its interval."""
        if self.shares.lift is None or not self.shares.customers[:, j].any():
            return None
        return _three(self.shares.lift, self.shares.rows[i] * len(self.people.segment_ids) + j)


def _three(found: Interval, i: int) -> tuple[float, float, float]:
    value, low, high = (float(x[i]) for x in found)
    return value, low, high


def _known(
    three: tuple[float, float, float] | None,
) -> tuple[float | None, float | None, float | None]:
    return three or (None, None, None)


def places_of(
    people: People, coupons: Coupons, texts: Mapping[str, Sequence[str]], telling: Telling
) -> list[Places]:
    """List cities, coupons, merchants and branches; what no event names is left out.

    Parameters
    ----------
    texts
        By `city` and the columns of the coupons: what their codes stand for.
    """
    return [_listed(group, people, telling) for group in groups_of(people, coupons, texts)]


def _listed(group: Group, people: People, telling: Telling) -> Places:
    counts = counts_of(group)
    there = np.flatnonzero(counts.customers)
    # An id that nobody shares is that of a voucher, not of a coupon.
    single = group.kind == "coupon" and int(counts.customers.max()) == 1
    shares = shares_of(group, people, there if group.kind == "city" else there[:0])
    shown = there[:0] if single else _ordered(group, counts, shares, there)[: telling.most]
    if group.kind != "city":
        shares = shares_of(group, people, shown)
    found = _Found(group, people, counts, shares)
    whole, customers = found.whole, len(distinct(group.member))
    told = (int(counts.claimed.sum()), int(group.redeemed.sum()))
    rate = whole[0] if whole else None
    says = coupons_say(group.kind, len(there), counts.looked, told, rate)
    if single:
        says = single_says(len(there))
    return Places(
        group.kind, len(there), customers, len(people.segment) - customers, told[0],
        int(counts.used.sum()), told[1], *_known(whole),
        counts.looked, shares.looked, [*says, *segments_say(shares.looked)],
        [_place(found, telling.templates, i) for i in shown.tolist()],
    )  # fmt: skip


def _ordered(group: Group, counts: Counts, shares: Shares, there: IntArray) -> IntArray:
    """What one can act on first: the most coupons, then segments, that differ from usual."""
    whole = 0.0 if counts.whole is None else float(counts.whole.value[0])
    gap = np.where(counts.way != 0, np.abs(counts.used - whole * counts.claimed), 0.0)
    differing = np.zeros(len(group.texts), dtype=np.int64)
    differing[list(shares.rows)] = (shares.way != 0).sum(axis=1)
    # The text last, so that the order never depends on how codes were given.
    columns = (ranks(group.texts), -counts.customers, -counts.claimed, -differing, -gap)
    order: IntArray = there[np.lexsort([column[there] for column in columns])]
    return order


def _place(found: _Found, templates: Sequence[PlaceTemplate], i: int) -> Place:
    counts = found.counts
    known = not np.isnan(counts.p[i])
    return Place(
        found.group.texts[i], int(counts.customers[i]), _segments(found, i),
        int(counts.claimed[i]), int(counts.used[i]), int(found.group.redeemed[i]),
        *_known(found.rates(i)), _differs(int(counts.way[i]), known),
        float(counts.p[i]) if known else None, _advice(found, templates, i),
    )  # fmt: skip


def _differs(way: int, known: Any) -> Differs:
    if not known:
        return "unknown"
    return _way(way) if way else "same"


def _way(sign: int) -> Way:
    return "more" if sign > 0 else "less"


def _segments(found: _Found, i: int) -> list[PlaceSegment]:
    shares, customers, row = found.shares, int(found.counts.customers[i]), found.shares.rows[i]
    return [
        PlaceSegment(
            segment, int(shares.customers[row, j]), int(shares.customers[row, j]) / customers,
            *_known(found.lift(i, j)),
            _differs(int(shares.way[row, j]), shares.known[row, j]),
        )
        for j, segment in enumerate(found.people.segment_ids)
    ]  # fmt: skip


# ---- what to do ----------------------------------------------------------------------------


def _advice(found: _Found, templates: Sequence[PlaceTemplate], i: int) -> list[Advice]:
    """What the playbook says to each thing that differs, redemption first."""
    findings = [*_redemption(found, i), *_more_of_segments(found, i)]
    return [one for finding in findings for one in advice(templates, finding)]


def _redemption(found: _Found, i: int) -> list[Finding]:
    counts, rates, whole = found.counts, found.rates(i), found.whole
    if not counts.way[i] or rates is None or whole is None:
        return []
    claims, customers = int(counts.claimed[i]), int(counts.customers[i])
    why = redemption_why(rates, claims, whole[0])
    return [
        Finding(found.group.kind, found.group.texts[i], _way(int(counts.way[i])),
                rates[0] / whole[0], claims, customers, None, why)
    ]  # fmt: skip


def _more_of_segments(found: _Found, i: int) -> list[Finding]:
    people, shares, counts = found.people, found.shares, found.counts
    findings, row = [], shares.rows[i]
    for j in np.flatnonzero(shares.way[row]).tolist():
        lifted = found.lift(i, j)
        assert lifted is not None  # noqa: S101 - only what has a lift differs
        segment, own = people.segment_ids[j], int(shares.customers[row, j])
        name = people.names.get(segment, f"segment {segment}")
        claims, customers = int(counts.claimed[i]), int(counts.customers[i])
        why = segment_why(name, own, customers, lifted)
        findings.append(
            Finding(found.group.kind, found.group.texts[i], _way(int(shares.way[row, j])),
                    lifted[0], claims, customers, (segment, name), why)
        )  # fmt: skip
    return findings
