"""The model's life: when the first comes, what a day changes, when a refit is worth it."""

from contextlib import closing
from typing import Any

import msgspec
import numpy as np
import pytest

from segstream.adapters.playbook_files import named_playbook
from segstream.core import layout as at
from segstream.core.fitting import choose_k, fit_scaling, panel_vectors
from segstream.core.history import history
from segstream.core.identity import match
from segstream.core.layout import VECTOR_ONE
from segstream.core.partition import DayTotals, PanelRows
from segstream.core.playbook import Label, name_segments
from segstream.core.portrait import Figures
from segstream.core.refit import Gate
from segstream.core.spec import CompiledSpec, FloatArray
from segstream.core.trainer import Trainer
from segstream.core.trainer_state import Command, TrainerSettings, TrainerState
from segstream.fitter import BESIDE_MEMBERS, ChildFitter, InlineFitter
from segstream.settings import RETAIL

SPEC = CompiledSpec(RETAIL)
PLAYBOOK = named_playbook("retail", SPEC)
DAY_MS = 86_400_000
N_FEATURES = SPEC.n_features
EMPTY = DayTotals(200, (), (), ())


def population(seed: int, per_group: int = 60, shift: float = 1.0) -> FloatArray:
    """Raw features of three kinds of customers, far apart."""
    generator = np.random.default_rng(seed)
    kinds = np.array(
        [
            [30.0, 900.0, 0.5, 30.0, 12.0, 150.0, 3.0, 300.0],
            [5.0, 400.0 * shift, 1.0, 80.0, 30.0, 25.0, 15.0, 300.0],
            [1.0, 20.0, 6.0, 20.0, 8.0, 6.0, 120.0, 300.0],
        ]
    )
    noise = generator.uniform(0.85, 1.15, size=(3, per_group, N_FEATURES))
    return np.ascontiguousarray((kinds[:, None, :] * noise).reshape(-1, N_FEATURES))


def rows(raw: FloatArray) -> PanelRows:
    """A day's panel: one turn per customer."""
    keys = np.zeros((len(raw), at.N_PANEL_COLUMNS), dtype=np.int64)
    keys[:, at.P_HASH] = np.arange(1, len(raw) + 1)
    keys[:, at.P_EVENT] = at.NOT_AN_EVENT
    return PanelRows(keys, raw)


def trainer(**changed: Any) -> Trainer:
    """A trainer for three segments."""
    settings = msgspec.convert({"k": 3, "min_panel": 50} | changed, TrainerSettings)
    return Trainer(SPEC, settings, PLAYBOOK)


def started(raw: FloatArray, day: int = 200, **changed: Any) -> TrainerState:
    """The state after the first model."""
    totals = DayTotals(day, (), (), ())
    return trainer(**changed).close_day(TrainerState(), totals, rows(raw), 0)


def lived(state: TrainerState, raw: FloatArray, days: range, **changed: Any) -> TrainerState:
    """The state after some days of one panel."""
    for day in days:
        state = trainer(**changed).close_day(state, DayTotals(day, (), (), ()), rows(raw), 0)
    return state


def test_the_first_model_waits_for_the_longest_window() -> None:
    """Before the window is covered there is no model, and the state says what is missing."""
    early = trainer().close_day(TrainerState(), DayTotals(30, (), (), ()), rows(population(1)), 0)
    assert early.model is None
    assert early.waiting == "31 of 112 days of events, to fill the longest window"
    assert started(population(1), day=30, start="early").model is not None


def test_the_first_model_waits_for_customers() -> None:
    """A panel that is too small is no population."""
    few = trainer().close_day(TrainerState(), EMPTY, rows(population(1, per_group=5)), 0)
    assert few.model is None
    assert "15 of 50 customers" in few.waiting


def test_customers_who_are_all_alike_make_no_model() -> None:
    """Where no clustered feature varies there is nothing to fit, and nothing stops."""
    same = np.tile(population(1)[:1], (80, 1))
    state = trainer().close_day(TrainerState(), EMPTY, rows(same), 0)
    assert state.model is None
    assert "differs" in state.waiting


def test_planted_kinds_are_found_and_named() -> None:
    """Three planted kinds become three segments whose names the figures support."""
    model = started(population(1)).model
    assert model is not None
    assert sorted(s.customers for s in model.segments) == [60, 60, 60]
    assert [s.id for s in model.segments] == [1, 2, 3]
    assert "Gone quiet" in {s.name for s in model.segments}


def test_the_same_panel_gives_the_same_model() -> None:
    """Fits are seeded: a rerun is equal to the byte."""
    one, other = started(population(1)), started(population(1))
    assert msgspec.json.encode(one.model) == msgspec.json.encode(other.model)


def test_an_unchanged_population_is_not_refitted() -> None:
    """The weekly check refuses a refit that wins nothing, and records its figures."""
    state = started(population(1))
    after = lived(state, population(1), range(230, 232))
    assert after.model == state.model
    assert after.decisions[-1].taken == "no"
    assert after.decisions[-1].gain_warm < 0.01


def test_a_moved_population_is_refitted_and_keeps_its_ids() -> None:
    """A group that moved far makes a new generation; segments keep the ids of their customers."""
    state = started(population(1))
    moved = lived(state, population(1, shift=9), range(230, 232))
    assert moved.model is not None
    assert moved.model.generation == 2
    assert moved.decisions[-1].taken in ("warm", "fresh")
    assert {s.id for s in moved.model.segments} == {1, 2, 3}


def test_a_candidate_must_win_on_a_panel_it_has_not_seen() -> None:
    """Fitted on one day's oddity, refused on the next, with the figures of both days."""
    state = lived(started(population(1)), population(1, shift=9), range(230, 231))
    assert state.asked is not None
    after = lived(state, population(1), range(231, 232))
    assert after.model is not None
    assert after.model.generation == 1
    decision = after.decisions[-1]
    assert decision.taken == "no"
    assert decision.gain_warm > 0.01 > (decision.gain or 0.0)
    assert "is not over" in decision.objection


def test_a_refused_candidate_can_be_promoted_by_a_person() -> None:
    """What the gate refused waits; `promote` lets it serve, and its decision says which model."""
    state = lived(started(population(1)), population(1, shift=9), range(230, 231))
    refused = lived(state, population(1), range(231, 232))
    assert refused.refused is not None
    asked = msgspec.structs.replace(refused, commands=(Command("promote"),))
    after = lived(asked, population(1), range(232, 233))
    assert after.model is not None
    assert (after.model.generation, after.refused, after.commands) == (2, None, ())
    assert after.decisions[-1].version == after.model.version


def test_a_command_reclusters_at_once_with_another_k() -> None:
    """`recluster --k 4`: checked when the day closes, serving a day later, past the gate."""
    state = msgspec.structs.replace(started(population(1)), commands=(Command("recluster", 4),))
    after = lived(state, population(1), range(201, 203))
    assert after.model is not None
    assert len(after.model.segments) == 4
    assert after.decisions[-1].trigger == "command"
    assert {s.id for s in after.model.segments} - {1, 2, 3}


def test_a_rollback_brings_the_former_segments_back_under_a_new_number() -> None:
    """Centres, ids and names of the former generation serve again; its successors' ids retire."""
    first = started(population(1))
    assert first.model is not None
    commanded = msgspec.structs.replace(first, commands=(Command("recluster", 4),))
    second = lived(commanded, population(1), range(201, 203))
    assert second.model is not None
    back = msgspec.structs.replace(second, commands=(Command("rollback", model=first.model),))
    third = lived(back, population(1), range(203, 204)).model
    assert third is not None
    assert third.segments == first.model.segments
    assert (third.generation, third.number, third.restores) == (3, second.model.number + 1, 1)
    assert third.generation_reason == "rollback"
    gone = {s.id for s in second.model.segments} - {1, 2, 3}
    assert gone <= {s.id for s in third.retired}
    assert third.next_id == second.model.next_id


def test_churn_over_the_budget_is_refused() -> None:
    """A gain that moves more customers than it may is recorded and not taken."""
    gate = Gate(churn=0.1)
    assert gate.objection(0.015, 0.37, 0.1) == ""
    assert "would move 38.0%" in gate.objection(0.015, 0.38, 0.1)
    assert "smallest segment" in gate.objection(0.5, 0.1, 0.001)
    assert "not over 1.00%" in gate.objection(0.01, 0.06, 0.1)


def test_upkeep_needs_half_the_gain() -> None:
    """A refit that leaves 95 % where they are needs half; with `upkeep = 0` nobody may move."""
    gate = Gate()
    assert gate.objection(0.006, 0.05, 0.1) == ""
    assert gate.objection(0.005, 0.05, 0.1) == (
        "gain 0.50% is not over 0.50% for moving 5.0% of the customers"
    )
    assert "not over 1.00% for moving 5.1%" in gate.objection(0.006, 0.051, 0.1)
    assert "not over 1.00% for moving 0.1%" in Gate(upkeep=0.0).objection(0.006, 0.001, 0.1)


def test_after_upkeep_the_next_check_comes_within_a_week() -> None:
    """A refit that wins between half and the whole of `gain` does not hold back a real one."""
    upkept = lived(started(population(1)), population(1, shift=1.06), range(230, 239))
    assert [(d.day, d.version) for d in upkept.decisions] == [(230, "2.0"), (237, "")]
    assert 0.005 < (upkept.decisions[0].gain or 0.0) <= 0.01
    refitted = lived(started(population(1)), population(1, shift=9), range(230, 247))
    assert [(d.day, d.version) for d in refitted.decisions] == [(230, "2.0"), (245, "")]


@pytest.mark.slow
def test_the_answer_is_the_same_in_another_process() -> None:
    """A check computed beside the stream gives the proposal that it gives here, to the byte."""
    asked = lived(started(population(1)), population(1, shift=9), range(230, 231)).asked
    assert asked is not None
    many = np.tile(asked.panel(), (1 + BESIDE_MEMBERS // len(asked.panel()), 1))
    labels = np.tile(np.frombuffer(asked.labels, dtype=np.int64), len(many) // len(asked.panel()))
    large = msgspec.structs.replace(asked, vectors=many.tobytes(), labels=labels.tobytes())
    with closing(ChildFitter()) as fitter:
        fitter.begin(large)
        beside = fitter.result(large)
    assert msgspec.json.encode(beside) == msgspec.json.encode(InlineFitter().result(large))


def test_matching_ignores_the_numbers_of_labels() -> None:
    """The same grouping under other labels continues segment by segment."""
    old = np.repeat([0, 1, 2], 10)
    assert match(old, (old + 1) % 3, 3, 3).tolist() == [2, 0, 1]


def test_a_segment_without_most_of_its_customers_is_new() -> None:
    """Where neither side keeps most of its customers the id is not inherited."""
    old = np.array([0] * 10 + [1] * 10)
    new = np.array(([0] * 5 + [1] * 5) * 2)
    assert (match(old, new, 2, 2) >= 0).sum() <= 2


def test_k_is_chosen_within_bounds() -> None:
    """The elbow rule stays between 3 and 8, and below the number of distinct vectors."""
    transformed = panel_vectors(SPEC, population(1))
    vectors = fit_scaling(SPEC, transformed).apply(transformed)
    k, curve = choose_k(vectors, starts=3, seed=7)
    assert 3 <= k <= 8
    assert list(curve) == list(range(2, 11))
    assert choose_k(vectors[:2], starts=3, seed=7)[0] == 2


def test_river_is_the_other_learner() -> None:
    """With `learner = "river"` the centres follow the panel's vectors at events."""
    raw = population(1)
    state = started(raw, learner="river")
    assert state.model is not None
    traffic = rows(raw[:60])
    traffic.keys[:, at.P_EVENT] = 5
    both = PanelRows(
        np.concatenate([rows(raw).keys, traffic.keys]), np.concatenate([raw, raw[:60]])
    )
    totals = DayTotals(201, (1, 1, 1), ((0,) * N_FEATURES,) * 3, (0, 0, 0))
    after = trainer(learner="river").close_day(state, totals, both, 0)
    assert after.model is not None
    moved = np.abs(after.model.centres - state.model.centres).sum(axis=1)
    assert np.count_nonzero(moved) == 1


@pytest.mark.parametrize("size", [100, 150])
def test_the_panel_is_thinned_by_hash(size: int) -> None:
    """A panel beyond its size loses the customers whose hash lacks leading zeros."""
    raw = np.tile(population(1), (4, 1))
    wide = rows(raw)
    generator = np.random.default_rng(3)
    wide.keys[:, at.P_HASH] = generator.integers(-(1 << 63), 1 << 63, len(raw))
    state = trainer(panel_size=size, min_panel=20).close_day(TrainerState(), EMPTY, wide, 0)
    assert state.panel_bits >= 2
    assert state.model is not None
    assert state.model.fit.panel <= size


def test_a_name_that_is_no_longer_true_is_replaced() -> None:
    """A pinned name stays while its condition holds, and goes when it does not."""
    everyone = population(1)
    averages = np.array([everyone[:60].mean(axis=0), everyone[120:].mean(axis=0)])
    mean = everyone.mean(axis=0)
    had = [Label("Frequent, small baskets", "", "a", ()), Label("Gone quiet", "", "b", ())]
    kept = name_segments(PLAYBOOK, SPEC, Figures(averages, mean), had)
    assert [label.name for label in kept] == ["Frequent, small baskets", "Gone quiet"]
    swapped = name_segments(PLAYBOOK, SPEC, Figures(averages[::-1], mean), had)
    assert swapped[0][0] != "Frequent, small baskets"
    assert swapped[1][0] != "Gone quiet"


# ---- awkward panels --------------------------------------------------------------------------


def test_fewer_distinct_customers_than_segments() -> None:
    """With k over the number of distinct vectors there are as many segments as vectors."""
    raw = np.repeat(population(1)[[0, 60, 120]], 20, axis=0)
    model = started(raw, k=10).model
    assert model is not None
    assert len(model.segments) == 3
    assert model.fit.k == 3


def test_more_segments_than_customers() -> None:
    """With k over the number of customers everybody is a segment, and the model says so."""
    model = started(population(1, per_group=2), k=10, min_panel=5).model
    assert model is not None
    assert (len(model.segments), model.fit.k) == (6, 6)


@pytest.mark.parametrize("k", [181, 500])
def test_a_command_for_more_segments_than_customers_is_refused(k: int) -> None:
    """The decision says why, and `models list` shows it; the living model goes on."""
    first = started(population(1))
    assert first.model is not None
    commanded = msgspec.structs.replace(first, commands=(Command("recluster", k),))
    after = lived(commanded, population(1), range(201, 203))
    assert after.model == first.model
    assert after.commands == ()
    assert after.decisions[-1].objection == (
        f"{k} segments need as many customers that differ, and 180 do"
    )
    shown = history((first.model,), after.decisions, every=False)
    assert shown[-1].objection == after.decisions[-1].objection


def test_fewer_customers_than_living_segments_are_not_refitted() -> None:
    """A day on which only two customers were evaluated is no panel for three segments."""
    commanded = msgspec.structs.replace(started(population(1)), commands=(Command("recluster"),))
    after = lived(commanded, population(1)[[0, 170]], range(201, 203))
    assert after.model == commanded.model
    assert (
        "3 segments need as many customers that differ, and 2 do" in after.decisions[-1].objection
    )


def test_a_constant_feature_weighs_nothing() -> None:
    """It is in the model with weight 0, and the others decide."""
    raw = population(1)
    raw[:, 3] = 25.0
    model = started(raw).model
    assert model is not None
    assert model.weight[3] == 0.0
    assert sorted(s.customers for s in model.segments) == [60, 60, 60]


def test_one_giant_outlier_owns_no_segment() -> None:
    """Logarithms and clips keep one customer who spends a billion inside a segment."""
    raw = population(1)
    raw[0, 1] = 1e9
    model = started(raw).model
    assert model is not None
    assert min(s.customers for s in model.segments) > 30


def test_an_empty_segment_keeps_its_place_and_figures() -> None:
    """A segment whose customers are all elsewhere keeps centre, name and averages."""
    state = started(population(1))
    assert state.model is not None
    left = population(1)[:120]
    counts = [60 if s.average[1] and s.average[1] > 100 else 0 for s in state.model.segments]
    sums = tuple(
        tuple(round(c * n * VECTOR_ONE) for c in s.centre)
        for s, n in zip(state.model.segments, counts, strict=True)
    )
    totals = DayTotals(201, tuple(counts), sums, (0, 0, 0))
    after = trainer().close_day(state, totals, rows(left), 0).model
    assert after is not None
    assert sorted(s.customers for s in after.segments) == [0, 60, 60]
    empty = next(s for s in after.segments if not s.customers)
    before = state.model.segment(empty.id)
    assert before is not None
    assert (empty.centre, empty.average, empty.name) == (before.centre, before.average, before.name)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_attributes_that_are_missing(share: float) -> None:
    """The median stands in; missing for over 30 %, the feature is left out, with a notice."""
    raw = population(1)
    raw[: round(share * len(raw)), 3] = np.nan
    model = started(raw).model
    assert model is not None
    assert (model.weight[3] == 0.0) is (share > 0.3)
    assert bool(model.notices) is (share > 0.3)
    assert all(np.isfinite(model.centres).ravel())


def test_an_empty_panel_changes_nothing() -> None:
    """A day on which nobody was evaluated passes without a model, an error or an alarm."""
    state = started(population(1))
    after = lived(state, np.zeros((0, N_FEATURES)), range(208, 210))
    assert after.model == state.model
    assert after.decisions == ()
