"""What the trainer is told, decides and remembers between days."""

from typing import Final, Literal

import msgspec

from segstream.core.brought import Brought
from segstream.core.drift import DriftSettings, Watch
from segstream.core.identity import Descent, Origin
from segstream.core.model import Model
from segstream.core.refit import Asked, Gate, Proposal

DECISIONS_KEPT: Final = 500
"""Years of weekly checks."""


class TrainerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How models are made.

    Attributes
    ----------
    k
        Number of segments, or `auto` for the elbow rule; `auto` may also change it later, where a
        check has cause.
    rate
        Share of the way centres move to the day's means.
    learner
        `population`, `river` (river.cluster.KMeans on the panel's vectors at events) or `none`
        (centres stay as fitted).
    refit_days
        Days between checks whether a refit is worth it; 0 for never.
    cooldown_days
        Days after a refit, but for upkeep, without another check.
    min_panel
        Customers before the first model.
    panel_size
        The panel is thinned by customer hash when it grows beyond.
    start
        `covered` waits until the longest clustered window is covered by events; `early` does not.
    """

    k: int | Literal["auto"] = 5
    starts: int = 10
    seed: int = 7
    rate: float = 0.2
    learner: Literal["population", "river", "none"] = "population"
    refit_days: int = 7
    cooldown_days: int = 14
    min_panel: int = 100
    panel_size: int = 20_000
    start: Literal["covered", "early"] = "covered"
    gate: Gate = Gate()
    drift: DriftSettings = DriftSettings()


class Decision(msgspec.Struct, frozen=True):
    """One refit check with its figures, and what became of its candidate.

    Attributes
    ----------
    trigger
        `schedule`, `command`, or what a detector said.
    taken
        Which candidate serves; `no` for none.
    gain_warm, gain_fresh
        Share of the living model's SSE that each won on the day of the check.
    gain
        What the candidate won on the next day's panel; None where there was no candidate.
    moved, smallest
        Share of the panel that the best candidate moves, and in its smallest segment.
    objection
        Why it was refused; empty where it serves or waits for its next day.
    version
        Of the model that came of it.
    """

    day: int
    trigger: str
    taken: Literal["no", "warm", "fresh"]
    gain_warm: float
    gain_fresh: float
    moved: float
    smallest: float = 0.0
    gain: float | None = None
    objection: str = ""
    version: str = ""
    lineage: tuple[Descent, ...] = ()


class Command(msgspec.Struct, frozen=True):
    """What a person asks for.

    Attributes
    ----------
    kind
        `recluster` checks now, with `k` segments if given, and past the gate; `rollback` makes
        `model` serve again; `promote` takes the candidate that was refused last, or `model`, which
        a person made, or the one that a day's panel makes of `brought`: without a living model it
        is the first.
    """

    kind: Literal["recluster", "rollback", "promote"]
    k: int | None = None
    model: Model | None = None
    brought: Brought | None = None


class TrainerState(msgspec.Struct, frozen=True):
    """What the trainer remembers between days.

    Attributes
    ----------
    k_due
        Day from which a check chooses k anew; -1 where there is no cause.
    k_again
        How often a choice that is refused is still made again.
    asked
        A check whose answer is needed when the next day closes.
    candidate
        A proposal that waits for the next day's panel.
    origin, seen
        The panel's segments at the last calm check, or when the generation began; and at the check
        that was asked for last.
    refused
        The last proposal that the gate refused; a person may still promote it.
    """

    model: Model | None = None
    first_day: int = -1
    checked_day: int = -1
    refit_day: int = -1
    k_due: int = -1
    k_again: int = 0
    panel_bits: int = 0
    waiting: str = "no events yet"
    asked: Asked | None = None
    candidate: Proposal | None = None
    refused: Proposal | None = None
    watch: Watch = Watch()
    origin: Origin = Origin()
    seen: Origin = Origin()
    decisions: tuple[Decision, ...] = ()
    commands: tuple[Command, ...] = ()


class TrainerLife(msgspec.Struct, frozen=True):
    """What the models topic keeps for the next trainer: the state and the day it stands at."""

    day: int = -1
    state: TrainerState = TrainerState()


def changed(state: TrainerState, **fields: object) -> TrainerState:
    """Return the state with some fields anew."""
    return msgspec.structs.replace(state, **fields)
