"""The compiled engine and its plain twin agree to the last bit."""

from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st
from tests.core.engine import CURRENCY, DAY_MS, HOUR_MS, Engine, model_of, policy
from tests.core.strategies import START_MS, logs
from tests.core.twin import Twin
from tests.core.twin_vectors import raw, scaled
from tests.core.worlds import Switcher, policies, worlds

from segstream.core.events import Event, Parsed
from segstream.core.layout import PENDING_SEGMENT, SEGMENT, SEQUENCE, SINCE, Policy
from segstream.core.model import Model
from segstream.core.spec import CompiledSpec, Feature, Measure, Spec
from segstream.errors import BadEventError

MAX_JUMP_MS = 60 * DAY_MS


Log = list[tuple[list[Parsed], int]]
"""Runs of entries, each followed by so many minutes in which nobody sends anything."""


def compare(
    spec: Spec, rules: Policy, first: Model | None, coming: list[Model | None], log: Log
) -> Engine:
    """Run both over the same log; every output must be equal."""
    engine = Engine(CompiledSpec(spec), rules, first, Switcher(coming))
    twin = Twin(spec, rules, first, Switcher(coming), MAX_JUMP_MS, CURRENCY)
    for entries, silence in log:
        engine.batch(entries)
        until = engine.partition.clock_minute + silence
        engine.until(until)
        for entry in entries:
            twin.feed(entry)
        twin.advance_to(until)
    assert engine.changes == twin.changes
    assert engine.dead == twin.dead
    assert counters_of(engine) == (
        twin.applied, twin.duplicates, twin.late, twin.skipped, len(twin.dead),
        len(twin.customers), twin.clock_ms, twin.minute,
    )  # fmt: skip
    assert [(d.day, d.counts, d.sums, d.errors) for d in engine.days] == [
        (day, tuple(t.counts), tuple(map(tuple, t.sums)), tuple(t.errors)) for day, t in twin.days
    ]
    assert engine.panel == twin.panel
    assert engine.vectors() == vectors_of(twin)
    assert heads_of(engine) == [
        (-1 if c.segment is None else c.segment, c.since, c.sequence,
         c.pending[0] if c.pending else -1)
        for c in twin.customers.values()
    ]  # fmt: skip
    return engine


def counters_of(engine: Engine) -> tuple[int, ...]:
    m = engine.meta
    return (
        m.applied, m.duplicates, m.late, m.skipped, m.dead, m.customers, m.clock_ms, m.clock_minute,
    )  # fmt: skip


def vectors_of(twin: Twin) -> dict[str, Any]:
    result = {}
    for c in twin.customers.values():
        vector = raw(twin.spec, c, twin.last_evaluation(c) // HOUR_MS)
        point = tuple(scaled(twin.spec, twin.model, vector)) if twin.model else None
        result[c.id] = (vector, point)
    if twin.model is None:  # without a model nothing is scaled: the engine shows zeros
        n = len(twin.spec.features)
        return {c: (vector, (0.0,) * n) for c, (vector, _) in result.items()}
    return result


def heads_of(engine: Engine) -> list[tuple[int, ...]]:
    _, rows = engine.partition.living()
    columns = [SEGMENT, SINCE, SEQUENCE, PENDING_SEGMENT]
    return [tuple(map(int, head[columns])) for head in engine.partition.head(rows)]


@given(worlds(), policies, logs(), st.integers(0, 3 * 1440))
def test_twin_agrees(
    world: tuple[Spec, Model | None, list[Model | None]], rules: Policy, events: list[Parsed],
    silence: int,
) -> None:  # fmt: skip
    """Any log under any spec, policy and run of models gives what the rules say."""
    spec, first, coming = world
    engine = compare(spec, rules, first, coming, [(events, silence)])
    note(f"{min(len(engine.changes), 3)} changes or more")


@given(worlds(), policies, logs(long=True, max_size=20))
def test_twin_agrees_over_months(
    world: tuple[Spec, Model | None, list[Model | None]], rules: Policy, events: list[Parsed]
) -> None:
    """The same with weeks between events: forgetting, erased ids, lateness beyond the windows."""
    spec, first, coming = world
    compare(spec, rules._replace(sweep_minutes=1440), first, coming, [(events, 0)])


SMALL = Spec(
    (Measure("orders", ("purchase",), "order"), Measure("spend", ("purchase",), "amount")),
    (
        Feature("orders", "count", "orders", window_days=30, transform="log1p"),
        Feature("spend", "mean", "spend", "orders", window_days=90),
        Feature("since", "recency", "orders", scale=30.0),
    ),
)
SMALL_MODEL = model_of(SMALL, [[0.5, 1.0, 1.0], [3.0, 5.0, 0.0], [1.0, 9.0, 0.1]])


def purchase(i: int, ts: int, order_id: str | None = None, amount: float = 7.0) -> Event:
    return Event(
        event_id=f"e{i}", customer_id="ann", ts=ts, type="purchase", order_id=order_id,
        amount=amount,
    )  # fmt: skip


@given(st.integers(0, 2**32), st.integers(250, 270))
def test_twin_agrees_on_more_orders_than_are_remembered(seed: int, n: int) -> None:
    """Beyond 256 orders in 48 hours the earliest is forgotten, of equals the lower hash."""
    random = Random(seed)
    orders = [purchase(i, START_MS + random.randrange(40) * HOUR_MS, f"o{i}") for i in range(n)]
    again = [
        purchase(n + i, START_MS + random.randrange(48) * HOUR_MS, f"o{random.randrange(n)}")
        for i in range(40)
    ]
    compare(SMALL, policy(sweep_minutes=1440), SMALL_MODEL, [], [([*orders, *again], 0)])


def test_twin_agrees_on_more_tiles_than_are_kept() -> None:
    """Over 1,024 tiles old hours merge into days; late events still find their place."""
    random = Random(4)
    spec = Spec(
        SMALL.measures, (*SMALL.features[1:], Feature("year", "sum", "spend", window_days=365))
    )
    hours = [(h, h - random.choice([0, 0, 0, 3, 30, 700])) for h in range(1300)]
    events = [purchase(h, START_MS + at * HOUR_MS) for h, at in hours if h % 7]
    model = model_of(spec, [[1.0, 1.0, 1.0], [3.0, 5.0, 0.0]])
    compare(spec, policy(sweep_minutes=1440), model, [], [(list(events), 0)])


def test_twin_agrees_on_ties() -> None:
    """Of equally near centres the first is taken; halves of a unit round to even."""
    half = 2.0**-21
    model = model_of(
        SMALL, [[0.0] * 3, [0.0] * 3, [half] * 3, [2 * half] * 3], weight=(half, half, half),
        mean=(0.5, 3.0, 1.0),
    )  # fmt: skip
    events = [purchase(i, START_MS + i * 5 * HOUR_MS) for i in range(40)]
    compare(SMALL, policy(margin=0.0), model, [], [(list(events), 0)])


noise = st.sampled_from([None, BadEventError("not_json", "expected one JSON object, got {")])
pauses = st.sampled_from([0, 1, 59, 700, 3000])


@given(worlds(), policies, logs(max_size=25), st.data())
def test_twin_agrees_where_time_goes_on_without_events(
    world: tuple[Spec, Model | None, list[Model | None]], rules: Policy, events: list[Parsed],
    draws: st.DataObject,
) -> None:  # fmt: skip
    """The same with pauses between the batches, and entries that are skipped or unreadable."""
    spec, first, coming = world
    cuts = sorted({0, len(events), *draws.draw(st.sets(st.integers(0, len(events)), max_size=4))})
    log: Log = [
        ([*events[a:b], *draws.draw(st.lists(noise, max_size=2))], draws.draw(pauses))
        for a, b in pairwise(cuts)
    ]
    compare(spec, rules, first, coming, log)


@pytest.mark.slow
def test_twin_agrees_on_more_than_there_is_room_for() -> None:
    """Nine thousand customers outgrow rows, lists and outputs; a restart finds them all again."""
    random = Random(9)
    events: list[Parsed] = [
        Event(
            event_id=f"e{i}", customer_id=f"c{random.randrange(9000)}", type="purchase",
            ts=(START_MS // DAY_MS + 1) * DAY_MS - 1, amount=random.randrange(9999) / 100,
        )
        for i in range(20_000)
    ]  # fmt: skip
    engine = compare(SMALL, policy(), None, [SMALL_MODEL], [(events, 130)])
    before = (engine.vectors(), engine.meta)
    assert len(engine.changes) > 7500
    engine.restart().take()
    assert (engine.vectors(), engine.meta) == before
