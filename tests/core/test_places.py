"""Cities and coupons against a plain recount, and what is said to differ against planted truth."""

import doctest
from collections import defaultdict
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency, fisher_exact

from segstream.core import differing, place_playbook, places_words
from segstream.core.coupons import Coupons
from segstream.core.differing import ALPHA, holm, p_values
from segstream.core.events import TYPE_CODES, Event
from segstream.core.frequent import read_purchases
from segstream.core.insights import Look, Members, insights
from segstream.core.insights_answer import InsightsTable
from segstream.core.likelihoods import lift, wilson
from segstream.core.place_counts import People
from segstream.core.place_playbook import PlaceTemplate
from segstream.core.places import Telling, places_of
from segstream.core.places_answer import Places
from segstream.core.purchase_blocks import decode_block, encode_block
from segstream.core.purchases import DAY_MS, Folded, purchase_rows
from segstream.core.spec import text_hash

CUSTOMERS, LAST_DAY, DAYS = 6, 9, 7
SEGMENT = np.array([0, 0, 1, 1, -1, 0])


@pytest.mark.parametrize("module", [differing, place_playbook, places_words], ids=str)
def test_examples_in_docstrings_hold(module: ModuleType) -> None:
    """What a docstring shows is what the function answers."""
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


# ---- counting --------------------------------------------------------------------------


def block(events: Sequence[Event]) -> bytes:
    """Events as the kernel leaves them, packed; customer ids are slots."""
    return encode_block(purchase_rows(Folded(
        events,
        np.array([int(e.customer_id) for e in events], dtype=np.int64),
        np.array([e.ts for e in events], dtype=np.int64),
        np.array([TYPE_CODES[e.type] for e in events], dtype=np.int64),
        np.array([text_hash(e.order_id or e.event_id) for e in events], dtype=np.int64),
    )))  # fmt: skip


def table_of(blocks: Sequence[bytes], most: int | None = None) -> InsightsTable:
    look = Look(as_of="", model="1.0", last_day=LAST_DAY, days=DAYS, products=most)
    read = read_purchases(lambda: map(decode_block, blocks), look.first_day, 100)
    return insights(read, Members(np.arange(CUSTOMERS), SEGMENT, (0, 1)), look)


def event(number: int, who: int, day: int, kind: str, **told: str | None) -> Event:
    return Event(f"e{number}", str(who), day * DAY_MS + number, kind, **told)  # type: ignore[arg-type]


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    """Claims and redemptions, with and without ids, in any order of time."""
    return [
        event(
            number, draw(st.integers(0, CUSTOMERS - 1)), draw(st.integers(0, LAST_DAY)),
            draw(st.sampled_from(["coupon_claimed", "coupon_redeemed", "visit"])),
            coupon_id=draw(st.sampled_from([None, "x", 'y "z"'])),
            merchant_id=draw(st.sampled_from([None, "m1", "m2"])),
            branch_id=draw(st.sampled_from([None, "b1"])),
            city=draw(st.sampled_from([None, "O'Fallon", "Łódź"])),
        )
        for number in range(draw(st.integers(0, 30)))
    ]  # fmt: skip


def used_claims(found: Sequence[Event]) -> set[str]:
    """Ids of claims that were redeemed since: one dumb loop, a queue per key."""
    queues: dict[tuple[object, ...], list[str]] = defaultdict(list)
    used = set()

    def when(one: Event) -> tuple[int, bool, int]:
        """Of one day, claims first; of claims of one day, whichever, but always the same."""
        day = int(one.ts or 0) // DAY_MS  # type: ignore[arg-type]
        return day, one.type == "coupon_redeemed", text_hash(one.event_id)

    for one in sorted(found, key=when):
        where = (one.coupon_id,) if one.coupon_id else (one.merchant_id, one.branch_id, 0)
        queue = queues[(one.customer_id, *where)]
        if one.type == "coupon_claimed":
            queue.append(one.event_id)
        elif queue:
            used.add(queue.pop(0))
    return used


@given(events(), st.integers(0, 30))
def test_every_count_agrees_with_a_recount_of_the_events(found: list[Event], cut: int) -> None:
    """However events are cut into blocks, each list's figures are those of a plain loop."""
    table = table_of([b for b in (block(found[:cut]), block(found[cut:])) if b])
    lists = {one.kind: one for one in table.places}
    city = {e.customer_id: e.city for e in sorted(found, key=lambda e: e.ts) if e.city}
    inside = [e for e in found if e.type != "visit" and e.ts // DAY_MS > LAST_DAY - DAYS]  # type: ignore[operator]
    for kind in ("city", "coupon", "merchant", "branch"):

        def value(one: Event, kind: str = kind) -> str | None:
            told: dict[str, str | None] = {
                "city": city.get(one.customer_id), "coupon": one.coupon_id,
                "merchant": one.merchant_id, "branch": one.branch_id,
            }  # fmt: skip
            return told[kind]

        people: dict[str | None, set[str]] = defaultdict(set)
        for who, where in city.items() if kind == "city" else ():
            people[where].add(who)
        for one in inside if kind != "city" else ():
            people[value(one)].add(one.customer_id)
        people.pop(None, None)
        if not people:
            assert kind not in lists
            continue
        assert lists[kind].count == len(people)
        if kind == "coupon" and max(map(len, people.values())) == 1:
            assert not lists[kind].rows
            continue
        check(lists[kind], people, inside, value)


def check(
    one: Places, people: dict[str | None, set[str]], inside: list[Event], value: object
) -> None:
    used = used_claims(inside)
    assert {row.value for row in one.rows} == set(people)
    for row in one.rows:
        mine = [e for e in inside if value(e) == row.value]  # type: ignore[operator]
        claims = [e for e in mine if e.type == "coupon_claimed"]
        assert row.customers == len(people[row.value])
        assert {s.segment_id: s.customers for s in row.segments} == {
            i: sum(SEGMENT[int(who)] == i for who in people[row.value]) for i in (0, 1)
        }
        assert row.claimed == len(claims)
        assert row.redeemed == len(mine) - len(claims)
        assert row.claimed_redeemed == sum(e.event_id in used for e in claims)
        if row.rate is not None:
            share, low, high = wilson(np.array([row.claimed_redeemed]), row.claimed)
            assert (row.rate, row.low, row.high) == (share[0], low[0], high[0])


@pytest.mark.parametrize("same_day", [True, False])
def test_a_redemption_of_an_older_claim_is_not_in_the_rate(same_day: bool) -> None:
    """Only claims of the window are rated; the redemption is counted all the same."""
    day = LAST_DAY if same_day else LAST_DAY - 1
    found = [
        event(0, 0, 1, "coupon_claimed", merchant_id="m", coupon_id="old"),
        event(1, 0, 8, "coupon_redeemed", merchant_id="m", coupon_id="old"),
        event(2, 0, day, "coupon_claimed", merchant_id="m", coupon_id="new"),
        event(3, 0, LAST_DAY, "coupon_redeemed", merchant_id="m", coupon_id="new"),
        event(4, 1, day, "coupon_claimed", merchant_id="m", coupon_id="new"),
    ]
    merchant = next(p for p in table_of([block(found)]).places if p.kind == "merchant")
    row = merchant.rows[0]
    assert (row.claimed, row.claimed_redeemed, row.redeemed, row.rate) == (2, 1, 2, 0.5)


def test_lines_of_one_order_claim_a_coupon_once() -> None:
    """The same coupon on two lines of an order is one claim, in whatever batches they come."""
    told = {"order_id": "o", "coupon_id": "x", "merchant_id": "m"}
    lines = [event(i, 0, LAST_DAY, "coupon_claimed", **told) for i in (0, 2)]
    other = event(1, 0, LAST_DAY, "coupon_claimed", merchant_id="m", coupon_id="z")
    for cut in ([[*lines, other]], [[lines[0], other], [lines[1]]]):
        table = table_of([block(part) for part in cut])
        assert next(p for p in table.places if p.kind == "merchant").claimed == 2


def test_what_no_event_names_is_not_listed() -> None:
    """Purchases alone give no list, and no redemption told gives no rate."""
    bought = Event("e", "0", LAST_DAY * DAY_MS, "purchase", amount=1.0, product_id="p")
    assert table_of([block([bought])]).places == []
    claims = [event(i, i, LAST_DAY, "coupon_claimed", branch_id="b") for i in range(3)]
    branch = table_of([block(claims)]).places[0]
    assert (branch.kind, branch.claimed, branch.rate, branch.rows[0].rate) == (
        "branch", 3, None, None,
    )  # fmt: skip
    assert branch.says == ["No event tells that a coupon was redeemed, so there is no rate."]


# ---- what differs ----------------------------------------------------------------------


def world(city: np.ndarray, rates: np.ndarray, claims: int, seed: int) -> tuple[People, Coupons]:
    """Customers with a city and a rate of their own, and the coupons that they claim."""
    n = len(city)
    segment = np.random.default_rng(seed + 7).permutation(n) % 3
    who = np.repeat(np.arange(n), claims)
    used = np.random.default_rng(seed).random(len(who)) < rates[who]
    nothing = np.full(len(who), -1)
    claimed = {"customer": who, "coupon": nothing, "merchant": nothing, "branch": nothing}
    redeemed = {name: column[used] for name, column in claimed.items()}
    people = People(segment, city, (0, 1, 2), {0: "A", 1: "B", 2: "C"})
    return people, Coupons(claimed, used, redeemed)


def cities(found: tuple[People, Coupons], telling: Telling = Telling(None)) -> Places:  # noqa: B008
    names = [f"c{i:04}" for i in range(int(found[0].city.max()) + 1)]
    return places_of(*found, {"city": names}, telling)[0]


TEMPLATES = (
    PlaceTemplate("Few claims", ("city",), "s", ("a",), redeemed="more", claims_at_least=9_999),
    PlaceTemplate("Works", ("city",), "Go to {place}.", ("Do.",), redeemed="more",
                  ratio_at_least=1.2, claims_at_least=50),
    PlaceTemplate("Fails", ("city",), "Leave {place}.", ("Ask.",), redeemed="less"),
    PlaceTemplate("Lives", ("city",), "Tell {segment} in {place}.", ("Do.",), segment="more"),
)  # fmt: skip


def test_a_city_that_differs_is_on_top_with_what_to_do() -> None:
    """Planted: one redeems more, one less, in one a segment is frequent; the others are silent."""
    city = np.arange(600) % 20
    rates = np.full(600, 0.5)
    rates[city == 7], rates[city == 4] = 0.8, 0.3
    people, coupons = world(city, rates, 8, seed=1)
    people.segment[city == 11] = 2
    found = cities((people, coupons), Telling(None, TEMPLATES))
    told = {row.value: row.advice for row in found.rows}
    assert [row.value for row in found.rows[:3]] == ["c0007", "c0004", "c0011"]
    assert {value for value, said in told.items() if said} == {"c0007", "c0004", "c0011"}
    assert [(a.name, a.strategy, a.segment_id) for a in told["c0007"]] == [
        ("Works", "Go to c0007.", None)
    ]
    assert told["c0004"][0].name == "Fails"
    assert told["c0011"][0].strategy == "Tell C in c0011."
    assert "30 of 30 are C" in told["c0011"][0].why
    assert found.rows[0].differs == "more"
    assert found.rows[1].differs == "less"
    assert found.redemption.differ == 2
    assert found.says[0].startswith("2 of 20 cities differ from the others")


def test_figures_of_a_city_are_those_of_the_functions() -> None:
    """Lift and adjusted p as the functions give them on counts made here."""
    city = np.arange(300) % 5
    people, coupons = world(city, np.full(300, 0.4), 3, seed=2)
    found = cities((people, coupons))
    claims = np.bincount(city[coupons.claimed["customer"]])
    used = np.bincount(city[coupons.redeemed["customer"]])
    p = holm(p_values(used, claims, np.array(used.sum()), int(claims.sum()), np.ones(5)))
    for row in found.rows:
        i = int(row.value[1:])
        assert (row.claimed, row.claimed_redeemed) == (claims[i], used[i])
        # Never smaller: that a customer's coupons are alike can only take away from it.
        assert row.p is not None
        assert row.p >= p[i] - 1e-12
        for segment in row.segments:
            own = int(((city == i) & (people.segment == segment.segment_id)).sum())
            everyone = int((people.segment == segment.segment_id).sum())
            expected = lift(np.array([own]), 60, np.array([everyone]), 300)
            got = (segment.lift, segment.low, segment.high)
            assert got == pytest.approx(tuple(float(x[0]) for x in expected))


def test_p_values_are_the_larger_of_two_tests() -> None:
    """Chi-square of the two-by-two table, less by the effect; Fisher's smaller tail twice."""
    own, size, effect = np.array([12, 55, 2]), np.array([40, 90, 8]), np.array([1.0, 1.0, 4.0])
    found = p_values(own, size, np.array(200), 500, effect)
    for i in range(3):
        hits, sizes = [own[i], 200 - own[i]], [size[i], 500 - size[i]]
        table = [hits, [n - h for n, h in zip(sizes, hits, strict=True)]]
        score = chi2.sf(chi2_contingency(table, correction=False).statistic / effect[i], 1)
        tails = [fisher_exact(table, way).pvalue for way in ("less", "greater")]
        assert found[i] == pytest.approx(max(score, min(1, 2 * min(tails))))


def test_a_long_list_of_rare_coupons_names_none_by_chance() -> None:
    """Where 3 of 100 are redeemed a score alone is not normal far out, where a long list looks."""
    draw, named, sizes = np.random.default_rng(1), 0, np.full(1_000, 200)
    for _ in range(60):
        own = draw.binomial(200, 0.03, 1_000)
        p = p_values(own, sizes, np.array(own.sum()), 200_000, np.ones(1_000))
        named += holm(p).min() < ALPHA
    assert named <= 6


@pytest.mark.parametrize("alike", [False, True])
def test_where_no_city_differs_one_is_rarely_named(alike: bool) -> None:
    """In 5 of 100 worlds at most, give or take, also where each customer redeems all or nothing."""
    city, named, lived = np.arange(400) % 20, 0, 0
    for seed in range(400):
        draw = np.random.default_rng(seed)
        rates = (draw.random(400) < 0.5).astype(float) if alike else np.full(400, 0.5)
        found = cities(world(city, rates, 6, seed=seed + 1_000))
        assert found.redemption.tested == 20
        assert found.segments.tested == 60
        named += found.redemption.differ > 0
        lived += found.segments.differ > 0
    assert named / 400 <= ALPHA + 0.03
    assert lived / 400 <= ALPHA + 0.03


def test_what_differs_is_found() -> None:
    """A city with 70 instead of 50 of 100 coupons redeemed is named in four of five worlds."""
    city, found = np.arange(400) % 20, 0
    rates = np.where(city == 3, 0.7, 0.5)
    for seed in range(100):
        row = next(r for r in cities(world(city, rates, 8, seed=seed)).rows if r.value == "c0003")
        found += row.differs == "more"
    assert found >= 80


def test_a_few_customers_are_no_city() -> None:
    """Where nine customers redeem everything there is too little to tell; ten are enough."""
    for customers, differs in ((9, "unknown"), (10, "more")):
        city = np.where(np.arange(300) < customers, 1, 0)
        rates = np.where(city == 1, 1.0, 0.3)
        found = cities(world(city, rates, 9, seed=5))
        assert next(r for r in found.rows if r.value == "c0001").differs == differs


def test_one_city_has_nobody_to_differ_from() -> None:
    """A list of one is told with its figures, and nothing is claimed of it."""
    found = cities(world(np.zeros(50, dtype=np.int64), np.full(50, 0.5), 3, seed=1))
    assert found.rows[0].differs == "unknown"
    assert found.says == ["Too few coupons were claimed to tell cities apart."]


def test_of_thousands_of_cities_some_are_told() -> None:
    """As many as asked for, those that differ first, then the most coupons; ties by name."""
    city = np.concatenate([np.arange(4_000), np.zeros(60, dtype=np.int64)])
    rates = np.where(city == 0, 0.95, 0.3)
    found = cities(world(city, rates, 2, seed=3), Telling(100))
    assert (found.count, len(found.rows)) == (4_000, 100)
    assert [row.value for row in found.rows[:4]] == ["c0000", "c0001", "c0002", "c0003"]
    assert found.redemption.tested == 1
    assert "Of the other 3,999 there is too little to tell." in found.says[0]


def test_customers_without_a_city_are_counted_apart() -> None:
    """They are in no row, and neither are their coupons in the rate of all."""
    city = np.where(np.arange(100) < 40, -1, np.arange(100) % 2)
    rates = np.where(city < 0, 1.0, 0.0)
    rates[99] = 1.0
    found = cities(world(city, rates, 2, seed=1))
    assert (found.customers, found.without) == (60, 40)
    assert (found.claimed, found.claimed_redeemed) == (120, 2)


def test_codes_do_not_decide_the_order() -> None:
    """The same cities under other codes give the same rows, ties included."""
    city = np.arange(120) % 6
    people, coupons = world(city, np.full(120, 0.5), 2, seed=4)
    turned = People(people.segment, 5 - city, people.segment_ids, people.names)
    names = [f"c{i}" for i in range(6)]
    one = places_of(people, coupons, {"city": names}, Telling(None))
    assert one == places_of(turned, coupons, {"city": names[::-1]}, Telling(None))
