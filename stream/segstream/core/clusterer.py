"""The learner: an online K-Means of the population, as a river clusterer.

Traffic is not the population: at an event recency is zero and windows are full, so heavy buyers
would own the centres. Each customer therefore counts once a day, whatever it buys, and the
centres move once a day.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from river import base, cluster

from segstream.core.layout import VECTOR_ONE
from segstream.core.spec import FloatArray, IntArray


class PopulationKMeans(base.Clusterer):
    """K-Means that adds customers one by one and moves its centres in steps.

    `learn_one` adds a customer to the total of its nearest centre, `step` moves every centre
    towards the mean of what was added, `predict_one` changes nothing. Sums are integers, so the
    order of customers does not matter and partial totals from many workers simply add up.

    Parameters
    ----------
    centres
        Starting centres, one mapping or sequence per segment; the first customers where None.
    n_clusters
        Number of segments where no centres are given.
    rate
        Share of the way a centre moves to its mean at a step, 0 < rate <= 1.

    Examples
    --------
    >>> model = PopulationKMeans(centres=[{0: 0.0}, {0: 10.0}])
    >>> for value in (1.0, 3.0, 9.0):
    ...     model.learn_one({0: value})
    >>> model.predict_one({0: 4.0})
    0
    >>> model.step()
    >>> model.centres
    [{0: 2.0}, {0: 9.0}]
    """

    def __init__(
        self,
        centres: Sequence[dict[Any, float]] | None = None,
        n_clusters: int = 5,
        rate: float = 1.0,
    ) -> None:
        self.centres = [dict(c) for c in centres] if centres is not None else []
        self.n_clusters = len(self.centres) or n_clusters
        self.rate = rate
        self._counts = [0] * self.n_clusters
        self._sums: list[dict[Any, int]] = [{} for _ in range(self.n_clusters)]

    @property
    def _supervised(self) -> bool:
        return False

    def learn_one(self, x: dict[Any, float]) -> None:
        """Add one customer to the total of its nearest centre."""
        if len(self.centres) < self.n_clusters:
            self.centres.append(dict(x))
        nearest = self.predict_one(x)
        self._counts[nearest] += 1
        sums = self._sums[nearest]
        for key, value in x.items():
            sums[key] = sums.get(key, 0) + round(value * VECTOR_ONE)

    def predict_one(self, x: dict[Any, float]) -> int:
        """Index of the nearest centre, the lower of equals; 0 before the first customer."""
        distances = [_squared(x, centre) for centre in self.centres]
        return distances.index(min(distances)) if distances else 0

    def step(self) -> None:
        """Move the centres and start new totals; a centre that nobody is near stays."""
        for i, centre in enumerate(self.centres):
            if not self._counts[i]:
                continue
            for key, total in self._sums[i].items():
                mean = total / (self._counts[i] * VECTOR_ONE)
                old = centre.get(key, 0.0)
                centre[key] = old + self.rate * (mean - old)
        self._counts = [0] * self.n_clusters
        self._sums = [{} for _ in range(self.n_clusters)]

    def add_totals(self, counts: IntArray, sums: IntArray) -> None:
        """Add what a partition has added up; shapes (k,) and (k, F), feature keys 0..F-1."""
        for i in range(self.n_clusters):
            self._counts[i] += int(counts[i])
            for key, value in enumerate(sums[i].tolist()):
                self._sums[i][key] = self._sums[i].get(key, 0) + value

    @classmethod
    def from_centres(cls, centres: FloatArray, rate: float) -> "PopulationKMeans":
        """Start from an array of centres, shape (k, F)."""
        return cls([dict(enumerate(row)) for row in centres.tolist()], rate=rate)

    def to_array(self) -> FloatArray:
        """Centres, shape (k, F)."""
        width = len(self.centres[0])
        return np.array([[c[j] for j in range(width)] for c in self.centres], dtype=np.float64)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"n_clusters": 3}


def _squared(x: dict[Any, float], centre: dict[Any, float]) -> float:
    return sum((value - centre.get(key, 0.0)) ** 2 for key, value in x.items())


RIVER_HALFLIFE: Final = 0.01
"""river's `halflife` is the share of the way one vector pulls its centre, not a half-life."""


def river_kmeans(centres: FloatArray, halflife: float = RIVER_HALFLIFE) -> cluster.KMeans:
    """River's own K-Means with these centres; integer keys keep it the same in every process.

    Its random starts ignore scale and leave segments dead, and its `predict_one` draws random
    numbers for keys it has not seen, so every coordinate is given.
    """
    model = cluster.KMeans(n_clusters=len(centres), halflife=halflife, seed=0)
    for i, row in enumerate(centres.tolist()):
        model.centers[i].update(dict(enumerate(row)))
    return model


def river_centres(model: cluster.KMeans, width: int) -> FloatArray:
    """Centres of river's K-Means, shape (k, width)."""
    rows = [[model.centers[i][j] for j in range(width)] for i in range(model.n_clusters)]
    return np.array(rows, dtype=np.float64)
