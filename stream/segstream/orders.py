"""What a person asks of the trainer: checked, left for it, and when it takes effect."""

from dataclasses import dataclass

from segstream.core.generations import restored
from segstream.core.history import former, model_of
from segstream.core.model import Model
from segstream.core.trainer_state import Command
from segstream.errors import StateError
from segstream.model_words import iso_day
from segstream.ports import ModelHistory, Standing


@dataclass(frozen=True, slots=True)
class Order:
    """A command that may be left, and what it is in words."""

    command: Command
    what: str


@dataclass(frozen=True, slots=True)
class Left:
    """A command that was left.

    Attributes
    ----------
    day
        The UTC day at whose end it takes effect; empty for the first one.
    before
        Commands that come first, one a day.
    until
        Version of the model that serves until then; None for none.
    """

    command: Command
    what: str
    day: str
    before: tuple[Command, ...]
    until: str | None


def promotion(kept: ModelHistory) -> Order:
    """Ask for the candidate that the gate refused last.

    Raises
    ------
    StateError
        There is none.
    """
    _, standing = ready(kept)
    refused = standing.trainer.refused
    waits = any(
        c.kind == "promote" and c.model is None and c.brought is None
        for c in standing.trainer.commands
    )
    if refused is None or waits:
        got = "one that is promoted already" if waits else "none"
        raise StateError(
            f"promote: expected a candidate that the gate refused, got {got}; "
            "see `segstream models list`, or ask for another with `segstream models recluster`"
        )
    return Order(Command("promote"), f"promote the candidate of {iso_day(refused.day)}")


def return_to(kept: ModelHistory, version: str | None) -> Order:
    """Ask for an earlier model; the last of the former generation where none is named.

    Raises
    ------
    StateError
        There is none, or it serves already.
    ConfigError
        It is of another feature spec.
    """
    living, standing = ready(kept)
    found = kept.models()
    target = model_of(found, version) if version else former(found, living)
    if target.number == living.number:
        raise StateError(
            f"rollback: expected an earlier model than {living.version}, which serves; "
            "see `segstream models list`"
        )
    # Refuses a model of another feature spec here, where somebody reads it.
    restored(living, target, standing.open_day, 0)
    return Order(Command("rollback", model=target), f"roll back to {target.version}")


def fit_anew(kept: ModelHistory, k: int | None) -> Order:
    """Ask for a fit past the gate, with as many segments as now where `k` is None.

    Raises
    ------
    StateError
        There is no model yet.
    """
    living, _ = ready(kept)
    return Order(Command("recluster", k), f"fit {k or len(living.segments)} segments anew")


def leave(kept: ModelHistory, order: Order) -> Left:
    """Leave a command for the trainer."""
    standing = kept.standing()
    before = standing.trainer.commands
    kept.give(order.command)
    # A fit is asked for when one day closes, and serves when the next does.
    fits = order.command.kind == "recluster"
    day = iso_day(standing.open_day + len(before) + fits) if standing.open_day >= 0 else ""
    model = standing.trainer.model
    return Left(order.command, order.what, day, before, model.version if model else None)


def ready(kept: ModelHistory) -> tuple[Model, Standing]:
    """Return the living model, where a trainer can be told something.

    Raises
    ------
    StateError
        There is no model yet, or one that was given for good.
    """
    refuse_given(kept)
    standing = kept.standing()
    model = standing.trainer.model
    if model is None:
        raise StateError(
            f"state: expected a model, got none yet: {standing.trainer.waiting}; feed more "
            "events, or bring your own segments with `segstream models import`"
        )
    return model, standing


def refuse_given(kept: ModelHistory) -> None:
    """Refuse a state that keeps to a model given to it: it has no trainer.

    Raises
    ------
    StateError
    """
    if kept.standing().trainer.model is None and kept.models():
        raise StateError(
            "state: expected a trainer, got a model that was given with --model and stays; "
            "choose a new --state directory and run without --model"
        )
