"""SmartCart: four segments of a marketing table, called K-Means, made by Ward's method."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import AgglomerativeClustering
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, confusion_matrix
from sklearn.preprocessing import StandardScaler

from benchmarks.reproduction.study import (
    SHARED,
    Cell,
    Fitted,
    Line,
    Study,
    joined,
    kmeans,
    measured,
)
from segstream.core.fitting import Clustering
from segstream.core.spec import FloatArray, IntArray

FILE: Final = SHARED / "marketing_campaign" / "smartcart_customers.csv"
K: Final = 4
YEAR: Final = 2026
COMPONENTS: Final = 3
EDUCATION: Final = {
    "Basic": "Undergraduate", "2n Cycle": "Undergraduate", "Graduation": "Graduate",
    "Master": "Postgraduate", "PhD": "Postgraduate",
}  # fmt: skip
WITH_PARTNER: Final = ("Married", "Together")
AVERAGED: Final = ("Income", "Spending", "Response")
PUBLISHED: Final = {
    "Income": (39680.58, 72808.45, 36960.14, 70722.68),
    "Spending": (221.96, 1236.59, 165.70, 1190.39),
    "Response": (0.0762, 0.1667, 0.1419, 0.3201),
}
WARD: Final = f"Ward's agglomerative clustering, k = {K}, no starts and no seed"


@dataclass(frozen=True, slots=True)
class Found:
    """What the data say.

    Attributes
    ----------
    columns
        Behind one-hot encoding, before PCA.
    averages
        Of each segment by Ward's labels and by K-Means', rows in Ward's order.
    ari
        K-Means' segments beside Ward's.
    """

    customers: int
    columns: int
    ward: Fitted
    best: Fitted
    ward_averages: pd.DataFrame
    averages: pd.DataFrame
    ari: float

    @property
    def order(self) -> list[int]:
        """K-Means' labels beside Ward's 0, 1, 2 and 3."""
        return _beside(self.ward.labels, self.best.labels)

    @property
    def moved(self) -> int:
        """Customers whose K-Means segment is not the one beside their Ward segment."""
        return int((np.array(self.order)[self.ward.labels] != self.best.labels).sum())


def recompute(path: Path) -> Found:
    """Compute everything from the table."""
    frame = prepared(path)
    encoded = pd.get_dummies(frame, columns=["Education", "Living"], dtype=float)
    scaled = StandardScaler().fit_transform(encoded)
    vectors = np.ascontiguousarray(PCA(COMPONENTS).fit_transform(scaled))
    ward = measured(vectors, _ward(vectors), WARD)
    best = kmeans(vectors, K)
    order = _beside(ward.labels, best.labels)
    chosen = frame[list(AVERAGED)]
    return Found(
        customers=len(frame),
        columns=encoded.shape[1],
        ward=ward,
        best=best,
        ward_averages=chosen.groupby(ward.labels).mean(),
        averages=chosen.groupby(best.labels).mean().loc[order],
        ari=float(adjusted_rand_score(ward.labels, best.labels)),
    )


def prepared(path: Path) -> pd.DataFrame:
    """Return the study's features: one row per customer it kept."""
    frame = pd.read_csv(path)
    joined_on = pd.to_datetime(frame["Dt_Customer"], format="%d-%m-%Y")
    spending = frame.filter(like="Mnt")
    with_partner = frame["Marital_Status"].isin(WITH_PARTNER)
    frame = frame.assign(
        Income=frame["Income"].fillna(frame["Income"].median()),
        Age=YEAR - frame["Year_Birth"],
        Tenure=(joined_on.max() - joined_on).dt.days,
        Spending=spending.sum(axis=1),
        Children=frame["Kidhome"] + frame["Teenhome"],
        Education=frame["Education"].map(EDUCATION),
        Living=np.where(with_partner, "Partner", "Alone"),
    ).drop(columns=[
        "ID", "Year_Birth", "Marital_Status", "Kidhome", "Teenhome", "Dt_Customer",
        *spending.columns,
    ])  # fmt: skip
    return frame[(frame["Age"] < 90) & (frame["Income"] < 600_000)]


def _ward(vectors: FloatArray) -> Clustering:
    labels = AgglomerativeClustering(K, linkage="ward").fit_predict(vectors).astype(np.int64)
    centres = np.array([vectors[labels == s].mean(axis=0) for s in range(K)])
    return Clustering(centres, labels, float(((vectors - centres[labels]) ** 2).sum()))


def _beside(ward: IntArray, other: IntArray) -> list[int]:
    """Label of `other` that shares most customers with each of Ward's, one to one."""
    _, order = linear_sum_assignment(-confusion_matrix(ward, other))
    return [int(label) for label in order]


def study(found: Found) -> Study:
    """Lay the figures out."""
    return Study(
        title="SmartCart: four segments of a marketing table",
        claimed=(
            "A table of averages of four customer segments, their number chosen by elbow and "
            "silhouette."
        ),
        lines=_lines(found),
        why=_why(found),
        today=(
            "The table is a snapshot without dates. Segstream takes what a profile event holds "
            "(income, year of birth, children, date of joining) and makes no purchases up out of "
            "the spending columns:"
        ),
        settings=PROFILE,
        command=(
            "segstream run --source smartcart_customers.csv --mapping marketing-profile "
            "--config profile.toml"
        ),
    )


def _lines(found: Found) -> tuple[Line, ...]:
    ward, best = found.ward, found.best
    return (
        Line("customers × columns", "",
             Cell(f"{found.customers:,} × {found.columns}, then PCA to {COMPONENTS}"),
             Cell("the same")),
        _averages(found, "Income", "mean income", ",.2f"),
        _averages(found, "Spending", "mean spending", ",.2f"),
        _averages(found, "Response", "response rate", ".4f"),
        Line("sizes, in that order", "", ward.cell(joined(ward.sizes)),
             best.cell(joined(tuple(best.sizes[s] for s in found.order)))),
        Line("silhouette", "", ward.cell(f"{ward.silhouette:.4f}"),
             best.cell(f"{best.silhouette:.4f}")),
        Line("Davies-Bouldin", "", ward.cell(f"{ward.davies_bouldin:.4f}"),
             best.cell(f"{best.davies_bouldin:.4f}")),
        Line("WCSS", "", ward.cell(f"{ward.sse:,.2f}"), best.cell(f"{best.sse:,.2f}")),
        Line("ARI with the published segments", "", ward.cell("1"),
             best.cell(f"{found.ari:.3f}")),
    )  # fmt: skip


def _why(found: Found) -> tuple[str, ...]:
    return (
        (
            "The published averages come out to the cent from the labels of Ward's agglomerative "
            "clustering; K-Means does not give them."
        ),
        (
            "K-Means on the same vectors is better by each score. It puts "
            f"{found.moved} customers elsewhere, so its averages differ."
        ),
        (
            "Ward's method has no centres: a new customer cannot be put into one of its segments "
            "without fitting everybody again. Segstream uses K-Means for that reason."
        ),
    )


def _averages(found: Found, column: str, what: str, style: str) -> Line:
    def shown(averages: pd.DataFrame) -> str:
        return " / ".join(format(value, style) for value in averages[column])

    published = " / ".join(format(value, style) for value in PUBLISHED[column])
    return Line(
        what,
        published,
        found.ward.cell(shown(found.ward_averages)),
        found.best.cell(shown(found.averages)),
    )


PROFILE: Final = """\
[model]
k = 4
start = "early"

[policy]
forget_after_days = 2000

[[features]]
name = "income"
kind = "attribute"
attribute = "income"

[[features]]
name = "age"
kind = "age"
attribute = "birth_year"

[[features]]
name = "children"
kind = "attribute"
attribute = "children"

[[features]]
name = "tenure"
kind = "tenure"
attribute = "joined_at"
"""
