"""What the models of a customer base have been: as rows, and by their versions."""

from collections.abc import Sequence

import msgspec

from segstream.core import layout as at
from segstream.core.model import Model
from segstream.core.trainer_state import Decision
from segstream.errors import StateError


class HistoryRow(msgspec.Struct, frozen=True):
    """A model, or a candidate that was refused.

    Attributes
    ----------
    version
        Empty for a candidate.
    last
        Version of the generation's last revision so far.
    day
        UTC day (since 1970) it serves from; of a candidate the day it was checked.
    reason
        Why its generation came; `refused` for a candidate.
    customers
        Of the panel.
    trigger, gain, moved
        Of the decision behind it; None where there was none.
    objection
        Why a candidate does not serve.
    """

    version: str
    last: str
    day: int
    reason: str
    segments: int | None = None
    customers: int | None = None
    wcss: float | None = None
    silhouette: float | None = None
    trigger: str = ""
    gain: float | None = None
    moved: float | None = None
    objection: str = ""


def history(
    models: Sequence[Model], decisions: Sequence[Decision], every: bool
) -> list[HistoryRow]:
    """Generations and the candidates that the gate refused, by time.

    Parameters
    ----------
    every
        Every daily revision and every check instead.
    """
    of_version = {d.version: d for d in decisions if d.version}
    last = {m.generation: m.version for m in models}
    shown = [m for m in models if every or m.revision == 0 or m is models[0]]
    rows = [_of_model(m, last[m.generation], of_version.get(m.version)) for m in shown]
    rows += [_of_check(d) for d in decisions if d.objection and (every or _stands_out(d))]
    return sorted(rows, key=lambda row: row.day)


def _stands_out(decision: Decision) -> bool:
    """Whether a candidate was scored, or a person waits for what was refused."""
    return decision.gain is not None or decision.trigger in ("import", "command")


def _of_model(model: Model, last: str, decision: Decision | None) -> HistoryRow:
    reason = model.generation_reason if model.revision == 0 else "model"
    return HistoryRow(
        model.version,
        last,
        model.minute // at.DAY_MINUTES,
        reason,
        len(model.segments),
        model.fit.panel,
        model.fit.wcss,
        model.fit.silhouette,
        decision.trigger if decision else "",
        decision.gain if decision else None,
        decision.moved if decision and decision.gain is not None else None,
    )


def _of_check(decision: Decision) -> HistoryRow:
    best = max(decision.gain_warm, decision.gain_fresh)
    return HistoryRow(
        "",
        "",
        decision.day,
        "refused",
        trigger=decision.trigger,
        gain=best if decision.gain is None else decision.gain,
        moved=decision.moved,
        objection=decision.objection,
    )


def model_of(models: Sequence[Model], version: str) -> Model:
    """Find a model by `G.R`, or the last revision of generation `G`.

    Raises
    ------
    StateError
    """
    generation, _, revision = version.partition(".")
    for model in reversed(models):
        if str(model.generation) == generation and revision in ("", str(model.revision)):
            return model
    known = f"{models[0].version} to {models[-1].version}" if models else "none yet"
    raise StateError(
        f"version: expected one of the models ({known}), got {version!r}; "
        "see `segstream models list --all`"
    )


def former(models: Sequence[Model], living: Model) -> Model:
    """Return the last model of the generation before the living one.

    Raises
    ------
    StateError
        There is none.
    """
    for model in reversed(models):
        if model.generation < living.generation:
            return model
    raise StateError(
        f"rollback: expected a generation before {living.generation}, got none; name an earlier "
        "revision, see `segstream models list --all`"
    )
