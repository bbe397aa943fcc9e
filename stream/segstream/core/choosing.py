"""When a check chooses the number of segments anew, where `model.k` is `auto`.

    a cause ► a longest window later a check chooses ► another number, taken: done
                                                     ► another number, refused: again a week later
                                                     ► the living number: done, but where the drift
                                                       goes on that is a cause

Until a window has passed, windows hold the old behaviour and the new, and a mixture looks like a
segment.
"""

import math
from typing import Final

from segstream.core.refit import Asked, Proposal
from segstream.core.trainer_state import Decision, TrainerSettings, TrainerState, changed

# Weekly checks after a refused choice: a month in which centres settle. What is refused until then
# is for a person; meanwhile nothing is fitted with the living number.
ASKED_AGAIN: Final = 4


def chooses(state: TrainerState, day: int) -> bool:
    """Whether the day has come on which a check chooses k anew."""
    return 0 <= state.k_due <= day


def calm(settings: TrainerSettings, decision: Decision) -> bool:
    """Whether a check gives no cause to choose k anew."""
    gain = max(decision.gain_warm, decision.gain_fresh)
    return decision.trigger == "schedule" and gain <= settings.gate.gain


def after_check(
    state: TrainerState,
    settings: TrainerSettings,
    longest_window_days: float,
    asked: Asked | None,
    proposal: Proposal,
) -> TrainerState:
    """Set the day on which k is chosen next; `state` ends with the check's decision."""
    decision = state.decisions[-1]
    if settings.k != "auto":
        return changed(state, k_due=-1)
    if asked is not None and asked.chooses_k:
        state = changed(state, k_due=-1)
        if proposal.k != asked.k:
            return after_refusal(state, settings) if proposal.objection else state
    if state.k_due >= 0 or calm(settings, decision):
        return state
    due = decision.day + math.ceil(longest_window_days)
    return changed(state, k_due=due, k_again=ASKED_AGAIN)


def after_refusal(state: TrainerState, settings: TrainerSettings) -> TrainerState:
    """Choose again at the next weekly check, some times."""
    if not state.k_again:
        return changed(state, k_due=-1)
    return changed(
        state, k_due=state.checked_day + settings.refit_days, k_again=state.k_again - 1
    )  # fmt: skip
