"""Answers about the models."""

from typing import Final

import msgspec
import numpy as np

from segstream.api.pages import DecisionRow, DriftDay, ModelPage, ModelRow, Models, Silhouettes
from segstream.api.problems import ProblemError
from segstream.core.fitting import assign, panel_vectors
from segstream.core.history import history, model_of
from segstream.core.model import Model
from segstream.core.tree import tree_of
from segstream.errors import StateError
from segstream.model_words import command_words, iso_day, model_answer
from segstream.report.model_facts import elbow_curve
from segstream.view import View

# Quadratic in their number: a tenth of a second.
_MEMBERS: Final = 1_500


def models_answer(view: View) -> Models:
    """Generations and refused candidates by time."""
    rows = history(known_models(view), view.trainer.decisions, every=False)
    return Models(
        living=view.model.version if view.model else None,
        models=[ModelRow(**msgspec.structs.asdict(row), from_day=iso_day(row.day)) for row in rows],
        commands=[command_words(command) for command in view.trainer.commands],
    )


def known_models(view: View) -> list[Model]:
    """Every model, also one that was given for good and never made here."""
    return view.models or ([view.model] if view.model else [])


def model_page(view: View, version: str) -> ModelPage:
    """Everything of one model.

    Raises
    ------
    ProblemError
        404 where there is none of the version.
    """
    models, decisions = known_models(view), view.trainer.decisions
    try:
        model = model_of(models, version)
    except StateError as error:
        raise ProblemError(404, "unknown-model", str(error)) from error
    serves = view.model is not None and model.number == view.model.number
    told = model_answer(model, serves, decisions, view.spec)
    told["quality"]["k"] = len(model.segments)
    told["quality"]["curve"] = {str(k): wcss for k, wcss in _curve(view, model, serves).items()}
    return msgspec.convert(
        told | {
            "silhouettes": _silhouettes(view, model),
            "tree": tree_of(model),
            "drift": _drift(view),
            "lineage": model.lineage,
            "decisions": [
                DecisionRow(**msgspec.structs.asdict(d), date=iso_day(d.day)) for d in decisions
            ],
        },
        ModelPage, strict=False,
    )  # fmt: skip


def _curve(view: View, model: Model, serves: bool) -> dict[int, float]:
    """WCSS by k of the fit; where k was set by hand, of fits on today's customers."""
    if model.fit.curve or not serves or not len(view.vectors[0]):
        return model.fit.curve
    return elbow_curve(view.vectors[2], model.fit.seed)


def _silhouettes(view: View, model: Model) -> list[Silhouettes]:
    """Under the model's own scaling, of a thinned population."""
    from sklearn.metrics import silhouette_samples

    _, raw, _ = view.vectors
    thinned = raw[:: max(1, -(-len(raw) // _MEMBERS))]
    moved = panel_vectors(view.spec, thinned)
    moved = np.where(np.isnan(moved), np.array(model.median), moved)
    scaled = np.ascontiguousarray((moved - np.array(model.mean)) * np.array(model.weight))
    labels = assign(model.centres, scaled).labels if len(scaled) else np.zeros(0, dtype=np.int64)
    if not 1 < len(np.unique(labels)) < len(labels):
        return []
    values = silhouette_samples(scaled, labels)
    return [
        Silhouettes(model.segments[i].id, np.sort(values[labels == i])[::-1].round(4).tolist())
        for i in np.unique(labels).tolist()
    ]


def _drift(view: View) -> list[DriftDay]:
    names = view.spec.spec.names
    return [
        DriftDay(
            iso_day(seen.day), seen.level,
            {**dict(zip(names, seen.psi, strict=False)), "segments": seen.segments_psi},
            seen.distance, seen.why,
        )
        for seen in view.trainer.watch.history
    ]  # fmt: skip
