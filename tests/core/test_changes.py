"""What a published change says: id, sequence, from and to, drivers, direction."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from tests.core.engine import HOUR_MS, Engine, model_of, policy
from tests.core.strategies import START_MS, logs
from tests.core.visits import HIGH, LOW, SPEC, candidate_ids, changes_of, run
from tests.core.worlds import Switcher, policies, worlds

from segstream.core.changes import Change
from segstream.core.events import Event
from segstream.core.layout import Policy
from segstream.core.model import Model
from segstream.core.spec import CompiledSpec, Spec

# ---- for any log -----------------------------------------------------------------------------


@given(worlds(), policies, logs())
def test_every_change_keeps_the_contract(
    world: tuple[Spec, Model | None, list[Model | None]], rules: Policy, events: list[Event]
) -> None:
    """In any stream: ids by the formula, sequences without holes, from is the former to."""
    spec, first, coming = world
    engine = Engine(CompiledSpec(spec), rules, first, Switcher(coming)).batch(events)
    causes = {e.event_id for e in events}
    models = {m.version for m in (first, *coming) if m is not None}
    ids = [c.id for c in changes_of(engine)]
    assert len(set(ids)) == len(ids)
    for customer in {c.subject for c in changes_of(engine)}:
        own = [c for c in changes_of(engine) if c.subject == customer]
        for change in own:
            assert change.id in candidate_ids(change, {*causes, *models, "instant"})
        assert own[0].data.sequence == 1
        for before, after in pairwise(own):
            assert_follows(before, after)


def assert_follows(before: Change, after: Change) -> None:
    if before.data.to is None:  # erased or forgotten: a new life
        assert (after.data.sequence, after.data.reason) == (1, "first")
        return
    assert after.data.sequence == before.data.sequence + 1
    assert after.data.from_ is not None
    assert after.data.from_.id == before.data.to.id
    assert after.data.from_ != after.data.to
    assert after.data.since == before.time
    assert after.time >= before.time


@given(worlds(), logs())
def test_drivers_sum_to_the_margin(
    world: tuple[Spec, Model | None, list[Model | None]], events: list[Event]
) -> None:
    """Contributions, four at most and the largest first, add up to the margin."""
    spec, first, coming = world
    engine = Engine(CompiledSpec(spec), policy(), first, Switcher(coming)).batch(events)
    for change in changes_of(engine):
        sizes = [abs(d.contribution) for d in change.data.drivers]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) <= 4
        if len(spec.features) <= 4 and change.data.margin is not None:
            total = sum(d.contribution for d in change.data.drivers)
            assert total == pytest.approx(change.data.margin, rel=1e-6, abs=1e-5)
        if change.data.reason in ("behaviour", "time") and change.data.margin is not None:
            assert change.data.margin >= 0


# ---- ids and figures by hand -----------------------------------------------------------------


def test_the_id_of_a_change() -> None:
    """The id is SHA-256, 32 digits, of namespace, customer, sequence, from, to, time and cause."""
    first, second = changes_of(run(0, 1, 2))
    assert first.time == "2021-03-14T20:30:00.000Z"
    text = f'["shop","ann",1,null,1,{START_MS},"v0"]'
    assert first.id == hashlib.sha256(text.encode()).hexdigest()[:32]
    text = f'["shop","ann",2,1,2,{START_MS + 2 * HOUR_MS},"v2"]'
    assert second.id == hashlib.sha256(text.encode()).hexdigest()[:32]


def test_an_id_of_any_text() -> None:
    """Ids escape what is not ASCII, so every language's JSON gives the same."""
    engine = Engine(CompiledSpec(SPEC), policy(), model_of(SPEC, [LOW]))
    engine.batch([Event(event_id='"ü', customer_id="é\n\U0001f600", ts=START_MS, type="visit")])
    text = f'["shop","\\u00e9\\n\\ud83d\\ude00",1,null,1,{START_MS},"\\"\\u00fc"]'
    (change,) = changes_of(engine)
    assert change.id == hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def test_figures_of_a_change() -> None:
    """Margin, drivers, averages, direction and times entered are what the model says."""
    _, change = changes_of(run(0, 1, 2))
    d = change.data
    assert (d.margin, [x.contribution for x in d.drivers]) == (8.0, [8.0])  # 3^2 - 1^2
    assert (d.drivers[0].value, d.drivers[0].from_average, d.drivers[0].to_average) == (3, 10, 20)
    assert (d.direction, d.times_entered, d.model) == ("up", 1, "1.0")


def test_times_entered_counts_returns() -> None:
    """Back in a former segment, it is the second time there."""
    engine = run(0, 1, 2, 3, until_hour=11 * 24)
    entered = [(c.data.to.id, c.data.times_entered) for c in changes_of(engine) if c.data.to]
    assert entered == [(1, 1), (2, 1), (1, 2)]
    assert [c.data.direction for c in changes_of(engine)] == ["level", "up", "down"]


@pytest.mark.parametrize(
    ("spends", "direction"),
    [((100.0, 105.0), "level"), ((100.0, 106.0), "up"), ((0.0, 0.0), "level")],
)
def test_direction_is_level_within_a_twentieth(spends: tuple[float, float], direction: str) -> None:
    """Segments within five per cent of the larger mean spend are of one value."""
    model = model_of(SPEC, [LOW, HIGH])
    segments = tuple(
        type(s)(s.id, s.name, "", "", s.centre, (spend,), 1, 0.5)
        for s, spend in zip(model.segments, spends, strict=True)
    )
    engine = run(0, 1, 2, model=model_of(SPEC, [LOW, HIGH], segments=segments))
    assert changes_of(engine)[-1].data.direction == direction
