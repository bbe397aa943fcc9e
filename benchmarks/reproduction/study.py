"""What is said of a study: each figure as published, recomputed and corrected."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.metrics import davies_bouldin_score, silhouette_score

from benchmarks.feeds import ROOT
from segstream.core.fitting import Clustering, fresh
from segstream.core.spec import FloatArray, IntArray

SHARED: Final = ROOT.parent / "shared" / "data"
STARTS: Final = 50
SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure, and the fit it was computed on.

    Attributes
    ----------
    fit
        Method, k, starts and seed; empty where nothing was fitted.
    """

    text: str = ""
    fit: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of a study; an empty cell is not published, or not applicable."""

    what: str
    published: str = ""
    recomputed: Cell = Cell()
    corrected: Cell = Cell()


@dataclass(frozen=True, slots=True)
class Study:
    """One study.

    Attributes
    ----------
    claimed
        What it said.
    why
        Why published, recomputed and corrected differ, one sentence or two each.
    today
        How Segstream gives the corrected output: sentences, then a settings file and a command.
    """

    title: str
    claimed: str
    lines: tuple[Line, ...]
    why: tuple[str, ...]
    today: str
    settings: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A clustering with what is reported of it.

    Attributes
    ----------
    how
        Method, k, starts and seed.
    sizes
        By label.
    silhouette, davies_bouldin
        Over all members, in the units that were fitted.
    """

    how: str
    labels: IntArray
    sse: float
    sizes: tuple[int, ...]
    silhouette: float
    davies_bouldin: float

    def cell(self, text: str) -> Cell:
        """Return a figure of this fit."""
        return Cell(text, self.how)

    @property
    def largest_first(self) -> tuple[int, ...]:
        """Sizes in descending order."""
        return tuple(sorted(self.sizes, reverse=True))


def kmeans(vectors: FloatArray, k: int, starts: int = STARTS, seed: int = SEED) -> Fitted:
    """Fit with the function that Segstream's own models are fitted with; vectors shape (n, F)."""
    return measured(vectors, fresh(vectors, k, starts, seed), kmeans_words(k, starts, seed))


def kmeans_words(k: int, starts: int, seed: int) -> str:
    """Describe a K-Means fit."""
    return f"K-Means, k = {k}, {starts} start{'s' if starts > 1 else ''}, seed {seed}"


def row_words(starts_and_seed: str) -> str:
    """Describe fits whose k stands in the row."""
    return f"K-Means, k as in the row, {starts_and_seed}"


def measured(vectors: FloatArray, clustering: Clustering, how: str) -> Fitted:
    """Score a clustering on all its members."""
    labels = clustering.labels
    return Fitted(
        how=how,
        labels=labels,
        sse=clustering.sse,
        sizes=tuple(np.bincount(labels).tolist()),
        silhouette=float(silhouette_score(vectors, labels)),
        davies_bouldin=float(davies_bouldin_score(vectors, labels)),
    )


def joined(numbers: tuple[int, ...]) -> str:
    """Write sizes.

    >>> joined((4372, 1))
    '4,372 / 1'
    """
    return " / ".join(f"{n:,}" for n in numbers)
