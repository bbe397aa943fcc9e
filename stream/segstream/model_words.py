"""Models as programs read them, and the words for them: for commands, tables and the API."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

from segstream.core import layout as at
from segstream.core.identity import Descent
from segstream.core.model import Model, Segment
from segstream.core.spec import CompiledSpec
from segstream.core.trainer_state import Command, Decision

_EPOCH: Final = date(1970, 1, 1)


def iso_day(day: int) -> str:
    """Write a day since 1970 as a date."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def command_words(command: Command) -> str:
    """Say what was asked for."""
    if command.brought is not None:
        return f"import of {len(command.brought.segments)} segments"
    if command.model is None:
        return command.kind
    if command.kind == "rollback":
        return f"rollback to {command.model.version}"
    return f"import of {len(command.model.segments)} segments"


def model_answer(
    model: Model, serves: bool, decisions: Sequence[Decision], spec: CompiledSpec
) -> dict[str, Any]:
    """Everything of a model, ready for JSON."""
    decision = decision_of(model, decisions)
    told = {d.segment: d for d in model.lineage}
    fit = model.fit
    return {
        "version": model.version,
        "serves": serves,
        "from": iso_day(model.minute // at.DAY_MINUTES),
        "reason": model.generation_reason,
        "generation_from": iso_day(model.generation_minute // at.DAY_MINUTES),
        "restores": model.restores if model.restores >= 0 else None,
        "trigger": decision.trigger if decision else None,
        "gain": decision.gain if decision else None,
        "moved": decision.moved if decision and decision.gain is not None else None,
        "quality": {
            "customers": fit.panel, "wcss": fit.wcss, "silhouette": fit.silhouette,
            "davies_bouldin": fit.davies_bouldin, "prediction_strength": fit.prediction_strength,
            "starts": fit.starts, "seed": fit.seed, "curve": fit.curve,
        },
        "notices": list(model.notices),
        "features": [
            {"name": f.name, "label": spec.describe(f), "unit": f.unit, "use": f.use}
            for f in spec.spec.features
        ],
        "population": dict(zip(model.features, model.population, strict=True)),
        "segments": [_segment(model, s, told.get(s.id)) for s in model.segments],
        "retired": [
            {
                "id": s.id, "name": s.name, "now": s.id in told,
                "lineage": (
                    lineage_words(model, told[s.id], s.id) if s.id in told else "retired earlier"
                ),
            }
            for s in model.retired
        ],
    }  # fmt: skip


def decision_of(model: Model, decisions: Sequence[Decision]) -> Decision | None:
    """Find what led to a model's generation."""
    return next((d for d in decisions if d.version == f"{model.generation}.0"), None)


def _segment(model: Model, segment: Segment, descent: Descent | None) -> dict[str, Any]:
    return {
        "id": segment.id,
        "name": segment.name,
        "named_by_owner": segment.named_by_owner,
        "description": segment.description,
        "strategy": segment.strategy,
        "actions": list(segment.actions),
        "customers": segment.customers,
        "share": segment.share,
        "averages": dict(zip(model.features, segment.average, strict=True)),
        "centre": list(segment.centre),
        "became": descent.fate if descent else None,
        "parents": list(descent.parents) if descent else [],
        "lineage": lineage_words(model, descent, segment.id),
    }


def lineage_words(model: Model, descent: Descent | None, segment: int) -> str:
    """Say where a segment comes from, or where a retired one went."""
    if descent is None:
        return (
            f"as in generation {model.restores}"
            if model.restores >= 0
            else "there from the beginning"
        )
    others = " and ".join(map(str, descent.parents))
    if descent.fate == "retired":
        return f"retired; most of its customers are now in {others}" if others else "retired"
    if descent.fate == "survived":
        return "survived" if descent.parents in ((segment,), ()) else f"survived; from {others}"
    return f"{descent.fate} from {others}" if others else "new"
