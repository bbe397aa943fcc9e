"""What a closed day adds to the trainer's metrics."""

from typing import Final

from segstream.core.spec import CompiledSpec
from segstream.core.trainer_state import Decision, TrainerState
from segstream.metrics import LEVELS, Metrics

DAY_S: Final = 86_400
# Of a decision's day at most the next one judges its candidate: what came before stands.
_OPEN_DAYS: Final = 2
_LABELLED: Final = ("segstream_drift_level", "segstream_drift_psi")
_PLAIN: Final = (
    "segstream_model_generation", "segstream_model_revision",
    "segstream_model_created_timestamp_seconds", "segstream_generation_age_seconds",
    "segstream_refit_moved_ratio", "segstream_centre_distance",
)  # fmt: skip


def set_state(metrics: Metrics, spec: CompiledSpec, state: TrainerState, day: int) -> None:
    """Set every gauge from the state after a day; also at a takeover."""
    model = state.model
    metrics.set("segstream_model_generation", model.generation if model else 0)
    metrics.set("segstream_model_revision", model.revision if model else 0)
    if model is not None:
        metrics.set("segstream_model_created_timestamp_seconds", model.created_ms / 1000)
        age_s = (day + 1) * DAY_S - model.generation_minute * 60
        metrics.set("segstream_generation_age_seconds", max(0, age_s))
    if state.decisions:
        metrics.set("segstream_refit_moved_ratio", state.decisions[-1].moved)
    if not state.watch.history:
        return
    last = state.watch.history[-1]
    metrics.set("segstream_centre_distance", last.distance)
    for level in LEVELS:
        metrics.set("segstream_drift_level", level == last.level, level=level)
    for feature, value in zip(spec.spec.features, last.psi, strict=False):
        metrics.set("segstream_drift_psi", value, feature=feature.name)
    metrics.set("segstream_drift_psi", last.segments_psi, feature="segments")


def clear_state(metrics: Metrics) -> None:
    """Say nothing of the model any more: another trainer does."""
    for name in _LABELLED:
        metrics.forget(name)
    for name in _PLAIN:
        metrics.set(name, 0)


def count_day(metrics: Metrics, before: TrainerState, after: TrainerState, day: int) -> None:
    """Count a closed day: detectors' calls, and decisions that are final with it."""
    metrics.add("segstream_days_closed_total")
    metrics.add(
        "segstream_drift_calls_total", len(set(after.watch.calls) - set(before.watch.calls))
    )
    known = set(settled(before))
    for decision in settled(after):
        if decision not in known and decision.day >= day - _OPEN_DAYS:
            metrics.add("segstream_decisions_total", outcome=outcome_of(decision))


def settled(state: TrainerState) -> list[Decision]:
    """Decisions whose candidate does not wait for its next day."""
    waits = state.candidate is not None
    return list(state.decisions[:-1] if waits else state.decisions)


def outcome_of(decision: Decision) -> str:
    """What became of a check, as a label."""
    if decision.trigger in ("rollback", "import", "promote"):
        return "command"
    if decision.taken != "no":
        return decision.taken
    return "refused" if decision.objection else "kept"
