"""Fitting a batch of vectors: scaling, K-Means with several starts, the choice of k, scores.

scikit-learn and kneed are imported where they are used: that takes longer than most commands do,
and a worker, which never fits, is spared their memory.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from segstream.core.spec import CompiledSpec, FloatArray, IntArray
from segstream.core.vectors import nearest_rows, transform_rows

if TYPE_CHECKING:
    from sklearn.cluster import KMeans

K_TRIED: Final = range(2, 11)
K_ALLOWED: Final = (3, 8)
STEADY_ARI: Final = 0.8
# Where there is no structure WCSS falls with k^(-2/F), by 25 % from three to four segments in two
# dimensions (W. Krzanowski and Y. Lai, Biometrics 44, 1988). In planted drift a true last segment
# takes away 36 % or more, and one too many 33 % or less.
WORTH_A_SEGMENT: Final = 0.35
BOOTSTRAPS: Final = 10
# Silhouette is quadratic in the number of members.
SILHOUETTE_MEMBERS: Final = 5_000
STRENGTH_STARTS: Final = 3
HALVINGS: Final = 5
MISSING_SHARE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Scaling:
    """scaled = (transformed - mean) * weight, the median where a value is missing.

    Attributes
    ----------
    mean, weight, median : shape (F,), transformed units
    notices
        What was left out, for people.
    """

    mean: FloatArray
    weight: FloatArray
    median: FloatArray
    notices: tuple[str, ...]

    def apply(self, transformed: FloatArray) -> FloatArray:
        """Scale rows, shape (n, F)."""
        filled = np.where(np.isnan(transformed), self.median, transformed)
        return np.ascontiguousarray((filled - self.mean) * self.weight)

    def undo(self, scaled: FloatArray) -> FloatArray:
        """Return the transformed values; the mean for features that do not count."""
        safe = np.where(self.weight == 0.0, 1.0, self.weight)
        return np.where(self.weight == 0.0, self.mean, scaled / safe + self.mean)

    @property
    def varies(self) -> bool:
        """Whether any clustered feature differs between members: else there is nothing to fit."""
        return bool((self.weight > 0).any())


def fit_scaling(spec: CompiledSpec, transformed: FloatArray) -> Scaling:
    """Freeze a generation's scaling on its panel, shape (n, F).

    A feature missing for over 30 % of the panel is left out with a notice; a constant one has
    weight 0.
    """
    missing = np.isnan(transformed)
    shares = missing.mean(axis=0)
    median = np.array([_median(column) for column in transformed.T])
    filled = np.where(missing, median, transformed)
    mean, deviation = filled.mean(axis=0), filled.std(axis=0)
    constant = deviation <= 1e-12 * np.maximum(np.abs(mean), 1.0)
    wanted = np.array([f.weight for f in spec.spec.features])
    out = constant | ~spec.clustered | (shares > MISSING_SHARE)
    weight = np.where(out, 0.0, wanted / np.where(constant, 1.0, deviation))
    notices = tuple(
        f"{feature.name} is left out: missing for {share:.0%} of the panel"
        for feature, share in zip(spec.spec.features, shares, strict=True)
        if feature.use == "cluster" and share > MISSING_SHARE
    )
    return Scaling(mean, weight, median, notices)


def _median(column: FloatArray) -> float:
    known = column[~np.isnan(column)]
    return float(np.median(known)) if len(known) else 0.0


def panel_vectors(spec: CompiledSpec, raw: FloatArray) -> FloatArray:
    """Transform raw panel rows with the kernel's own function; shape (n, F)."""
    return transform_rows(spec.arrays, np.ascontiguousarray(raw))


@dataclass(frozen=True, slots=True)
class Clustering:
    """Centres and how far the members are from them.

    Attributes
    ----------
    centres : shape (k, F)
    labels : shape (n,)
    sse
        Sum of squared distances to the nearest centre.
    """

    centres: FloatArray
    labels: IntArray
    sse: float


def assign(centres: FloatArray, vectors: FloatArray) -> Clustering:
    """Put every vector to its nearest centre."""
    labels, distances = nearest_rows(np.ascontiguousarray(centres), vectors)
    return Clustering(centres, labels, float(distances.sum()))


def fresh(vectors: FloatArray, k: int, starts: int, seed: int) -> Clustering:
    """K-Means from several k-means++ starts; the same for the same seed."""
    from sklearn.cluster import KMeans

    return _kmeans(vectors, KMeans(n_clusters=k, n_init=starts, random_state=seed))


def warm(vectors: FloatArray, centres: FloatArray) -> Clustering:
    """K-Means (Lloyd) from given centres."""
    from sklearn.cluster import KMeans

    return _kmeans(vectors, KMeans(n_clusters=len(centres), init=centres, n_init=1))


def _kmeans(vectors: FloatArray, kmeans: "KMeans") -> Clustering:
    with threadpool_limits(1):  # one thread: sums in one order, and the stream keeps its core
        kmeans.fit(vectors)
    return assign(kmeans.cluster_centers_.astype(np.float64), vectors)


def choose_k(vectors: FloatArray, starts: int, seed: int) -> tuple[int, dict[int, float]]:
    """Elbow of the WCSS curve, or one less where that is steadier.

    Returns
    -------
    k
        Within `K_ALLOWED`; less where the panel has fewer distinct vectors.
    curve
        WCSS by k.
    """
    from kneed import KneeLocator

    distinct = len(np.unique(vectors, axis=0))
    tried = [k for k in K_TRIED if k <= distinct]
    if len(tried) < 3:
        return max(1, min(distinct, K_ALLOWED[0])), {}
    curve = {k: fresh(vectors, k, starts, seed).sse for k in tried}
    knee = KneeLocator(
        tried, list(curve.values()), curve="convex", direction="decreasing"
    ).elbow  # fmt: skip
    k = min(max(int(knee or K_ALLOWED[0]), K_ALLOWED[0]), K_ALLOWED[1], tried[-1])
    steadiness = bootstrap_ari(vectors, k, seed)
    if k > K_ALLOWED[0] and steadiness < STEADY_ARI:
        k = k - 1 if bootstrap_ari(vectors, k - 1, seed) > steadiness else k
    return k, curve


def choose_again(
    vectors: FloatArray, living: int, starts: int, seed: int
) -> tuple[int, dict[int, float]]:
    """Choose k for segments that live: the last that takes away much of the WCSS, else as it is.

    The elbow is a poor judge of a change: one far group, as of customers who all stopped, bends the
    curve so much that the others do not show in it. Ratios of neighbours do not care.
    """
    distinct = len(np.unique(vectors, axis=0))
    curve = {k: fresh(vectors, k, starts, seed).sse for k in K_TRIED if k <= distinct}
    worth = [
        k
        for k in range(max(K_ALLOWED[0], K_TRIED[0] + 1), K_ALLOWED[1] + 1)
        if k in curve and curve[k] <= (1.0 - WORTH_A_SEGMENT) * curve[k - 1]
    ]
    return max(worth, default=living), curve


def bootstrap_ari(vectors: FloatArray, k: int, seed: int) -> float:
    """Median agreement of fits on bootstrap samples with the fit on all."""
    from sklearn.metrics import adjusted_rand_score

    generator = np.random.default_rng(seed)
    whole = fresh(vectors, k, 3, seed)
    scores = []
    for i in range(BOOTSTRAPS):
        sample = generator.integers(0, len(vectors), len(vectors))
        other = fresh(np.ascontiguousarray(vectors[sample]), k, 3, seed + 1 + i)
        scores.append(adjusted_rand_score(whole.labels, assign(other.centres, vectors).labels))
    return float(np.median(scores))


class Quality(msgspec.Struct, frozen=True):
    """How good a clustering is; None below two segments.

    Attributes
    ----------
    silhouette
        Of a seeded sample of at most 5,000 members.
    davies_bouldin
        Of all members.
    prediction_strength
        Share of the pairs in the least steady segment of one half of the panel that centres
        fitted on the other half keep together; over 0.8 is called well supported.
    """

    silhouette: float | None = None
    davies_bouldin: float | None = None
    prediction_strength: float | None = None


def quality_of(vectors: FloatArray, clustering: Clustering, seed: int) -> Quality:
    """Measure a clustering on its members."""
    from sklearn.metrics import davies_bouldin_score

    labels = clustering.labels
    if not 1 < len(np.unique(labels)) < len(labels):
        return Quality()
    return Quality(
        _silhouette(vectors, labels, seed),
        float(davies_bouldin_score(vectors, labels)),
        prediction_strength(vectors, len(clustering.centres), seed),
    )


def prediction_strength(vectors: FloatArray, k: int, seed: int) -> float | None:
    """R. Tibshirani and G. Walther, "Cluster validation by prediction strength" (2005).

    Returns
    -------
    float | None
        Median over seeded halvings; None where a half has fewer distinct vectors than k.
    """
    generator = np.random.default_rng(seed)
    found = [
        _halved(vectors[generator.permutation(len(vectors))], k, seed) for _ in range(HALVINGS)
    ]
    return None if None in found else float(np.median(np.array(found, dtype=np.float64)))


def _halved(shuffled: FloatArray, k: int, seed: int) -> float | None:
    halves = [np.ascontiguousarray(half) for half in np.array_split(shuffled, 2)]
    if any(len(np.unique(half, axis=0)) < k for half in halves):
        return None
    fits = [fresh(half, k, STRENGTH_STARTS, seed) for half in halves]
    predicted = assign(fits[0].centres, halves[1]).labels
    shares = []
    for segment in range(k):
        members = predicted[fits[1].labels == segment]
        together = sum(n * (n - 1) for n in np.bincount(members).tolist())
        if len(members) > 1:
            shares.append(together / (len(members) * (len(members) - 1)))
    return min(shares, default=None)


def _silhouette(vectors: FloatArray, labels: npt.NDArray[np.int64], seed: int) -> float | None:
    from sklearn.metrics import silhouette_score

    size = min(len(vectors), SILHOUETTE_MEMBERS)
    sample = np.sort(np.random.default_rng(seed).choice(len(vectors), size, replace=False))
    several = 1 < len(np.unique(labels[sample])) < size
    return float(silhouette_score(vectors[sample], labels[sample])) if several else None
