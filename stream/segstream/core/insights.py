"""Insights: what each segment buys, and who it consists of.

    Purchases ► likelihoods, baskets, shares ► InsightsTable

Everything is counted over the last days of event time and over those who are in a segment when
somebody looks. Money and units are in currency units and pieces, returns subtracted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from segstream.core import baskets
from segstream.core.coupons import coupons_of
from segstream.core.events import PURCHASE, RETURN
from segstream.core.frequent import Read
from segstream.core.insights_answer import (
    Country,
    GroupInsights,
    InsightsTable,
    Likelihood,
    Pair,
    Share,
    TopProduct,
)
from segstream.core.likelihoods import (
    Bought,
    Lines,
    Sales,
    bought,
    distinct,
    lift,
    ranks,
    sales,
    wilson,
)
from segstream.core.place_counts import People
from segstream.core.place_playbook import PlaceTemplate
from segstream.core.places import Telling, places_of
from segstream.core.places_answer import Places
from segstream.core.purchases import (
    CLAIMED,
    NONE,
    REDEEMED,
    TRAIT_TEXTS,
    Purchases,
    Table,
    last_told,
)
from segstream.core.spec import UNITS_PER_ONE, BoolArray, IntArray

TOP_PRODUCTS: Final = 50


@dataclass(frozen=True, slots=True)
class Members:
    """Who is counted.

    Attributes
    ----------
    slots : shape (n,), ascending; purchases of others are left out
    segment : shape (n,), id of the published segment, -1 for none
    segment_ids
        Living segments, in the order of the result.
    """

    slots: IntArray
    segment: IntArray
    segment_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What to count, and how much of it to tell.

    Attributes
    ----------
    as_of, model
        See `InsightsTable`.
    last_day, days
        The window: so many UTC days up to this one (days since 1970).
    products, pairs
        Told per group, at most; None for all products. As many cities and coupons as products.
    names
        Of products, by id.
    segment_names
        By segment id.
    advice
        The playbook's templates for cities and coupons.
    notices
        What was wrong before counting.
    """

    as_of: str
    model: str | None
    last_day: int
    days: int
    products: int | None = 100
    pairs: int = 20
    names: Mapping[str, str] = field(default_factory=dict)
    segment_names: Mapping[int, str] = field(default_factory=dict)
    advice: Sequence[PlaceTemplate] = ()
    notices: Sequence[str] = ()

    @property
    def first_day(self) -> int:
        """First day counted."""
        return self.last_day - self.days + 1


@dataclass(frozen=True, slots=True)
class _Things:
    """Products, or categories: who bought which, and what all customers bought.

    Attributes
    ----------
    rank : shape (things,), place of each text in the alphabet
    """

    texts: Sequence[str]
    rank: IntArray
    found: Bought
    whole: Sales


@dataclass(frozen=True, slots=True)
class _Basis:
    """What every group is counted from; customers are rows of `members` from here on."""

    look: Look
    population: int
    orders: Table
    lines: Lines
    products: _Things
    categories: _Things
    traits: Table
    texts: Mapping[str, Sequence[str]]
    revenue: int


def insights(read: Read, members: Members, look: Look) -> InsightsTable:
    """Count what each segment buys.

    Parameters
    ----------
    read
        Purchases from the first day of the window on; those of later days do not count.
    """
    basis = _basis(read.purchases, members, look)
    everyone = np.ones(len(members.slots), dtype=bool)
    return InsightsTable(
        as_of=look.as_of,
        window_days=look.days,
        model=look.model,
        all=_group(basis, everyone),
        segments={str(i): _group(basis, members.segment == i) for i in members.segment_ids},
        countries=[Country(s.value, s.customers) for s in _told(basis, "country", everyone)],
        top_products=_top_products(basis),
        notices=_notices(basis, read),
        exact=read.error is None,
        error=read.error,
        segment_names={
            str(i): look.segment_names.get(i, f"segment {i}") for i in members.segment_ids
        },
        places=_places(basis, members),
    )


# ---- from slots to customers ---------------------------------------------------------------


def _basis(rows: Purchases, members: Members, look: Look) -> _Basis:
    customer = _rows_of(rows.orders["slot"], members.slots)
    day = rows.orders["day"]
    kept = (customer >= 0) & (day >= look.first_day) & (day <= look.last_day)
    orders = {name: column[kept] for name, column in rows.orders.items()}
    orders["customer"] = customer[kept]
    orders["number"] = _numbers(orders)
    moved = np.cumsum(kept) - 1
    inside = kept[rows.lines["at"]]
    lines = {name: column[inside] for name, column in rows.lines.items()}
    lines["at"] = moved[lines["at"]]
    traits = last_told(rows.traits)
    traits["customer"] = _rows_of(traits["slot"], members.slots)
    known = traits["customer"] >= 0
    products, categories = (_things(orders, lines, rows, name) for name in ("product", "category"))
    return _Basis(
        look=look,
        population=len(members.slots),
        orders=orders,
        lines=_lines(orders, lines, "product"),
        products=products,
        categories=categories,
        traits={name: column[known] for name, column in traits.items()},
        texts=rows.texts,
        revenue=int(orders["spend"].sum()),
    )


def _rows_of(slots: IntArray, known: IntArray) -> IntArray:
    """Row of each slot among the known ones, which ascend; -1 where it is none of them."""
    if not len(known):
        return np.full(len(slots), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(known, slots), len(known) - 1)
    return np.where(known[at] == slots, at, -1)


def _numbers(orders: Table) -> IntArray:
    """Number orders: one of a customer is one, on however many days its lines stand."""
    order = np.lexsort((orders["order"], orders["customer"]))
    customer, hashed = orders["customer"][order], orders["order"][order]
    begins = np.zeros(len(order), dtype=bool)
    begins[1:] = (customer[1:] != customer[:-1]) | (hashed[1:] != hashed[:-1])
    number = np.zeros(len(order), dtype=np.int64)
    number[order] = np.cumsum(begins)
    return number


def _lines(orders: Table, lines: Table, name: str) -> Lines:
    some = lines[name] != NONE
    at = lines["at"][some]
    return Lines(
        customer=orders["customer"][at],
        order=orders["number"][at],
        thing=lines[name][some],
        units=lines["units"][some],
        spend=lines["spend"][some],
        returned=orders["kind"][at] == RETURN,
    )


def _things(orders: Table, lines: Table, rows: Purchases, name: str) -> _Things:
    texts = rows.texts.get(name, [])
    found = bought(_lines(orders, lines, name))
    customers = int(orders["customer"].max()) + 1 if len(orders["customer"]) else 0
    return _Things(
        texts, ranks(texts), found, sales(found, np.ones(customers, dtype=bool), len(texts))
    )


# ---- one group -----------------------------------------------------------------------------


def _group(basis: _Basis, members: BoolArray) -> GroupInsights:
    look, orders = basis.look, basis.orders
    inside = members[orders["customer"]]
    ordered = inside & (orders["kind"] == PURCHASE)
    revenue = int(orders["spend"][inside].sum())
    size = int(members.sum())
    return GroupInsights(
        customers=size,
        buyers=len(distinct(orders["customer"][ordered])),
        orders=len(distinct(orders["number"][ordered])),
        revenue=revenue / UNITS_PER_ONE,
        revenue_share=revenue / basis.revenue if basis.revenue else 0.0,
        products=_likelihoods(basis, basis.products, members, look.names),
        categories=_likelihoods(basis, basis.categories, members, {}),
        pairs=_pairs(basis, members),
        shares=_shares(basis, members),
    )


def _likelihoods(
    basis: _Basis, things: _Things, members: BoolArray, names: Mapping[str, str]
) -> list[Likelihood]:
    """What the group bought, the likeliest first."""
    own, size = sales(things.found, members, len(things.texts)), int(members.sum())
    at = np.flatnonzero(own.customers)
    # The id last, so that the order never depends on how codes were given.
    ranks = (things.rank[at], -own.spend[at], -own.orders[at], -own.customers[at])
    at = at[np.lexsort(ranks)][: basis.look.products]
    if not len(at):
        return []
    share = wilson(own.customers[at], size)
    ratio = lift(own.customers[at], size, things.whole.customers[at], basis.population)
    ids = [things.texts[i] for i in at.tolist()]
    columns = (
        ids, [names.get(i, i) for i in ids], own.customers[at].tolist(), own.orders[at].tolist(),
        (own.units[at] / UNITS_PER_ONE).tolist(), (own.spend[at] / UNITS_PER_ONE).tolist(),
        *(column.tolist() for column in (*share, *ratio)),
    )  # fmt: skip
    return [Likelihood(*row) for row in zip(*columns, strict=True)]


def _pairs(basis: _Basis, members: BoolArray) -> list[Pair]:
    lines, texts, names = basis.lines, basis.products.texts, basis.look.names
    inside = members[lines.customer] & ~lines.returned
    chosen = baskets.Basket(lines.customer[inside], lines.order[inside], lines.thing[inside])
    found = baskets.pairs(chosen, basis.look.pairs)
    return [
        Pair(
            texts[a], texts[b], names.get(texts[a], texts[a]), names.get(texts[b], texts[b]), *rest
        )
        for a, b, *rest in zip(*(column.tolist() for column in found), strict=True)
    ]


# ---- shares --------------------------------------------------------------------------------


def _shares(basis: _Basis, members: BoolArray) -> dict[str, list[Share]]:
    """Customers with each value; what nobody told anything of is left out."""
    found = {name: _told(basis, name, members) for name in TRAIT_TEXTS}
    for name in ("channel", "merchant", "branch"):
        found[name] = _used(basis, name, members)
    found["coupon"] = _coupons(basis, members)
    return {name: shares for name, shares in found.items() if shares}


def _told(basis: _Basis, name: str, members: BoolArray) -> list[Share]:
    traits = basis.traits
    at = (traits["trait"] == TRAIT_TEXTS.index(name)) & members[traits["customer"]]
    return _counted(traits["customer"][at], traits["value"][at], basis.texts.get(name, []), members)


def _used(basis: _Basis, name: str, members: BoolArray) -> list[Share]:
    codes, customer = basis.orders[name], basis.orders["customer"]
    at = (codes != NONE) & (basis.orders["kind"] != RETURN) & members[customer]
    return _counted(customer[at], codes[at], basis.texts.get(name, []), members)


def _coupons(basis: _Basis, members: BoolArray) -> list[Share]:
    kind, customer = basis.orders["kind"], basis.orders["customer"]
    ways: dict[str, BoolArray] = {
        "claimed": kind == CLAIMED,
        "redeemed": kind == REDEEMED,
        "in an order": (kind == PURCHASE) & (basis.orders["coupon"] != NONE),
    }
    size = max(1, int(members.sum()))
    counts = {way: len(distinct(customer[at & members[customer]])) for way, at in ways.items()}
    return [Share(way, n, n / size) for way, n in counts.items() if n]


def _counted(
    customer: IntArray, code: IntArray, texts: Sequence[str], members: BoolArray
) -> list[Share]:
    """Distinct customers by value, most first."""
    if not len(customer):
        return []
    pairs = distinct(customer * len(texts) + code)
    counts = np.bincount(pairs % len(texts), minlength=len(texts)).tolist()
    size = int(members.sum())
    rows = sorted((-n, text) for n, text in zip(counts, texts, strict=True) if n)
    return [Share(text, -n, -n / size) for n, text in rows]


# ---- over all ------------------------------------------------------------------------------


def _top_products(basis: _Basis) -> list[TopProduct]:
    whole, texts, names = basis.products.whole, basis.products.texts, basis.look.names
    at = np.flatnonzero(whole.customers).tolist()
    at = sorted(at, key=lambda i: (-whole.orders[i], -whole.customers[i], texts[i]))[:TOP_PRODUCTS]
    columns = (
        at,
        whole.customers[at].tolist(),
        whole.orders[at].tolist(),
        (whole.units[at] / UNITS_PER_ONE).tolist(),
        (whole.spend[at] / UNITS_PER_ONE).tolist(),
    )
    return [
        TopProduct(texts[i], names.get(texts[i], texts[i]), *counts)
        for i, *counts in zip(*columns, strict=True)
    ]


def _places(basis: _Basis, members: Members) -> list[Places]:
    traits, look = basis.traits, basis.look
    city = np.full(basis.population, NONE, dtype=np.int64)
    told = traits["trait"] == TRAIT_TEXTS.index("city")
    city[traits["customer"][told]] = traits["value"][told]
    # Ascending, whichever way the model or the changes list them.
    ids = tuple(sorted(members.segment_ids))
    people = People(members.segment, city, ids, look.segment_names)
    telling = Telling(look.products, look.advice)
    return places_of(people, coupons_of(basis.orders), basis.texts, telling)


def _notices(basis: _Basis, read: Read) -> list[str]:
    found = list(basis.look.notices)
    if not len(basis.orders["slot"]):
        found.append("no purchases or coupons in the window")
    elif not basis.products.texts:
        found.append("the events name no products: product_id and category are empty")
    if read.error is not None:
        found.append(
            f"more different products than are told apart: one with under {read.error:.2%} of all "
            "product lines may be left out; what is shown is counted exactly"
        )
    return found
