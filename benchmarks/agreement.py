"""How close streamed segments are to a batch K-Means on the same features."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from segstream.core.spec import FloatArray, IntArray

BATCH_STARTS: Final = 10
BATCH_SEED: Final = 0
BOOTSTRAPS: Final = 20


@dataclass(frozen=True, slots=True)
class Agreement:
    """Labels beside those of the batch model.

    Attributes
    ----------
    ari
        Adjusted Rand index, 1 for the same partition.
    sse_ratio
        Squared distances to the centre of each customer's label, over those of the batch model to
        its own centres; in the batch model's scaling.
    """

    ari: float
    sse_ratio: float


@dataclass(frozen=True, slots=True)
class Batch:
    """A K-Means fitted on everybody at once.

    Attributes
    ----------
    vectors : shape (n, F), in its own scaling
    labels : shape (n,)
    sse
        To its own centres.
    """

    scaler: StandardScaler
    weights: FloatArray
    vectors: FloatArray
    labels: IntArray
    sse: float

    def scale(self, transformed: FloatArray) -> FloatArray:
        """Rows of transformed features in the batch scaling."""
        scaled: FloatArray = self.scaler.transform(transformed) * self.weights
        return scaled


def fit_batch(transformed: FloatArray, weights: FloatArray, k: int) -> Batch:
    """Fit the batch model: its own standardisation, the spec's weights, ten starts.

    Parameters
    ----------
    transformed : shape (n, F)
        Clustered features behind their transforms, not scaled.
    weights : shape (F,)
    """
    scaler = StandardScaler().fit(transformed)
    vectors = scaler.transform(transformed) * weights
    with threadpool_limits(1):
        fitted = KMeans(n_clusters=k, n_init=BATCH_STARTS, random_state=BATCH_SEED).fit(vectors)
    labels = fitted.labels_.astype(np.int64)
    return Batch(scaler, weights, vectors, labels, float(fitted.inertia_))


def steadiness(batch: Batch) -> float:
    """How far a batch fit agrees with fits on bootstrap samples: the ARI's lower quartile of 20."""
    generator = np.random.default_rng(BATCH_SEED)
    n, k = len(batch.vectors), len(np.unique(batch.labels))
    found = []
    with threadpool_limits(1):
        for seed in range(BOOTSTRAPS):
            sample = batch.vectors[generator.integers(0, n, n)]
            other = KMeans(n_clusters=k, n_init=BATCH_STARTS, random_state=seed).fit(sample)
            found.append(adjusted_rand_score(batch.labels, other.predict(batch.vectors)))
    return float(np.quantile(found, 0.25))


def agree(batch: Batch, centres: FloatArray, labels: IntArray) -> Agreement:
    """Compare labels with the batch model's.

    Parameters
    ----------
    centres : shape (k, F), in the batch scaling
    labels : shape (n,), rows of `centres`
    """
    sse = float(((batch.vectors - centres[labels]) ** 2).sum())
    return Agreement(float(adjusted_rand_score(batch.labels, labels)), sse / batch.sse)
