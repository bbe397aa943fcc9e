"""Every quality figure of one stream of one feed."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.agreement import Agreement, Batch, agree, fit_batch
from benchmarks.silences import SimulatedSilence, simulated_silence
from benchmarks.streaming import Streamed
from segstream.core.model import Model
from segstream.core.spec import FloatArray, IntArray
from segstream.core.vectors import transform_rows
from segstream.report.aftermath import Aftermath, aftermath, whole_days_until
from segstream.report.evidence import evidence_of
from segstream.report.stability import Rate, Undone, rates, undone
from segstream.view import View


@dataclass(frozen=True, slots=True)
class Recluster:
    """A new generation after the first.

    Attributes
    ----------
    start
        `warm` from the living centres, or `fresh`.
    gain
        Share of the living model's SSE that it won.
    moved
        Customers whose published segment it changed.
    """

    day: str
    start: str
    gain: float
    moved: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What one stream gives.

    Attributes
    ----------
    nearest, published
        Against the batch model, at the end of the stream.
    off_nearest
        Share of customers whose published segment is not the nearest.
    largest, smallest
        Shares of the largest and the smallest segment, published.
    """

    customers: int
    nearest: Agreement
    published: Agreement
    off_nearest: float
    largest: float
    smallest: float
    rates: tuple[Rate, ...]
    undone: tuple[Undone, ...]
    silence: SimulatedSilence
    aftermath: tuple[Aftermath, ...]
    reclusters: tuple[Recluster, ...]

    def rate(self, reason: str) -> float:
        """Mean changes per customer-year of one reason."""
        return next((r.mean for r in self.rates if r.reason == reason), 0.0)

    @property
    def undone_share(self) -> float:
        """Share of all changes undone within 28 days; 0 without changes."""
        return (self.undone[0].share or 0.0) if self.undone else 0.0


def clustered(view: View) -> tuple[FloatArray, FloatArray]:
    """Transformed clustered features of everybody, shape (n, F), and their weights, shape (F,)."""
    _, raw, _ = view.vectors
    chosen = view.spec.clustered
    transformed = transform_rows(view.spec.arrays, np.ascontiguousarray(raw))[:, chosen]
    weights = np.array([f.weight for f in view.spec.spec.features])[chosen]
    return transformed, weights


def batch_of(view: View, k: int) -> Batch:
    """Fit the batch model on a stream's end."""
    return fit_batch(*clustered(view), k)


def served_centres(view: View, model: Model, batch: Batch) -> FloatArray:
    """Centres that customers are compared with, in the batch scaling; shape (k, F)."""
    chosen = view.spec.clustered
    weight, mean = np.array(model.weight)[chosen], np.array(model.mean)[chosen]
    safe = np.where(weight == 0.0, 1.0, weight)
    return batch.scale(model.centres[:, chosen] / safe + mean)


def figures_of(streamed: Streamed) -> Figures:
    """Measure a stream."""
    view = streamed.view
    model = view.model
    if model is None:
        raise RuntimeError("expected a model at the end of the stream, got none")
    batch = batch_of(view, len(model.segments))
    centres = served_centres(view, model, batch)
    ids = np.array([s.id for s in model.segments], dtype=np.int64)
    nearest = _rows(ids, view.customers["nearest_id"].to_numpy(dtype=np.int64))
    published = _rows(ids, view.customers["segment_id"].fillna(-1).to_numpy(dtype=np.int64))
    # Whoever has no segment, or one that is retired since the last turn, counts as nearest.
    published = np.where(published < 0, nearest, published)
    shares = np.bincount(published, minlength=len(ids)) / len(published)
    evidence = evidence_of(view, "customer")
    moves = evidence.moves
    return Figures(
        customers=len(published),
        nearest=agree(batch, centres, nearest),
        published=agree(batch, centres, published),
        off_nearest=float((published != nearest).mean()),
        largest=float(shares.max()),
        smallest=float(shares.min()),
        rates=tuple(rates(moves)),
        undone=tuple(undone(moves)),
        silence=simulated_silence(streamed),
        aftermath=tuple(
            aftermath(
                moves,
                evidence.spending,
                evidence.best_at_changes(),
                whole_days_until(evidence.clock_ms),
                view.settings.model.seed,
            )
        ),
        reclusters=_reclusters(view),
    )


def _rows(ids: IntArray, segments: IntArray) -> IntArray:
    """Row of each segment id in the model; -1 where it has none."""
    order = np.argsort(ids)
    at = np.minimum(np.searchsorted(ids[order], segments), len(ids) - 1)
    return np.where(ids[order][at] == segments, order[at], -1)


_DAY: Final = np.timedelta64(1, "D")


def _reclusters(view: View) -> tuple[Recluster, ...]:
    """Taken refits with the customers each moved, by the generation in a change's model."""
    changes = view.changes
    because = changes[changes["reason"] == "recluster"]
    generation = because["model"].str.split(".").str[0].astype(int)
    moved = generation.value_counts().to_dict()
    taken = [d for d in view.trainer.decisions if d.taken != "no"]
    return tuple(
        Recluster(
            str(np.datetime64(d.day, "D") + 2 * _DAY),
            d.taken,
            d.gain_fresh if d.taken == "fresh" else d.gain_warm,
            int(moved.get(int(d.version.partition(".")[0]), 0)),
        )
        for d in taken
    )
