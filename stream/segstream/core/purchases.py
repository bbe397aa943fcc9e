"""What was bought, batch by batch, as columns: what insights are made of.

    events ► purchase_rows ► Block ► bytes   stored with the batch, or by the insights role
    bytes ► Blocks ► Purchases               read together when somebody looks

A block carries its own texts, so that a batch needs to know nothing of those before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import numpy as np

from segstream.core.columns import Columns
from segstream.core.events import PURCHASE, RETURN, TEXT_ATTRIBUTES, TYPE_CODES, Event, item_amount
from segstream.core.spec import UNITS_PER_ONE, IntArray

CLAIMED, REDEEMED = (TYPE_CODES[name] for name in ("coupon_claimed", "coupon_redeemed"))
NONE: Final = -1
"""The code of no text."""
DAY_MS: Final = 86_400_000

ORDER_TEXTS: Final = ("channel", "merchant", "branch", "coupon")
LINE_TEXTS: Final = ("product", "category")
TRAIT_TEXTS: Final = TEXT_ATTRIBUTES
ORDER_COLUMNS: Final = ("slot", "day", "order", "kind", "spend", *ORDER_TEXTS)
LINE_COLUMNS: Final = ("at", "units", "spend", *LINE_TEXTS)
TRAIT_COLUMNS: Final = ("slot", "trait", "time_ms", "value")

_COUNTS: Final = np.isin(np.arange(len(TYPE_CODES)), (PURCHASE, RETURN, CLAIMED, REDEEMED))
"""By event type: whether it is an order here."""

Table = dict[str, IntArray]
"""Columns of one length, by name."""
Texts = dict[str, list[str]]
"""What the codes of each column stand for."""


@dataclass(frozen=True, slots=True)
class Purchases:
    """Orders, their lines and what is known of customers.

    Attributes
    ----------
    orders
        `ORDER_COLUMNS`: one row per run of lines of one order on one day. Slot, day since 1970,
        order hash, event type, spend in stored units (a return's is negative), codes of texts.
    lines
        `LINE_COLUMNS`: one row per product line: its row in `orders`, units and spend in stored
        units >= 0 as the event has them, codes of texts.
    traits
        `TRAIT_COLUMNS`: one row per value told of a customer: slot, which of `TRAIT_TEXTS`, event
        time, code of the text.
    texts
        By column name; those of a trait by its name.
    """

    orders: Table
    lines: Table
    traits: Table
    texts: Texts


# ---- events to rows ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Folded:
    """Events that count, in the order of their log, and what the core says of them.

    Attributes
    ----------
    slot, time_ms, kind : shape (n,)
    order : shape (n,), order hash, the event's own where there is none
    """

    events: Sequence[Event]
    slot: IntArray
    time_ms: IntArray
    kind: IntArray
    order: IntArray

    def where(self, chosen: IntArray) -> "Folded":
        """Return the events at these positions."""
        events = self.events
        if len(chosen) != len(events):
            events = [events[i] for i in chosen.tolist()]
        return Folded(
            events, self.slot[chosen], self.time_ms[chosen], self.kind[chosen], self.order[chosen]
        )


def folded_of(events: Sequence[Event], columns: Columns, ended: Sequence[int]) -> Folded:
    """Return the events of a batch that the kernel folded, of customers who are still there."""
    kept = columns.applied == 1
    if ended:
        kept &= ~np.isin(columns.slot, ended)
    order = np.where(columns.order_hash == 0, columns.event_hash, columns.order_hash)
    every = Folded(events, columns.slot, columns.time_ms, columns.kind, order)
    return every.where(np.flatnonzero(kept))


class _Coder:
    """Gives each text of a column a number, in the order of first mention."""

    def __init__(self) -> None:
        self._codes: dict[str, dict[str, int]] = {}

    def codes(self, name: str, texts: Sequence[str | None]) -> IntArray:
        """Return the texts' numbers, `NONE` where there is none."""
        if texts and texts[0] is None and texts.count(None) == len(texts):
            return np.full(len(texts), NONE, dtype=np.int64)
        found: dict[str | None, int] = dict.fromkeys(texts, NONE)
        if len(found) == 1 and None in found:
            return np.full(len(texts), NONE, dtype=np.int64)
        known = self._codes.setdefault(name, {})
        for text in found:
            if text is not None:
                found[text] = known.setdefault(text, len(known))
        return np.array(list(map(found.__getitem__, texts)), dtype=np.int64)

    def texts(self) -> Texts:
        """What the numbers stand for."""
        return {name: list(known) for name, known in self._codes.items() if known}


def purchase_rows(folded: Folded) -> Purchases | None:
    """Lay out what customers bought, returned, claimed and redeemed; None where nothing.

    Visits and campaign responses say nothing here, except what they tell of the customer.
    """
    coder = _Coder()
    traits = _traits(folded, coder)
    chosen = folded.where(np.flatnonzero(_COUNTS[folded.kind]))
    if not len(chosen.events):
        empty = Purchases(_empty(ORDER_COLUMNS), _empty(LINE_COLUMNS), traits, coder.texts())
        return empty if len(traits["slot"]) else None
    columns = _order_columns(chosen, coder)
    lines, columns["spend"] = _lines(chosen, coder)
    run, starts = _runs(columns)
    orders = {name: column[starts] for name, column in columns.items()}
    orders["spend"] = np.add.reduceat(columns["spend"], starts)
    lines["at"] = run[lines["at"]]
    some = (lines["product"] != NONE) | (lines["category"] != NONE)
    return Purchases(orders, {n: c[some] for n, c in lines.items()}, traits, coder.texts())


def _empty(names: Sequence[str]) -> Table:
    return {name: np.zeros(0, dtype=np.int64) for name in names}


def _order_columns(chosen: Folded, coder: _Coder) -> Table:
    events = chosen.events
    return {
        "slot": chosen.slot, "day": chosen.time_ms // DAY_MS, "order": chosen.order,
        "kind": chosen.kind,
        "channel": coder.codes("channel", [e.channel for e in events]),
        "merchant": coder.codes("merchant", [e.merchant_id for e in events]),
        "branch": coder.codes("branch", [e.branch_id for e in events]),
        "coupon": coder.codes("coupon", [e.coupon_id for e in events]),
    }  # fmt: skip


def _lines(chosen: Folded, coder: _Coder) -> tuple[Table, IntArray]:
    """Every line, also those that name no product, and what each event adds to the spend."""
    at = np.flatnonzero((chosen.kind == PURCHASE) | (chosen.kind == RETURN))
    flat, sizes = _flat(chosen.where(at).events)
    amounts: list[float | None] = [line.amount for line in flat]
    if None in amounts:
        amounts = [item_amount(line) for line in flat]
    table = {
        "at": np.repeat(at, sizes),
        "units": _stored([line.quantity for line in flat]),
        "spend": _stored(amounts),
        "product": coder.codes("product", [line.product_id for line in flat]),
        "category": coder.codes("category", [line.category for line in flat]),
    }
    spend = np.zeros(len(chosen.events), dtype=np.int64)
    if len(at):
        spend[at] = np.add.reduceat(table["spend"], np.cumsum(sizes) - sizes)
    return table, np.where(chosen.kind == RETURN, -spend, spend)


def _flat(orders: Sequence[Event]) -> tuple[Sequence[Any], IntArray]:
    """Lines of orders, and how many each has; an order without items is a line itself."""
    items = [order.items for order in orders]
    if not any(items):
        return orders, np.ones(len(orders), dtype=np.int64)
    lists = [found or (order,) for found, order in zip(items, orders, strict=True)]
    sizes = np.array([len(lines) for lines in lists], dtype=np.int64)
    return [line for lines in lists for line in lines], sizes


def _stored(values: Sequence[float | None]) -> IntArray:
    return np.rint(np.array(values, dtype=np.float64) * UNITS_PER_ONE).astype(np.int64)


def _runs(columns: Table) -> tuple[IntArray, IntArray]:
    """Which run of lines of one order each event is in, and where the runs start."""
    begins = np.zeros(len(columns["slot"]), dtype=bool)
    begins[0] = True
    for name in ORDER_COLUMNS:
        if name != "spend":
            begins[1:] |= columns[name][1:] != columns[name][:-1]
    return np.cumsum(begins) - 1, np.flatnonzero(begins)


def _traits(folded: Folded, coder: _Coder) -> Table:
    """The last value of each customer and trait; of equal times the later in the log."""
    told = [_trait(folded, i, coder) for i in range(len(TRAIT_TEXTS))]
    return {name: np.concatenate([one[name] for one in told]) for name in TRAIT_COLUMNS}


def _trait(folded: Folded, trait: int, coder: _Coder) -> Table:
    name = TRAIT_TEXTS[trait]
    codes = coder.codes(name, list(map(attrgetter(name), folded.events)))
    some = np.flatnonzero(codes != NONE)
    if not len(some):
        return _empty(TRAIT_COLUMNS)
    table = {
        "slot": folded.slot[some], "trait": np.full(len(some), trait, dtype=np.int64),
        "time_ms": folded.time_ms[some], "value": codes[some],
    }  # fmt: skip
    return last_told(table)


def last_told(traits: Table) -> Table:
    """Keep of each customer and trait the value with the latest time; of equal times the last."""
    order = np.lexsort((traits["time_ms"], traits["trait"], traits["slot"]))
    table = {name: column[order] for name, column in traits.items()}
    slot, trait = table["slot"], table["trait"]
    last = np.ones(len(slot), dtype=bool)
    last[:-1] = (slot[1:] != slot[:-1]) | (trait[1:] != trait[:-1])
    return {name: column[last] for name, column in table.items()}
