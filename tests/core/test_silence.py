"""A silent customer still changes segment, on time; and where time stops, nothing changes."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.decoding import told
from tests.core.engine import DAY_MS, HOUR_MS, MINUTE_MS, Engine, model_of, policy
from tests.core.strategies import START_MS

from segstream.core.changes import Change
from segstream.core.events import Event
from segstream.core.spec import CompiledSpec, Feature, Measure, Spec

ACTIVE, SILENT = [1.0], [0.0]
WINDOW_DAYS = 90
SPEC = Spec(
    (Measure("orders", ("purchase",), "order"), Measure("visits", ("visit",), "event")),
    (Feature("orders_90", "count", "orders", window_days=WINDOW_DAYS),),
)
MODEL = model_of(SPEC, [SILENT, ACTIVE])
PROMISE_MINUTES = 61


def purchase(customer_id: str, ts: int, event_id: str = "p") -> Event:
    return Event(event_id=event_id, customer_id=customer_id, ts=ts, type="purchase", amount=1.0)


def bought_once(customer_id: str, ts: int) -> Engine:
    return Engine(CompiledSpec(SPEC), policy(), MODEL).batch([purchase(customer_id, ts)])


def deadline_hour(ts: int) -> int:
    """The hour at which the purchase is in the window no longer."""
    return ts // HOUR_MS + WINDOW_DAYS * 24


def changes_of(engine: Engine, customer_id: str) -> list[Change]:
    return [c for c in map(told, engine.changes) if c.subject == customer_id]


def assert_left_in_time(engine: Engine, customer_id: str, ts: int) -> None:
    first, left = changes_of(engine, customer_id)
    assert (first.data.reason, left.data.reason) == ("first", "time")
    assert left.data.to is not None
    assert left.data.to.id == 1
    assert 0 <= as_of_minute(left) - deadline_hour(ts) * 60 < PROMISE_MINUTES


def as_of_minute(change: Change) -> int:
    return int(datetime.fromisoformat(change.time).timestamp()) // 60


ids = st.integers(0, 10**6).map(str)
moments = st.integers(START_MS, START_MS + 2 * DAY_MS)


@given(ids, moments)
def test_silence_is_seen_while_others_keep_the_clock_going(customer_id: str, ts: int) -> None:
    """Others buy now and then; the silent one leaves within 61 minutes of the deadline's hour."""
    engine = bought_once(customer_id, ts)
    gap_ms = 7 * HOUR_MS + 13 * MINUTE_MS
    others = range(ts + gap_ms, ts + (WINDOW_DAYS + 2) * DAY_MS, gap_ms)
    engine.batch(purchase("other", at, f"o{at}") for at in others)
    assert_left_in_time(engine, customer_id, ts)


@given(ids, moments)
def test_silence_is_seen_while_nobody_sends_anything(customer_id: str, ts: int) -> None:
    """The change is out as soon as the clock is 61 minutes past the deadline's hour."""
    engine = bought_once(customer_id, ts)
    engine.until(deadline_hour(ts) * 60 - 1)
    assert len(changes_of(engine, customer_id)) == 1
    engine.until(deadline_hour(ts) * 60 + PROMISE_MINUTES - 1)
    assert_left_in_time(engine, customer_id, ts)


@given(ids, moments, st.integers(1, 5))
def test_where_the_clock_stops_nothing_changes(customer_id: str, ts: int, times: int) -> None:
    """Asked again to run to where the clock is, or to before it, nothing happens at all."""
    engine = bought_once(customer_id, ts)
    engine.until(deadline_hour(ts) * 60 - 1)
    before = (dict(engine.store), list(engine.changes), engine.meta, list(engine.panel))
    for back in range(times):
        engine.until(deadline_hour(ts) * 60 - 1 - back * 10_000)
    assert (engine.store, engine.changes, engine.meta, engine.panel) == before


def test_no_clock_before_the_first_event() -> None:
    """Without any event there is no time: nothing runs, whatever minute is asked for."""
    engine = Engine(CompiledSpec(SPEC), policy(), MODEL).until(START_MS // MINUTE_MS)
    assert (engine.meta.clock_ms, engine.meta.clock_minute) == (-1, -1)
    assert engine.days == []


@pytest.mark.parametrize("hours", [40, 800 * 24])
def test_forgotten_after_long_silence(hours: int) -> None:
    """Silent for `forget_after` a customer leaves with reason `forgotten`, within 61 minutes."""
    engine = Engine(CompiledSpec(SPEC), policy(forget_hours=hours), MODEL)
    engine.batch([purchase("ann", START_MS)])
    gone = START_MS // HOUR_MS + hours
    engine.until(gone * 60 - 1)
    assert engine.meta.customers == 1
    engine.until(gone * 60 + PROMISE_MINUTES - 1)
    assert engine.meta.customers == 0
    assert engine.store == {}
    last = changes_of(engine, "ann")[-1]
    assert (last.data.reason, last.data.to) == ("forgotten", None)
    assert 0 <= as_of_minute(last) - gone * 60 < PROMISE_MINUTES


def test_forgotten_by_the_last_event_of_any_kind() -> None:
    """A visit keeps a customer who buys nothing; a late event does not."""
    engine = Engine(CompiledSpec(SPEC), policy(forget_hours=48), MODEL)
    hour = START_MS // HOUR_MS
    visit = Event(event_id="v", customer_id="ann", ts=START_MS + 40 * HOUR_MS, type="visit")
    late = Event(event_id="l", customer_id="ann", ts=START_MS - HOUR_MS, type="visit")
    engine.batch([purchase("ann", START_MS), visit, late])
    engine.until((hour + 40 + 48) * 60 - 1)
    assert engine.meta.customers == 1
    engine.until((hour + 40 + 48) * 60 + 60)
    assert engine.meta.customers == 0
