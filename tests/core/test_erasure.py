"""Erasing a customer, and what still arrives of it."""

import numpy as np
import pytest
from tests.core.decoding import told
from tests.core.engine import DAY_MS, HOUR_MS, MINUTE_MS, Engine, model_of, parts, policy
from tests.core.strategies import START_MS

from segstream.adapters.memory import MemorySink, MemorySource, MemoryStore
from segstream.core.changes import Change
from segstream.core.events import Event
from segstream.core.layout import N_PANEL_COLUMNS, P_HASH
from segstream.core.open_panel import OpenPanel
from segstream.core.partition import PanelRows
from segstream.core.spec import CompiledSpec, Feature, Measure, Spec, text_hash
from segstream.engine import Engine as App
from segstream.settings import Settings

SPEC = Spec((Measure("visits", ("visit",), "event"),), (Feature("visits", "count", "visits"),))
MODEL = model_of(SPEC, [[0.0], [5.0]])


def visit(who: str, ts: int, number: int) -> Event:
    return Event(event_id=f"v{number}", customer_id=who, ts=ts, type="visit")


def erase(who: str, ts: int, number: int) -> Event:
    return Event(event_id=f"x{number}", customer_id=who, ts=ts, type="erase")


def engine() -> Engine:
    return Engine(CompiledSpec(SPEC), policy(), MODEL)


def reasons(changes: list[tuple[str, bytes]]) -> list[tuple[str, int]]:
    read: list[Change] = [told(c) for c in changes]
    return [(c.data.reason, c.data.sequence) for c in read]


def test_an_erased_customer_begins_anew() -> None:
    """`erased` is told once; who comes back later starts at sequence 1 with no past."""
    e = engine().batch([visit("ann", START_MS, 0), erase("ann", START_MS + 1, 1)])
    assert (e.store, e.meta.customers) == ({}, 0)
    e.batch([visit("ann", START_MS + HOUR_MS, 2)])
    assert reasons(e.changes) == [("first", 1), ("erased", 2), ("first", 1)]
    assert e.features("ann") == {"visits": 1.0}


def test_an_id_is_kept_only_sealed() -> None:
    """What is left of an erased customer does not hold its id."""
    e = engine().batch(
        [visit("ann@example.org", START_MS, 0), erase("ann@example.org", START_MS, 1)]
    )
    assert len(e.meta.erased) == 1
    assert "ann" not in repr(e.meta)


def test_stragglers_are_dropped() -> None:
    """Events from before the erasure are skipped and counted, in its batch and in later ones."""
    old, new = visit("ann", START_MS, 2), visit("ann", START_MS + 2, 3)
    log = [visit("ann", START_MS, 0), erase("ann", START_MS + 1, 1), old, new]
    one = engine().batch(log)
    many = engine()
    for event in log:
        many.batch([event]).restart()
    assert one.meta == many.meta
    assert one.meta.skipped == 1
    assert one.features("ann") == many.features("ann") == {"visits": 1.0}


def test_stragglers_take_no_place() -> None:
    """Customers keep their order of first events, however the log was cut around a straggler."""
    log = [erase("ann", START_MS, 0), visit("ann", START_MS - 1, 1), visit("bob", START_MS, 2),
           visit("ann", START_MS + 1, 3)]  # fmt: skip
    one, many = engine().batch(log), engine()
    for event in log:
        many.batch([event]).restart()
    assert one.store == many.store
    assert one.meta == many.meta


def test_thirty_days_later_nothing_is_left() -> None:
    """After 30 days of the clock the seal is gone, whether or not anybody else was erased."""
    for others in ([], [erase("eve", START_MS + 30 * DAY_MS, 7)]):
        log = [
            visit("ann", START_MS, 0),
            erase("ann", START_MS, 1),
            visit("bob", START_MS + 30 * DAY_MS - 1, 2),
            visit("ann", START_MS - 5, 3),
            visit("bob", START_MS + 30 * DAY_MS, 4),
            *others,
            visit("ann", START_MS - 5, 5),
        ]
        one, many = engine().batch(log), engine()
        for event in log:
            many.batch([event])
        assert one.meta == many.meta
        assert one.meta.skipped == 1
        assert one.features("ann") == {"visits": 1.0}


def test_a_late_erasure_takes_nothing_back() -> None:
    """Of two erasures the later time rules what is a straggler, whichever arrives last."""
    e = engine().batch([erase("ann", START_MS, 0), erase("ann", START_MS - HOUR_MS, 1)])
    e.batch([visit("ann", START_MS - 1, 2)])
    assert (e.meta.skipped, e.meta.customers) == (2, 0)


def test_an_erasure_sent_twice_counts_once() -> None:
    """Delivered again after the customer came back, an erasure takes nothing away."""
    log = [erase("ann", START_MS, 0), visit("ann", START_MS + 1, 1), erase("ann", START_MS, 0)]
    e, many = engine().batch(log), engine()
    for event in log:
        many.batch([event])
    assert (e.meta.skipped, e.meta.customers) == (1, 1)
    assert reasons(e.changes) == [("first", 1)]
    assert e.meta == many.meta


def members(rows: PanelRows) -> set[int]:
    return set(rows.keys[:, P_HASH].tolist())


@pytest.mark.parametrize("back", [False, True])
def test_panel_vectors_leave_with_the_erased(back: bool) -> None:
    """Rows of the open day that a store has go; those of who came back since stay."""
    partition, panel = parts(CompiledSpec(SPEC), policy()), OpenPanel(())
    day_ends = (START_MS // DAY_MS + 1) * DAY_MS
    ann, bob = text_hash("ann"), text_hash("bob")
    partition.stage([visit("ann", day_ends, 0), visit("bob", day_ends, 1)])
    partition.run((day_ends + 23 * HOUR_MS) // MINUTE_MS)
    while not partition.run((day_ends + 2 * DAY_MS) // MINUTE_MS - 1):
        panel.close(partition)
        partition.open_day()
    stored, anew = panel.store(partition.take())
    assert (members(stored), anew) == ({ann, bob}, False)
    now = day_ends + 2 * DAY_MS - MINUTE_MS
    again = [visit("ann", now + 1, 3)] if back else []
    partition.stage([erase("ann", now, 2), *again])
    partition.run()
    stored, anew = panel.store(partition.take())
    assert (members(stored), anew) == ({bob}, True)
    partition.stage([])
    days = []
    while not partition.run((now + DAY_MS + MINUTE_MS) // MINUTE_MS):
        days.append(members(panel.close(partition)))
        partition.open_day()
    assert days == [{bob}, {ann, bob} if back else {bob}]


def test_the_state_keeps_no_vector_of_the_erased() -> None:
    """The embedded engine rewrites the open day's panel in the batch that erases."""
    store, sink = MemoryStore(), MemorySink()
    day = (START_MS // DAY_MS + 1) * DAY_MS
    shop = [visit(f"c{i}", day + i, i) for i in range(40)]
    shop += [visit(f"c{i}", day + 2 * DAY_MS - HOUR_MS + i, 40 + i) for i in range(40)]
    settings = Settings(measures=SPEC.measures, features=SPEC.features)

    def stored(log: list[Event]) -> set[int]:
        engine = App(settings, store, sink)
        engine.run(MemorySource([b""] * len(log), list(log), f"log of {len(log)}"))
        blocks = [np.frombuffer(b.keys, dtype=np.int64) for b in store.claim().panel]
        return set(np.concatenate(blocks).reshape(-1, N_PANEL_COLUMNS)[:, P_HASH].tolist())

    before = stored(shop)
    left = next(i for i in range(40) if text_hash(f"c{i}") in before)
    after = stored([erase(f"c{left}", day + 2 * DAY_MS - HOUR_MS + 50, 99)])
    assert before - after == {text_hash(f"c{left}")}


def test_erasing_nobody() -> None:
    """An id that was never seen is sealed too, and nothing is told."""
    e = engine().batch([erase("ann", START_MS, 0), visit("ann", START_MS - 1, 1)])
    assert (e.changes, e.store, e.meta.skipped, e.meta.applied) == ([], {}, 1, 1)
