"""Insights against a plain recount of the same events."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segstream.core.events import TYPE_CODES, Event, Item
from segstream.core.frequent import read_purchases
from segstream.core.insights import InsightsTable, Look, Members, insights
from segstream.core.purchases import (
    DAY_MS,
    Folded,
    encode_block,
    purchase_rows,
)
from segstream.core.spec import text_hash

CUSTOMERS = 6
LAST_DAY, DAYS = 9, 7
SEGMENT = np.array([0, 0, 1, 1, -1, 0])


def folded(events: Sequence[Event]) -> Folded:
    """Events as the kernel leaves them; customer ids are slots."""
    return Folded(
        events,
        np.array([int(e.customer_id) for e in events], dtype=np.int64),
        np.array([e.ts for e in events], dtype=np.int64),
        np.array([TYPE_CODES[e.type] for e in events], dtype=np.int64),
        np.array([text_hash(e.order_id or e.event_id) for e in events], dtype=np.int64),
    )


def block(events: Sequence[Event]) -> bytes:
    return encode_block(purchase_rows(folded(events)))


LOOK = Look(as_of="", model="1.0", last_day=LAST_DAY, days=DAYS, products=None)
MEMBERS = Members(np.arange(CUSTOMERS), SEGMENT, (0, 1))


def counted(blocks: Sequence[bytes], max_products: int = 1000) -> InsightsTable:
    return insights(read_purchases(lambda: blocks, LOOK.first_day, max_products), MEMBERS, LOOK)


ITEMS = st.builds(
    Item,
    product_id=st.sampled_from([None, "p1", "p2", "p3"]),
    category=st.sampled_from([None, "c1", "c2"]),
    quantity=st.integers(0, 4).map(float),
    amount=st.integers(0, 9).map(float),
)


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    """Purchases and returns, as lines and as whole orders, in any order of time."""
    found = []
    for number in range(draw(st.integers(0, 25))):
        items = draw(st.none() | st.lists(ITEMS, min_size=1, max_size=3))
        line = draw(ITEMS)
        found.append(
            Event(
                event_id=f"e{number}",
                customer_id=str(draw(st.integers(0, CUSTOMERS - 1))),
                ts=draw(st.integers(0, LAST_DAY)) * DAY_MS,
                type=draw(
                    st.sampled_from(["purchase", "purchase", "return", "coupon_claimed", "visit"])
                ),
                order_id=draw(st.sampled_from([None, "o1", "o2"])),
                amount=None if items else line.amount,
                quantity=line.quantity,
                product_id=None if items else line.product_id,
                category=None if items else line.category,
                items=items,
                channel=draw(st.sampled_from([None, "web", "store"])),
                country=draw(st.sampled_from([None, None, "X", "Y"])),
            )
        )
    return found


@dataclass
class Recount:
    """One dumb loop per group."""

    orders: set[tuple[str, str]] = field(default_factory=set)
    buyers: set[str] = field(default_factory=set)
    spend: float = 0.0
    taken: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    back: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    with_it: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    channels: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, event: Event) -> None:
        who, order = event.customer_id, event.order_id or event.event_id
        if event.type in ("purchase", "coupon_claimed") and event.channel:
            self.channels[event.channel].add(who)
        if event.type == "purchase":
            self.orders.add((who, order))
            self.buyers.add(who)
        if event.type not in ("purchase", "return"):
            return
        lines: Sequence[Item | Event] = event.items or [event]
        for line in lines:
            self.spend += (line.amount or 0) * (1 if event.type == "purchase" else -1)
            key = (who, line.product_id or "")
            if event.type == "return":
                self.back[key] += line.quantity
            else:
                self.taken[key] += line.quantity
                self.with_it[key].add(order)

    def customers(self, product: str) -> int:
        return sum(
            (self.back[key] == 0 or self.taken[key] > self.back[key])
            for key in list(self.with_it)
            if key[1] == product
        )


def recount(found: Sequence[Event], group: set[int]) -> Recount:
    total = Recount()
    for event in found:
        if event.ts // DAY_MS > LAST_DAY - DAYS and int(event.customer_id) in group:  # type: ignore[operator]
            total.add(event)
    return total


@given(events(), st.integers(0, 25))
def test_every_figure_agrees_with_a_recount_of_the_events(found: list[Event], cut: int) -> None:
    """However events are cut into blocks, each group's figures are those of a plain loop."""
    table = counted([b for b in (block(found[:cut]), block(found[cut:])) if b])
    groups = {"all": set(range(CUSTOMERS)), "0": {0, 1, 5}, "1": {2, 3}}
    for name, members in groups.items():
        told = table.all if name == "all" else table.segments[name]
        plain = recount(found, members)
        assert told.customers == len(members)
        assert (told.buyers, told.orders) == (len(plain.buyers), len(plain.orders))
        assert told.revenue == pytest.approx(plain.spend)
        counts = {p: plain.customers(p) for p in ("p1", "p2", "p3")}
        assert {p.id: p.customers for p in told.products} == {p: n for p, n in counts.items() if n}
        for one in told.products:
            assert one.likelihood == counts[one.id] / len(members)
        channels = {s.value: s.customers for s in told.shares.get("channel", [])}
        assert channels == {c: len(who) for c, who in plain.channels.items()}
