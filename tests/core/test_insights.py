"""Insights against a plain recount of the same events."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segstream.core.events import TYPE_CODES, Event, Item
from segstream.core.frequent import Read, lg_size, read_purchases
from segstream.core.insights import Look, Members, insights
from segstream.core.insights_answer import InsightsTable
from segstream.core.likelihoods import Z, lift, wilson
from segstream.core.purchase_blocks import decode_block, encode_block, without_slots
from segstream.core.purchases import DAY_MS, Folded, purchase_rows
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
    return insights(
        read_purchases(lambda: map(decode_block, blocks), LOOK.first_day, max_products),
        MEMBERS,
        LOOK,
    )


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


def line(who: int, number: int) -> Event:
    return Event(
        event_id=f"{who}-{number}", customer_id=str(who), ts=LAST_DAY * DAY_MS, type="purchase",
        order_id=f"o{who}", amount=1.0, product_id=f"p{number:04}", category=f"c{number % 3}",
    )  # fmt: skip


def shop(products: int, customers: int = 60) -> list[Event]:
    """Every customer buys some products; the low numbers often, the high ones rarely."""
    rng = np.random.default_rng(1)
    found = []
    for who in range(customers):
        numbers = np.unique(rng.geometric(8 / products, size=30) % products).tolist()
        found += [line(who, number) for number in numbers]
    return found


def many(customers: int = 60) -> Members:
    return Members(np.arange(customers), np.arange(customers) % 2, (0, 1))


def test_a_sketch_leaves_out_only_what_it_says() -> None:
    """Beyond `max_products` what is shown is exact, and what is left out is under the error."""
    blocks = [block(shop(400)[i::4]) for i in range(4)]
    exact, coarse = (
        read_purchases(lambda: map(decode_block, blocks), LOOK.first_day, n) for n in (1000, 40)
    )
    assert exact.error is None
    assert coarse.error is not None
    assert coarse.error == 3.5 / 2 ** lg_size(40)
    whole, part = (insights(r, many(), LOOK) for r in (exact, coarse))
    assert not part.exact
    assert part.notices
    assert part.all.categories == whole.all.categories
    everything = {p.id: p for p in whole.all.products}
    shown = {p.id: p for p in part.all.products}
    assert shown
    assert len(shown) < len(everything)
    assert all(one == everything[i] for i, one in shown.items())
    lines = len(exact.purchases.lines["at"])
    left_out = [p.customers for i, p in everything.items() if i not in shown]
    assert max(left_out) <= coarse.error * lines


def test_pairs_are_those_of_a_plain_count() -> None:
    """Support, confidence and lift of a planted pair; what few customers bought is left out."""
    found = []
    for who in range(40):
        kinds = ["bread"] + ["butter"] * (who % 2 == 0) + ["soap"] * (who % 4 == 0)
        kinds += ["oil", "wick"] * (who == 1)
        days = range(6) if who == 1 else range(1)
        for day in days:
            found += [
                Event(f"{who}-{day}-{k}", str(who), (3 + day) * DAY_MS, "purchase",
                      order_id=f"{who}-{day}", amount=1.0, product_id=k)
                for k in kinds
            ]  # fmt: skip
    # One customer's habit, often enough to count were it that of several.
    found += [
        Event(f"x{n}-{k}", "1", 5 * DAY_MS, "purchase", order_id=f"x{n}", amount=1.0, product_id=k)
        for n in range(10) for k in ("oil", "wick")
    ]  # fmt: skip
    read = read_purchases(lambda: [decode_block(block(found))], LOOK.first_day, 100)
    pairs = {(p.a, p.b): p for p in insights(read, many(40), LOOK).all.pairs}
    baskets = 40 + 5 + 10
    assert set(pairs) == {("butter", "bread"), ("soap", "bread"), ("soap", "butter")}
    one = pairs["soap", "butter"]
    assert (one.baskets, one.support) == (10, 10 / baskets)
    assert one.confidence == 1.0
    assert one.lift == pytest.approx(10 * baskets / (10 * 20))


def test_the_interval_of_a_lift_covers_the_truth() -> None:
    """In 95 of 100 draws, give or take, though the group is part of all customers."""
    rng = np.random.default_rng(7)
    for p, q in ((0.3, 0.1), (0.05, 0.05), (0.02, 0.1)):
        own = rng.binomial(400, p, size=4000)
        rest = rng.binomial(1600, q, size=4000)
        kept = own + rest > 0
        found = lift(own[kept], 400, (own + rest)[kept], 2000)
        truth = p / (0.2 * p + 0.8 * q)
        covered = float(((found.low <= truth) & (truth <= found.high)).mean())
        assert 0.935 <= covered <= 0.985


def test_wilson_is_the_solution_of_its_equation() -> None:
    """At each end of the interval the observed share lies 1.96 standard errors away."""
    share, low, high = wilson(np.array([3, 50, 97]), 100)
    for end in (low, high):
        assert np.abs(share - end) == pytest.approx(Z * np.sqrt(end * (1 - end) / 100))
    assert wilson(np.array([0]), 5).low[0] == 0.0
    assert wilson(np.array([5]), 5).high[0] == 1.0


@given(events())
def test_who_left_leaves_nothing_in_a_block(found: list[Event]) -> None:
    """Without a customer a block is that of the others' events, texts included."""
    whole = block(found)
    others = [e for e in found if e.customer_id != "3"]
    if not whole or not any(e.customer_id == "3" and e.type != "visit" for e in found):
        return
    rest = without_slots(whole, np.array([3]))
    assert rest is not None
    plain = block(others)
    assert (rest == b"") == (plain == b"")
    if rest:
        left, right = decode_block(rest), decode_block(plain)
        assert all(set(texts) <= set(right.texts[name]) for name, texts in left.texts.items())
        assert counted([rest]) == counted([plain])


def test_an_empty_window_says_so() -> None:
    """Nothing to count gives zeros and a notice, never a failure."""
    table = insights(Read(decode_block(block(shop(50)[:1])), None), many(), LOOK)
    assert table.all.buyers == 1
    empty = insights(read_purchases(list, LOOK.first_day, 10), many(), LOOK)
    assert empty.all.orders == 0
    assert empty.all.customers == 60
    assert empty.notices == ["no purchases or coupons in the window"]
    assert sum(g.customers for g in empty.segments.values()) == 60
