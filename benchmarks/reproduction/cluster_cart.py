"""ClusterCart: Online Retail, seven segments of a matrix that holds the customer number."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from benchmarks.feeds import ONLINE_RETAIL, parse
from benchmarks.reproduction.streamed import Features, features_of
from benchmarks.reproduction.study import Cell, Fitted, Line, Study, joined, kmeans, kmeans_words
from segstream.core.fitting import fresh
from segstream.core.spec import FloatArray, IntArray

FILE: Final = ONLINE_RETAIL.path
K: Final = 7
STUDY_SEED: Final = 42
STARTS: Final = 10
SEED: Final = 7
PUBLISHED_SIZES: Final = (628, 617, 647, 607, 609, 634, 638)
SETTINGS: Final = f"""\
[model]
k = {K}
"""


@dataclass(frozen=True, slots=True)
class Product:
    """The product a segment is said, or found, to buy most.

    Attributes
    ----------
    softmax
        The study's "likelihood"; None where it is not the study's segment.
    bought
        Share of the segment's customers with at least one purchase of it.
    """

    segment: int
    name: str
    softmax: float | None
    bought: float


@dataclass(frozen=True, slots=True)
class Found:
    """What the data say.

    Attributes
    ----------
    bands_ari, corrected_ari
        Beside seven bands of the customer number, equal in count.
    id_share
        Of the matrix's squared deviations, what the customer number has.
    furthest
        The study's "likelihood" that is furthest from the share of customers who bought.
    likely
        The most bought product of each corrected segment, the largest first.
    """

    shape: tuple[int, int]
    sizes: tuple[int, ...]
    bands_ari: float
    id_share: float
    sizes_without_id: tuple[int, ...]
    furthest: Product
    features: Features
    best: Fitted
    corrected_ari: float
    likely: tuple[Product, ...]


@dataclass(frozen=True, slots=True)
class Artefact:
    """The study's matrix: one row per customer and country.

    Attributes
    ----------
    matrix : shape (4380, 3722): customer number, products, countries one-hot
    numbers : shape (4380,), customer numbers
    products
        StockCodes of columns 1 to 3,684.
    """

    matrix: FloatArray
    numbers: IntArray
    products: list[str]


def recompute(path: Path) -> Found:
    """Compute everything from the order lines."""
    lines = pd.read_csv(path).dropna(subset=["CustomerID"])
    lines["CustomerID"] = lines["CustomerID"].astype(np.int64)
    artefact = study_matrix(lines)
    labels = fresh(artefact.matrix, K, 1, STUDY_SEED).labels
    features = features_of(parse(ONLINE_RETAIL), SETTINGS)
    best = kmeans(features.scaled, K, STARTS, SEED)
    numbers = np.array([int(c) for c in features.customers])
    without_id = np.ascontiguousarray(artefact.matrix[:, 1:])
    deviations = ((artefact.matrix - artefact.matrix.mean(axis=0)) ** 2).sum(axis=0)
    return Found(
        shape=(artefact.matrix.shape[0], artefact.matrix.shape[1]),
        sizes=tuple(np.bincount(labels).tolist()),
        bands_ari=bands_ari(artefact.numbers, labels),
        id_share=float(deviations[0] / deviations.sum()),
        sizes_without_id=_sizes(fresh(without_id, K, STARTS, STUDY_SEED).labels),
        furthest=_furthest(artefact, labels, lines),
        features=features,
        best=best,
        corrected_ari=bands_ari(numbers, best.labels),
        likely=_likely(numbers, best.labels, lines),
    )


def study_matrix(lines: pd.DataFrame) -> Artefact:
    """Summed quantity per customer, country and product; the customer number stays in."""
    wide = lines.pivot_table(
        index=["CustomerID", "Country"], columns="StockCode", values="Quantity", aggfunc="sum",
        fill_value=0,
    )  # fmt: skip
    numbers = wide.index.get_level_values("CustomerID").to_numpy(dtype=np.int64)
    countries = pd.get_dummies(wide.index.get_level_values("Country"), dtype=float)
    matrix = np.column_stack([numbers, wide.to_numpy(dtype=np.float64), countries.to_numpy()])
    return Artefact(np.ascontiguousarray(matrix), numbers, [str(c) for c in wide.columns])


def bands_ari(numbers: IntArray, labels: IntArray) -> float:
    """Agreement of segments with seven bands of the customer number, equal in count."""
    band = np.empty(len(numbers), dtype=np.int64)
    band[np.argsort(numbers, kind="stable")] = np.arange(len(numbers)) * K // len(numbers)
    return float(adjusted_rand_score(band, labels))


def _sizes(labels: IntArray) -> tuple[int, ...]:
    return tuple(sorted(np.bincount(labels).tolist(), reverse=True))


def _names(lines: pd.DataFrame) -> dict[str, str]:
    """Every product's usual description."""
    counted = lines.value_counts(["StockCode", "Description"]).reset_index()
    first = counted.drop_duplicates("StockCode")
    return dict(zip(first["StockCode"], first["Description"].str.strip(), strict=True))


def _furthest(artefact: Artefact, labels: IntArray, lines: pd.DataFrame) -> Product:
    """Compare each segment's most likely product by softmax with who bought it."""
    quantities = artefact.matrix[:, 1 : 1 + len(artefact.products)]
    names, found = _names(lines), []
    for s in range(K):
        mean = quantities[labels == s].mean(axis=0)
        weight = np.exp(mean - mean.max())
        code = artefact.products[int(mean.argmax())]
        members = set(artefact.numbers[labels == s].tolist())
        bought = lines[(lines["StockCode"] == code) & (lines["Quantity"] > 0)]["CustomerID"]
        share = len(members & set(bought.tolist())) / len(members)
        found.append(Product(s, names[code], float(weight.max() / weight.sum()), share))
    return max(found, key=lambda p: (p.softmax or 0.0) - p.bought)


def _likely(numbers: IntArray, labels: IntArray, lines: pd.DataFrame) -> tuple[Product, ...]:
    """Distinct customers who bought a product over the customers of their segment."""
    purchases = lines[lines["Quantity"] > 0]
    bought = purchases[["CustomerID", "StockCode"]].drop_duplicates()
    segment = bought["CustomerID"].map(dict(zip(numbers.tolist(), labels.tolist(), strict=True)))
    names = _names(lines)
    found = []
    for s, size in enumerate(np.bincount(labels, minlength=K).tolist()):
        counted = bought.loc[segment == s, "StockCode"].value_counts()
        code = str(counted.index[0])
        found.append(Product(s, names[code], None, float(counted.iloc[0]) / size))
    return tuple(sorted(found, key=lambda p: -int((labels == p.segment).sum())))


def study(found: Found) -> Study:
    """Lay the figures out."""
    return Study(
        title="ClusterCart: Online Retail, K = 7",
        claimed=(
            "Seven segments of Online Retail's customers by what they buy, and the likelihood that "
            "a segment's customer buys each product."
        ),
        lines=_lines(found),
        why=WHY,
        today="The default features with seven segments:",
        settings=SETTINGS,
        command=(
            "segstream run --source online_retail.csv.gz --mapping online-retail "
            "--config seven.toml"
        ),
    )


def _lines(found: Found) -> tuple[Line, ...]:
    best, product = found.best, found.furthest
    theirs, without = kmeans_words(K, 1, STUDY_SEED), kmeans_words(K, STARTS, STUDY_SEED)
    rows, columns = found.shape
    n, f = found.features.scaled.shape
    return (
        Line("matrix", "", Cell(f"{rows:,} × {columns:,}"), Cell(f"{n:,} × {f}")),
        Line("sizes", joined(PUBLISHED_SIZES), Cell(joined(found.sizes), theirs),
             best.cell(joined(best.largest_first))),
        Line("ARI with seven equal bands of the id", "", Cell(f"{found.bands_ari:.2f}", theirs),
             best.cell(f"{found.corrected_ari:.2f}")),
        Line("squared deviations that are the id's", "", Cell(f"{found.id_share:.0%}"),
             Cell("0%")),
        Line("sizes, the same without the id", "",
             Cell(joined(found.sizes_without_id), without)),
        Line("silhouette", corrected=best.cell(f"{best.silhouette:.4f}")),
        Line("Davies-Bouldin", corrected=best.cell(f"{best.davies_bouldin:.4f}")),
        Line("WCSS", corrected=best.cell(f"{best.sse:,.2f}")),
        Line(f"likelihood: {product.name}", "a softmax", Cell(f"{product.softmax:.4f}", theirs),
             Cell(f"{product.bought:.4f}", theirs)),
        *(_segment(found, likely) for likely in found.likely),
    )  # fmt: skip


WHY: Final = (
    (
        "The customer number stayed in the matrix, unscaled, beside quantities of single products: "
        "the segments are bands of the number. Segstream refuses identifiers as features, and "
        "scales."
    ),
    (
        "Without the number, K-Means on unscaled quantities splits off single wholesalers and "
        "leaves everybody else together."
    ),
    (
        "A row is a customer in a country: 8 customers bought in two and are two rows. In "
        "Segstream a customer is one record."
    ),
    (
        "The likelihood is a softmax of mean quantities: one customer's large order makes it "
        "nearly 1. Corrected is how many of the same segment's customers bought the product at "
        "least once, over its customers; returns change neither count."
    ),
    (
        "Corrected segments are fitted on the retail features of Segstream at the end of the "
        "stream (orders, spend, silence, money and units per order, orders so far), where returns "
        "are subtracted from spend: who takes back as much as it buys has spent nothing. "
        "`make quality` says how near the streamed segments are to such a fit."
    ),
)


def _segment(found: Found, likely: Product) -> Line:
    """One corrected segment in a line."""
    members = found.best.labels == likely.segment
    orders, spend = found.features.raw[members][:, :2].mean(axis=0)
    return Line(
        f"segment of {members.sum():,}: {orders:.1f} orders, £{round(spend):,} each in 112 days",
        corrected=found.best.cell(f"{likely.bought:.4f} bought {likely.name}"),
    )
