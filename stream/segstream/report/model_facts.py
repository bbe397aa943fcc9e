"""The served model, scored on everybody, and what the scores say."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from segstream.core.fitting import K_ALLOWED, K_TRIED, SILHOUETTE_MEMBERS, assign, fresh, quality_of
from segstream.core.spec import FloatArray, IntArray
from segstream.core.trainer_state import Decision
from segstream.core.tree import Merge, tree_of
from segstream.report.evidence import Evidence
from segstream.report.words import Words, date_text, day_of, percent

# Usual reading of the silhouette (Kaufman and Rousseeuw, 1990, table 4).
_STRONG: Final = 0.5
_WEAK: Final = 0.25
# The curve's shape needs no more.
_ELBOW_STARTS: Final = 3


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """How the model was made and how good it is now.

    Attributes
    ----------
    k_range
        Smallest and largest number of segments tried; None where k was set by hand.
    wcss, silhouette, davies_bouldin, prediction_strength
        Of the served model, over all customers, each in the nearest segment.
    off_nearest
        Share of customers whose published segment is not the nearest.
    says
        The scores in one plain sentence.
    """

    version: str
    generation: int
    revision: int
    models: int
    created: str
    k: int
    k_range: tuple[int, int] | None
    k_allowed: tuple[int, int]
    starts: int
    seed: int
    customers: int
    wcss: float
    silhouette: float | None
    davies_bouldin: float | None
    prediction_strength: float | None
    off_nearest: float
    says: str
    refit_checks: int
    refits: int
    notices: tuple[str, ...]


def model_facts(evidence: Evidence) -> ModelFacts | None:
    """Score the served model; None before the first."""
    view, model = evidence.view, evidence.view.model
    if model is None:
        return None
    _, _, scaled = view.vectors
    nearest = assign(model.centres, scaled)
    quality = quality_of(scaled, nearest, model.fit.seed)
    published = view.customers["segment_id"].fillna(-1).to_numpy(dtype=np.int64)
    ids = np.array([s.id for s in model.segments], dtype=np.int64)
    assigned = published >= 0
    off = (ids[nearest.labels] != published)[assigned]
    decisions = [d for d in view.trainer.decisions if d.trigger not in ("rollback", "import")]
    return ModelFacts(
        version=model.version,
        generation=model.generation,
        revision=model.revision,
        models=max(1, len(view.models)),
        created=date_text(pd.Timestamp(model.created_ms, unit="ms", tz="UTC")),
        k=len(model.segments),
        k_range=(min(model.fit.curve), max(model.fit.curve)) if model.fit.curve else None,
        k_allowed=K_ALLOWED,
        starts=model.fit.starts,
        seed=model.fit.seed,
        customers=len(scaled),
        wcss=nearest.sse,
        silhouette=quality.silhouette,
        davies_bouldin=quality.davies_bouldin,
        prediction_strength=quality.prediction_strength,
        off_nearest=float(off.mean()) if len(off) else 0.0,
        says=verdict(quality.silhouette, evidence.words),
        refit_checks=len(decisions),
        refits=sum(d.taken != "no" for d in decisions),
        notices=model.notices,
    )


def verdict(silhouette: float | None, words: Words) -> str:
    """Say what a silhouette means for somebody who acts on the segments.

    >>> verdict(0.6, Words())
    'The segments lie well apart: most customers clearly belong where they are.'
    """
    if silhouette is None:
        return "There is one segment, so nothing to compare it with."
    if silhouette >= _STRONG:
        return f"The segments lie well apart: most {words.customers} clearly belong where they are."
    if silhouette >= _WEAK:
        return (
            "The segments differ clearly at their cores and touch at their edges: a "
            f"{words.customer} near an edge could as well be next door."
        )
    return (
        f"The segments shade into each other: use them as bands along a scale, not as kinds of "
        f"{words.customers}."
    )


def decisions_frame(evidence: Evidence) -> pd.DataFrame:
    """Refit checks: when, why, what was done, what each candidate won, who would move."""
    return pd.DataFrame(
        [
            (
                date_text(day_of(d.day)), d.trigger, _outcome(d),
                percent(max(0.0, d.gain_warm)), percent(max(0.0, d.gain_fresh)),
                "-" if d.gain is None else percent(d.gain), percent(d.moved),
            )
            for d in evidence.view.trainer.decisions
        ],
        columns=["date", "called by", "decision", "gain, refitted", "gain, new starts",
                 "gain, next day", "would move"],
    )  # fmt: skip


def _outcome(decision: Decision) -> str:
    if decision.taken == "no":
        done = "imported" if decision.trigger == "import" else "rolled back"
        return f"{done}: {decision.version}" if decision.version else decision.objection
    how = "refitted" if decision.taken == "warm" else "refitted from new starts"
    return f"{how}: {decision.version}"


@dataclass(frozen=True, slots=True)
class ModelMaps:
    """For the analyst's figures.

    Attributes
    ----------
    points
        One row per shown customer: x, y (principal components), segment_id.
    explained : share of variance of x and of y
    silhouettes
        segment_id, silhouette: mean over sampled members, by nearest segment.
    elbow
        k, wcss; of the fit that chose k, else of fits on today's customers.
    tree
        The segments, merged step by step.
    """

    points: pd.DataFrame
    explained: tuple[float, float]
    silhouettes: pd.DataFrame
    elbow: pd.DataFrame
    tree: list[Merge]


MAP_POINTS: Final = 1_500


def model_maps(evidence: Evidence) -> ModelMaps | None:
    """Principal components, silhouettes by segment, elbow; None before the first model."""
    view, model = evidence.view, evidence.view.model
    if model is None or not len(view.customers):
        return None
    _, _, scaled = view.vectors
    points, explained = _components(scaled)
    segment = view.customers["segment_id"].fillna(-1).to_numpy(dtype=np.int64)
    step = -(-len(points) // MAP_POINTS)
    frame = pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "segment_id": segment})
    ids = np.array([s.id for s in model.segments], dtype=np.int64)
    labels = ids[assign(model.centres, scaled).labels]
    curve = model.fit.curve or elbow_curve(scaled, model.fit.seed)
    elbow = pd.DataFrame(sorted(curve.items()), columns=["k", "wcss"])
    return ModelMaps(frame[::step], explained, _silhouettes(scaled, labels), elbow, tree_of(model))


def elbow_curve(vectors: FloatArray, seed: int) -> dict[int, float]:
    """WCSS of fits with 2 to 10 segments, on a thinned population."""
    step = -(-len(vectors) // SILHOUETTE_MEMBERS)
    sample = np.ascontiguousarray(vectors[::step])
    distinct = len(np.unique(sample, axis=0))
    return {k: step * fresh(sample, k, _ELBOW_STARTS, seed).sse for k in K_TRIED if k <= distinct}


def _components(vectors: FloatArray) -> tuple[FloatArray, tuple[float, float]]:
    """Two principal components by singular values, each with a fixed sign."""
    centred = vectors - vectors.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes * np.where(axes.sum(axis=1) < 0, -1.0, 1.0)[:, None]
    plane = np.zeros((len(vectors), 2))
    used = min(2, len(axes))
    plane[:, :used] = centred @ axes[:used].T
    shares = np.zeros(2)
    total = float((values**2).sum())
    if total > 0:
        shares[:used] = values[:used] ** 2 / total
    return plane, (float(shares[0]), float(shares[1]))


def _silhouettes(vectors: FloatArray, labels: IntArray) -> pd.DataFrame:
    from sklearn.metrics import silhouette_samples

    step = -(-len(vectors) // SILHOUETTE_MEMBERS)
    vectors, labels = vectors[::step], labels[::step]
    if not 1 < len(np.unique(labels)) < len(labels):
        return pd.DataFrame({"segment_id": [], "silhouette": []})
    values = silhouette_samples(vectors, labels)
    frame = pd.DataFrame({"segment_id": labels, "silhouette": values})
    means: pd.DataFrame = frame.groupby("segment_id").mean().reset_index()
    return means
