"""When the number of segments is chosen anew, and what becomes of a choice that is refused."""

from typing import Any

import msgspec
import pytest
from tests.core.test_trainer import lived, population, started

from segstream.core.choosing import ASKED_AGAIN, chooses
from segstream.core.trainer_state import Command, TrainerState

AUTO: dict[str, Any] = {"k": "auto"}
# Nobody may move: whatever has another number of segments is refused.
TIGHT: dict[str, Any] = AUTO | {"gate": {"churn": 0.0}}
DUE = 220


def four_for_three_kinds() -> TrainerState:
    """A model of four segments where three are enough, and a day on which k is chosen."""
    first = started(population(1), **AUTO)
    commanded = msgspec.structs.replace(first, commands=(Command("recluster", 4),))
    state = lived(commanded, population(1), range(201, 203), **AUTO)
    assert segments(state) == 4
    return msgspec.structs.replace(state, k_due=DUE, k_again=ASKED_AGAIN)


def segments(state: TrainerState) -> int:
    """How many serve."""
    assert state.model is not None
    return len(state.model.segments)


def refused(weeks: int) -> TrainerState:
    """The state after as many weekly choices that were refused."""
    days = range(DUE, DUE + 7 * (weeks - 1) + 2)
    return lived(four_for_three_kinds(), population(1), days, **TIGHT)


@pytest.mark.slow
def test_a_choice_is_made_once() -> None:
    """Taken, and then not asked again."""
    state = lived(four_for_three_kinds(), population(1), range(DUE, DUE + 2), **AUTO)
    assert segments(state) == 3
    assert state.k_due == -1


@pytest.mark.slow
def test_a_refused_choice_is_made_again_a_week_later() -> None:
    """What the gate refuses on one day it may take on another."""
    state = refused(1)
    assert segments(state) == 4
    assert "would move" in state.decisions[-1].objection
    assert not chooses(state, DUE + 6)
    assert chooses(state, DUE + 7)
    after = lived(state, population(1), range(DUE + 2, DUE + 9), **AUTO)
    assert segments(after) == 3


@pytest.mark.slow
def test_refused_again_and_again_it_waits_for_a_new_cause() -> None:
    """A choice that never passes must not keep centres from being fitted for ever."""
    assert refused(ASKED_AGAIN).k_due > 0
    state = refused(ASKED_AGAIN + 1)
    assert state.k_due == -1
    assert segments(state) == 4
    assert sum("would move" in d.objection for d in state.decisions) == ASKED_AGAIN + 1


@pytest.mark.slow
def test_a_choice_refused_on_the_next_days_panel_is_made_again() -> None:
    """The gate looks twice: at the check and a day later; either refusal counts."""
    asked = lived(four_for_three_kinds(), population(1), range(DUE, DUE + 1), **AUTO)
    assert asked.asked is not None
    # Of the next day's panel the third kind is missing: its segment is too small to serve.
    after = lived(asked, population(1)[:120], range(DUE + 1, DUE + 2), **AUTO)
    assert "smallest segment" in after.decisions[-1].objection
    assert (after.k_due, after.k_again) == (DUE + 7, ASKED_AGAIN - 1)


@pytest.mark.slow
def test_a_drift_that_goes_on_when_k_is_chosen_is_a_cause_of_its_own() -> None:
    """Chosen too early, while centres move, k is chosen once more when windows have filled."""
    began = msgspec.structs.replace(started(population(1), **AUTO), k_due=DUE)
    still = lived(began, population(1), range(DUE, DUE + 2), **AUTO)
    assert still.k_due == -1
    moving = lived(began, population(1, shift=9), range(DUE, DUE + 2), **AUTO)
    assert segments(moving) == 3
    assert moving.decisions[-1].taken != "no"
    assert moving.k_due == DUE + 112


@pytest.mark.parametrize("k", [3, 4])
def test_a_fixed_number_is_never_chosen_anew(k: int) -> None:
    """With `k` in the settings a drift moves centres only."""
    state = lived(started(population(1), k=k), population(1, shift=9), range(230, 232), k=k)
    assert state.k_due == -1
    assert segments(state) == k
