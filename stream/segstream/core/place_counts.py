"""Customers, claims and redemptions by city, coupon, merchant and branch, and which differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from segstream.core.coupons import Coupons
from segstream.core.differing import ALPHA, design_effect, enough, holm, p_values
from segstream.core.likelihoods import Interval, distinct, lift, wilson
from segstream.core.places_answer import Looked, PlaceKind
from segstream.core.purchases import NONE
from segstream.core.spec import BoolArray, FloatArray, IntArray

_NOBODY: Final = Looked(0, 0, 0)


@dataclass(frozen=True, slots=True)
class People:
    """Customers, by row.

    Attributes
    ----------
    segment : shape (customers,), id of the published segment, -1 for none
    city : shape (customers,), code of the last city told, `NONE` for none
    segment_ids, names
        Living segments in the order of the result, and what they are called.
    """

    segment: IntArray
    city: IntArray
    segment_ids: tuple[int, ...]
    names: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Group:
    """Customers, claims and redemptions of one kind of place; what names none is left out.

    Attributes
    ----------
    texts
        The places, by code.
    member, place : shape (pairs,), each customer of each place once
    claim, claimant, used : shape (claims,), its place, its customer, whether it was redeemed
    redeemed : shape (places,)
    """

    kind: PlaceKind
    texts: Sequence[str]
    member: IntArray
    place: IntArray
    claim: IntArray
    claimant: IntArray
    used: BoolArray
    redeemed: IntArray


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts and verdicts by place; shape (places,) each.

    Attributes
    ----------
    rate
        Where nothing was claimed it means nothing.
    whole
        Of all places, shape (1,) each; None where there is no rate.
    way
        1 where more is redeemed, -1 where less, 0 where not, after adjustment.
    p
        Adjusted, NaN where there is too little to tell.
    """

    customers: IntArray
    claimed: IntArray
    used: IntArray
    rate: Interval
    whole: Interval | None
    way: IntArray
    p: FloatArray
    looked: Looked


@dataclass(frozen=True, slots=True)
class Shares:
    """Customers by place and segment, shape (rows, segments) each.

    Attributes
    ----------
    rows
        Row of each place.
    lift
        Raveled; None but for cities.
    way
        As of `Counts`.
    known
        Whether there is enough to tell.
    """

    rows: Mapping[int, int]
    customers: IntArray
    lift: Interval | None
    way: IntArray
    known: BoolArray
    looked: Looked


def groups_of(people: People, coupons: Coupons, texts: Mapping[str, Sequence[str]]) -> list[Group]:
    """Cities, coupons, merchants and branches, where events name any."""
    groups = [_cities(people, coupons, texts.get("city", []))]
    kinds: tuple[PlaceKind, ...] = ("coupon", "merchant", "branch")
    groups += [_by(kind, coupons, texts.get(kind, [])) for kind in kinds]
    return [group for group in groups if len(group.member)]


# ---- groups -------------------------------------------------------------------------------


def _cities(people: People, coupons: Coupons, texts: Sequence[str]) -> Group:
    member = np.flatnonzero(people.city != NONE)
    claim, redeemed = (people.city[t["customer"]] for t in (coupons.claimed, coupons.redeemed))
    return _group("city", texts, (member, people.city[member]), (claim, redeemed), coupons)


def _by(kind: PlaceKind, coupons: Coupons, texts: Sequence[str]) -> Group:
    claim, redeemed = coupons.claimed[kind], coupons.redeemed[kind]
    who = np.concatenate([coupons.claimed["customer"], coupons.redeemed["customer"]])
    code = np.concatenate([claim, redeemed])
    some = code != NONE
    pairs = distinct(who[some] * max(1, len(texts)) + code[some])
    members = (pairs // max(1, len(texts)), pairs % max(1, len(texts)))
    return _group(kind, texts, members, (claim, redeemed), coupons)


def _group(
    kind: PlaceKind,
    texts: Sequence[str],
    members: tuple[IntArray, IntArray],
    codes: tuple[IntArray, IntArray],
    coupons: Coupons,
) -> Group:
    """Keep the claims and redemptions that have a place, given its code in each."""
    claim, redeemed = codes
    some = claim != NONE
    return Group(
        kind, texts, *members, claim[some], coupons.claimed["customer"][some],
        coupons.used[some], np.bincount(redeemed[redeemed != NONE], minlength=len(texts)),
    )  # fmt: skip


# ---- redemption ----------------------------------------------------------------------------


def counts_of(group: Group) -> Counts:
    """Count claims and redemptions by place, and compare them."""
    n = len(group.texts)
    claimed = np.bincount(group.claim, minlength=n)
    used = np.bincount(group.claim[group.used], minlength=n)
    customers = np.bincount(group.place, minlength=n)
    all_claimed, all_used = int(claimed.sum()), int(used.sum())
    # Where nothing tells of redemptions, none is a rate of 0.
    known = all_claimed > 0 and int(group.redeemed.sum()) > 0
    rate = wilson(used, np.maximum(claimed, 1))
    p, way = np.full(n, np.nan), np.zeros(n, dtype=np.int64)
    if not known:
        return Counts(customers, claimed, used, rate, None, way, p, _NOBODY)
    # Most coupons have a claim or two, and are not compared whoever made them.
    many = enough(claimed, np.array(all_used), all_claimed, claimed)[group.claim]
    claimants, effect = design_effect(group.claim[many], group.claimant[many], group.used[many], n)
    tested = np.flatnonzero(enough(claimed, np.array(all_used), all_claimed, claimants))
    p[tested] = holm(
        p_values(used[tested], claimed[tested], np.array(all_used), all_claimed, effect[tested])
    )
    whole = wilson(np.array([all_used]), all_claimed)
    outside = _outside(rate, float(whole.value[0]), tested)
    way[tested] = np.where(p[tested] < ALPHA, outside, 0)
    looked = Looked(len(tested), int((outside != 0).sum()), int((way != 0).sum()))
    return Counts(customers, claimed, used, rate, whole, way, p, looked)


def _outside(found: Interval, middle: float, at: IntArray) -> IntArray:
    """1 where the interval lies above a value, -1 below, 0 where it holds it."""
    above, below = found.low[at] > middle, found.high[at] < middle
    return above.astype(np.int64) - below


# ---- segments ------------------------------------------------------------------------------


def shares_of(group: Group, people: People, at: IntArray) -> Shares:
    """Count customers by segment in some places, and compare them where they are cities.

    Parameters
    ----------
    at : shape (rows,), codes of places that have customers, each once
    """
    own, size = _by_segment(group, people, at)
    way = np.zeros(own.shape, dtype=np.int64)
    rows = {place: row for row, place in enumerate(at.tolist())}
    if group.kind != "city" or not own.size:
        return Shares(rows, own, None, way, way > 0, _NOBODY)
    everyone, population = own.sum(axis=0), len(group.member)
    n, k = own.shape
    # A segment without customers has no lift, and is not told one.
    found = lift(own.ravel(), np.repeat(size, k), np.tile(np.maximum(everyone, 1), n), population)
    known = enough(size[:, None], everyone, population, size[:, None])
    some = np.flatnonzero(known)
    row, column = np.divmod(some, k)
    p = p_values(own.ravel()[some], size[row], everyone[column], population, np.ones(len(some)))
    outside = _outside(found, 1.0, some)
    way.ravel()[some] = np.where(holm(p) < ALPHA, outside, 0)
    looked = Looked(len(some), int((outside != 0).sum()), int((way != 0).sum()))
    return Shares(rows, own, found, way, known, looked)


def _by_segment(group: Group, people: People, at: IntArray) -> tuple[IntArray, IntArray]:
    """Customers by place and living segment, and by place."""
    n, k = len(at), len(people.segment_ids)
    row = np.full(len(group.texts), n, dtype=np.int64)
    row[at] = np.arange(n)
    column = np.full(max((*people.segment_ids, 0)) + 2, k, dtype=np.int64)
    column[list(people.segment_ids)] = np.arange(k)
    index = column[np.minimum(people.segment[group.member], len(column) - 1)]
    # Other places are a row of their own, and who is in no living segment a column.
    flat = np.bincount(row[group.place] * (k + 1) + index, minlength=(n + 1) * (k + 1))
    table = flat.reshape(n + 1, k + 1)[:n]
    return table[:, :k], table.sum(axis=1)
