"""Coupons: each claim once, and whether it was redeemed since.

    orders ► events, each once ► Coupons

A redemption belongs to the oldest open claim of the same customer and coupon; where coupons have
no id, of the same customer, merchant and branch. One whose claim lies before the window, or was
never told, redeems no claim of the window.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from segstream.core.purchases import CLAIMED, NONE, REDEEMED, Table
from segstream.core.spec import BoolArray, IntArray

WHERE: Final = ("coupon", "merchant", "branch")
"""What a coupon event says of itself."""
_EVENT: Final = ("number", "kind", *WHERE)


class Coupons(NamedTuple):
    """Claims and redemptions of a window; columns `customer` and those of `WHERE`.

    Attributes
    ----------
    claimed, redeemed
        One row per event.
    used : shape (claims,), whether the claim was redeemed since
    """

    claimed: Table
    used: BoolArray
    redeemed: Table


def coupons_of(orders: Table) -> Coupons:
    """Find claims and redemptions.

    Parameters
    ----------
    orders
        `customer`, `number` of the order among all, `kind`, `day`, and those of `WHERE`. Lines of
        one order that say the same are one event.
    """
    events = _events(orders)
    claim = events["kind"] == CLAIMED
    used = _used(events, claim)
    kept = ("customer", *WHERE)
    return Coupons(
        {name: events[name][claim] for name in kept},
        used[claim],
        {name: events[name][~claim] for name in kept},
    )


def _events(orders: Table) -> Table:
    """Coupon events, each once and on its first day."""
    some = np.isin(orders["kind"], (CLAIMED, REDEEMED))
    rows = {name: orders[name][some] for name in ("customer", "day", *_EVENT)}
    if not len(rows["number"]) or np.bincount(rows["number"]).max() == 1:
        return rows
    order = np.lexsort((rows["day"], *(rows[name] for name in reversed(_EVENT))))
    rows = {name: column[order] for name, column in rows.items()}
    first = _begins([rows[name] for name in _EVENT])
    return {name: column[first] for name, column in rows.items()}


def _used(events: Table, claim: BoolArray) -> BoolArray:
    """Whether each claim was redeemed: of a key's claims the oldest ones, as first come."""
    n = len(claim)
    if not n:
        return np.zeros(0, dtype=bool)
    has_id = events["coupon"] != NONE
    keys = [
        events["customer"],
        events["coupon"],
        np.where(has_id, NONE, events["merchant"]),
        np.where(has_id, NONE, events["branch"]),
    ]
    keys = [key for key in keys if (key != key[0]).any()] or keys[:1]
    # On one day a claim comes before its redemption: feeds of dates tell no more. Then the number,
    # so that the blocks decide nothing.
    order = np.lexsort((events["number"], 2 * events["day"] + ~claim, *keys))
    first = _begins([key[order] for key in keys])
    group, starts = np.cumsum(first) - 1, np.flatnonzero(first)
    claims, redemptions = (x[order].astype(np.int64) for x in (claim, ~claim))
    opened = _running(claims, group, starts)
    spare = opened - _running(redemptions, group, starts)
    lost = np.maximum(0, -np.minimum.reduceat(spare, starts))
    redeemed = np.add.reduceat(redemptions, starts) - lost
    used = np.zeros(n, dtype=bool)
    used[order] = opened <= redeemed[group]
    return used & claim


def _begins(columns: Sequence[IntArray]) -> BoolArray:
    """Whether a row differs from the one before it."""
    first = np.zeros(len(columns[0]), dtype=bool)
    first[:1] = True
    for column in columns:
        first[1:] |= column[1:] != column[:-1]
    return first


def _running(values: IntArray, group: IntArray, starts: IntArray) -> IntArray:
    """Sum up within each group."""
    total = np.cumsum(values)
    before = total[starts] - values[starts]
    return total - before[group]
