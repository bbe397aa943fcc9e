"""When a change is published and when it is held back: margin, dwell, min_events, new models."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.engine import DAY_MS, HOUR_MS, MINUTE_MS, Engine, model_of, policy
from tests.core.strategies import START_MS
from tests.core.visits import (
    HIGH,
    LOW,
    SPEC,
    TOP,
    candidate_ids,
    changes_of,
    moment_ms,
    run,
    story,
)  # fmt: skip
from tests.core.worlds import Switcher

from segstream.core.events import Event
from segstream.core.model import Model
from segstream.core.spec import CompiledSpec

# ---- policy ----------------------------------------------------------------------------------


def test_the_margin_keeps_a_customer_near_the_border() -> None:
    """With a margin of 0.2 the new centre must be a fifth nearer by squared distance."""
    near = model_of(SPEC, [[0.0], [3.9]])  # two visits: 4.0 to the old, 3.61 to the new
    assert story(run(0, 1, model=near)) == [("first", 1)]
    assert story(run(0, 1, model=near, rules=policy(margin=0.0))) == [
        ("first", 1), ("behaviour", 2),
    ]  # fmt: skip


def test_dwell_holds_a_change_back_and_keeps_its_reason() -> None:
    """What an event pointed to first is told at a later instant as behaviour."""
    rules = policy(dwell_ms=DAY_MS)
    assert story(run(0, 1, 2, until_hour=20, rules=rules)) == [("first", 1)]
    engine = run(0, 1, 2, until_hour=25.5, rules=rules)
    assert story(engine) == [("first", 1), ("behaviour", 2)]
    held = changes_of(engine)[-1]
    assert DAY_MS <= moment_ms(held.time) - START_MS < DAY_MS + HOUR_MS
    assert held.id in candidate_ids(held, {"instant"})


def test_min_events_before_a_first_segment() -> None:
    """With `min_events` 3 the first two events leave a customer unassigned."""
    rules = policy(min_events=3)
    assert story(run(0, 1, until_hour=30, rules=rules)) == []
    assert story(run(0, 1, 2, rules=rules)) == [("first", 2)]


# ---- models ----------------------------------------------------------------------------------

LATER = {"number": 2, "revision": 1}
REVISED = model_of(SPEC, [[0.0], [1.1]], **LATER)
RECLUSTERED = model_of(
    SPEC, [[0.0], [1.1]], number=2, generation=2, generation_reason="recluster"
)  # fmt: skip


@pytest.mark.parametrize(("model", "reason"), [(REVISED, "model"), (RECLUSTERED, "recluster")])
def test_a_new_model_is_judged_as_of_the_last_evaluation(model: Model, reason: str) -> None:
    """At a day's first turns what the model alone changes has its reason, version and time."""
    two = model_of(SPEC, [LOW, HIGH])
    engine = run(0, until_hour=5, model=two, coming=[model])
    _, changed = changes_of(engine)
    assert (changed.data.reason, changed.data.model) == (reason, model.version)
    assert changed.id in candidate_ids(changed, {model.version})
    midnight = (START_MS // DAY_MS + 1) * DAY_MS
    assert midnight - HOUR_MS <= moment_ms(changed.time) < midnight


def test_dwell_forgets_what_nothing_points_to_any_more() -> None:
    """A held change whose cause is gone is dropped, and its reason with it.

    Three visits point to the second segment while dwell holds; ten days later nothing does. On
    the twelfth day the model alone moves the customer there.
    """
    rules, swapped = policy(dwell_ms=21 * DAY_MS // 2), model_of(SPEC, [HIGH, LOW], **LATER)
    coming = [None] * 11 + [swapped]
    engine = run(0, 1, 2, until_hour=275, rules=rules, model=model_of(SPEC, [LOW, HIGH]),
                 coming=coming)  # fmt: skip
    assert story(engine) == [("first", 1), ("model", 2)]


@pytest.mark.parametrize("reason", ["recluster", "rollback"])
def test_dwell_holds_back_a_revision_but_never_a_new_generation(reason: str) -> None:
    """Dwell of thirty days: the moved centre waits, the new generation does not."""
    two, rules = model_of(SPEC, [LOW, HIGH]), policy(dwell_ms=30 * DAY_MS)
    assert story(run(0, until_hour=5, model=two, rules=rules, coming=[REVISED])) == [("first", 1)]
    anew = model_of(SPEC, [[0.0], [1.1]], number=2, generation=2, generation_reason=reason)
    assert story(run(0, until_hour=5, model=two, rules=rules, coming=[anew])) == [
        ("first", 1), (reason, 2),
    ]  # fmt: skip


def test_a_revision_after_a_quiet_new_generation_is_a_revision() -> None:
    """Who stayed through a new generation and moves by its revision a day later: `model`."""
    anew = model_of(SPEC, [LOW, HIGH], number=2, generation=2, generation_reason="recluster")
    moved = model_of(
        SPEC, [LOW, [1.1]], number=3, generation=2, revision=1, generation_reason="recluster"
    )
    engine = run(0, until_hour=30, model=model_of(SPEC, [LOW, HIGH]), coming=[anew, moved])
    assert story(engine) == [("first", 1), ("model", 2)]


def test_a_segment_that_is_gone_is_left_whatever_the_policy() -> None:
    """Where the new model has a customer's segment no longer, margin and dwell do not hold."""
    three = model_of(SPEC, [LOW, HIGH, TOP])
    gone = model_of(
        SPEC, [LOW, HIGH, TOP], number=2, generation=2, generation_reason="recluster",
        segments=three.segments[1:], retired=three.segments[:1],
    )  # fmt: skip
    rules = policy(margin=0.9, dwell_ms=30 * DAY_MS)
    engine = run(0, until_hour=5, model=three, rules=rules, coming=[gone])
    assert story(engine) == [("first", 1), ("recluster", 2)]
    assert changes_of(engine)[-1].data.from_ is not None


def test_the_first_model_gives_everybody_a_first_segment_within_an_hour() -> None:
    """Without a model nobody is in a segment; with the first everybody is, at its next turn."""
    engine = Engine(CompiledSpec(SPEC), policy(), None, Switcher([model_of(SPEC, [LOW, HIGH])]))
    engine.batch(
        Event(event_id="v", customer_id=str(i), ts=START_MS, type="visit") for i in range(50)
    )
    midnight = (START_MS // DAY_MS + 1) * 1440
    assert engine.until(midnight - 1).changes == []
    engine.until(midnight + 59)
    assert sorted(c.subject for c in changes_of(engine)) == sorted(map(str, range(50)))
    assert {c.data.reason for c in changes_of(engine)} == {"first"}


@given(st.integers(0, 200))
def test_a_day_of_turns_learns_from_everybody_once(customers: int) -> None:
    """Each customer adds its vector to one segment's total exactly once a day."""
    engine = Engine(CompiledSpec(SPEC), policy(), model_of(SPEC, [LOW, HIGH]))
    start = (START_MS // DAY_MS + 1) * DAY_MS - 1
    engine.batch(
        Event(event_id="v", customer_id=str(i), ts=start, type="visit") for i in range(customers)
    )
    if customers:
        engine.until(start // MINUTE_MS + 3 * 1440 + 1)
        assert [sum(d.counts) for d in engine.days] == [0, customers, customers, customers]
        assert sorted(row[0] for row in engine.panel)[::3] == sorted({r[0] for r in engine.panel})


def test_a_rollback_gives_the_former_segment_back_without_judging_it() -> None:
    """The new generation moved the customer; its predecessor's return moves it back, exactly."""
    two = model_of(SPEC, [LOW, HIGH])
    anew = model_of(SPEC, [[9.0], [1.1]], number=2, generation=2, generation_reason="recluster")
    back = model_of(
        SPEC, [[9.0], [1.1]], number=3, generation=3, generation_reason="rollback", restores=1
    )
    engine = run(0, until_hour=5, model=two, coming=[anew])
    assert story(engine)[-1] == ("recluster", 2)
    engine = run(0, until_hour=54, model=two, coming=[anew, back], rules=policy(margin=0.99))
    assert story(engine)[:3] == [("first", 1), ("recluster", 2), ("rollback", 1)]


def test_a_rollback_leaves_alone_who_never_moved() -> None:
    """Who kept the segment through the new generation keeps it when the old one returns."""
    two = model_of(SPEC, [LOW, HIGH])
    anew = model_of(SPEC, [LOW, HIGH], number=2, generation=2, generation_reason="recluster")
    back = model_of(
        SPEC, [LOW, HIGH], number=3, generation=3, generation_reason="rollback", restores=1
    )
    engine = run(0, until_hour=54, model=two, coming=[anew, back])
    assert story(engine) == [("first", 1)]
