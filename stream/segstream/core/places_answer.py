"""What insights tell of cities and coupons: the shape of the lists."""

from typing import Literal

import msgspec

PlaceKind = Literal["city", "coupon", "merchant", "branch"]
Differs = Literal["more", "less", "same", "unknown"]
"""Beside the others of the list, once it is allowed for that so many are looked at: `unknown` where
there is too little to tell."""


class Advice(msgspec.Struct, frozen=True):
    """What the playbook says where a place differs.

    Attributes
    ----------
    name
        Of the template.
    why
        The figures behind it, in one sentence.
    segment_id
        Of the segment that is more or less frequent there; None where redemption differs.
    """

    name: str
    why: str
    strategy: str
    actions: list[str]
    segment_id: int | None


class PlaceSegment(msgspec.Struct, frozen=True):
    """A segment's customers in a place.

    Attributes
    ----------
    share
        Of the place's customers.
    lift, low, high
        Share by that among all customers who told a city, and its 95 % interval (delta method);
        None but for cities: who claims much is a customer of many coupons, merchants and branches.
    """

    segment_id: int
    customers: int
    share: float
    lift: float | None
    low: float | None
    high: float | None
    differs: Differs


class Place(msgspec.Struct, frozen=True):
    """A city, a coupon, or where coupons are claimed.

    Attributes
    ----------
    customers
        Who last told this city; of the others, who claimed or redeemed there in the window.
    segments
        By segment id.
    claimed
        Coupons claimed in the window.
    claimed_redeemed
        Of those, how many were redeemed since.
    redeemed
        Coupons redeemed in the window, whenever they were claimed.
    rate, low, high
        `claimed_redeemed` by `claimed`, and its 95 % interval (Wilson); None without claims, or
        where no event tells of a redemption at all.
    differs
        Whether more of them are redeemed than of those of the other places.
    p
        Of that difference, adjusted for the number of places (Holm); None where it is unknown.
    advice
        What the playbook says to it, the first first.
    """

    value: str
    customers: int
    segments: list[PlaceSegment]
    claimed: int
    claimed_redeemed: int
    redeemed: int
    rate: float | None
    low: float | None
    high: float | None
    differs: Differs
    p: float | None
    advice: list[Advice]


class Looked(msgspec.Struct, frozen=True):
    """How often it was looked whether something differs.

    Attributes
    ----------
    tested
        Comparisons with enough behind them.
    outside
        Of those, how many have an interval that leaves out the figure of all; one in twenty does
        by chance alone.
    differ
        How many differ once that is allowed for (Holm).
    """

    tested: int
    outside: int
    differ: int


class Places(msgspec.Struct, frozen=True):
    """All cities, or all coupons, merchants or branches of coupons.

    Attributes
    ----------
    count
        How many there are; `rows` may hold fewer, what one can act on first.
    customers, without
        With such a value, and those without.
    claimed, claimed_redeemed, redeemed, rate, low, high
        As of a place, over all places of the list.
    says
        What the rows come to, in sentences.
    """

    kind: PlaceKind
    count: int
    customers: int
    without: int
    claimed: int
    claimed_redeemed: int
    redeemed: int
    rate: float | None
    low: float | None
    high: float | None
    redemption: Looked
    segments: Looked
    says: list[str]
    rows: list[Place]
