"""TotalValue study: total value, quantity and mean price per customer, K = 5."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from benchmarks.feeds import Feed, Replay, parse
from benchmarks.reproduction.streamed import Features, features_of
from benchmarks.reproduction.study import SHARED, Fitted, Line, Study, joined, kmeans
from segstream.core.events import Event, Parsed
from segstream.core.spec import FloatArray
from segstream.ports import Chunk

FILE: Final = SHARED / "total_value" / "Transactions.csv"
K: Final = 5
# 50 starts miss the best fit from three of four seeds; the matrix is small.
MANY_STARTS: Final = 500
MEASURES: Final = """\
[[measures]]
name = "spend"
types = ["purchase", "return"]
value = "amount"

[[measures]]
name = "units"
types = ["purchase", "return"]
value = "quantity"

[[features]]
name = "spend"
kind = "sum"
measure = "spend"

[[features]]
name = "units"
kind = "sum"
measure = "units"
"""
OURS: Final = f"""\
[model]
k = {K}
start = "early"

{MEASURES}
[[features]]
name = "unit_price"
kind = "mean"
measure = "spend"
per = "units"
"""
THEIRS: Final = f"""\
{MEASURES}
[[measures]]
name = "prices"
types = ["purchase"]
value = "discount"

[[measures]]
name = "purchases"
types = ["purchase"]
value = "event"

[[features]]
name = "mean_price"
kind = "mean"
measure = "prices"
per = "purchases"
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What the data say.

    Attributes
    ----------
    table : shape (199, 3), the study's matrix from the files alone
    theirs
        The same matrix from events.
    averages : shape (5, 3), of the segments by `theirs`, most spend first
    """

    table: FloatArray
    theirs: Features
    by_table: Fitted
    by_events: Fitted
    by_unit_price: Fitted
    averages: FloatArray

    @property
    def correlation(self) -> float:
        """Between spend and quantity."""
        return float(np.corrcoef(self.table[:, 0], self.table[:, 1])[0, 1])


def recompute(path: Path) -> Found:
    """Compute everything from the transactions."""
    table = study_matrix(path)
    replay = parse(Feed("total_value", "TotalValue", "total-value", path))
    theirs, ours = features_of(_priced(replay), THEIRS), features_of(replay, OURS)
    by_events = kmeans(theirs.scaled, K, MANY_STARTS)
    averages = np.array([theirs.raw[by_events.labels == s].mean(axis=0) for s in range(K)])
    return Found(
        table=table,
        theirs=theirs,
        by_table=kmeans(StandardScaler().fit_transform(table), K, MANY_STARTS),
        by_events=by_events,
        by_unit_price=kmeans(ours.scaled, K, MANY_STARTS),
        averages=averages[np.argsort(-averages[:, 0])],
    )


def study_matrix(path: Path) -> FloatArray:
    """Sum of TotalValue, sum of Quantity and mean Price per customer, as the study did."""
    grouped = pd.read_csv(path).groupby("CustomerID")
    columns = [grouped["TotalValue"].sum(), grouped["Quantity"].sum(), grouped["Price"].mean()]
    return np.column_stack([c.to_numpy(dtype=np.float64) for c in columns])


def _priced(replay: Replay) -> Replay:
    """Let the list price travel in `discount`: no measure adds `unit_price` up."""
    chunks = [
        Chunk(c.position, c.payloads, [_price(e) for e in c.parsed], c.places)
        for c in replay.chunks
    ]
    return Replay(f"{replay.identity}, priced", chunks)


def _price(entry: Parsed) -> Parsed:
    if isinstance(entry, Event):
        return msgspec.structs.replace(entry, discount=entry.unit_price or 0.0)
    return entry


def study(found: Found) -> Study:
    """Lay the figures out."""
    return Study(
        title="TotalValue: spend, quantity and mean price, K = 5",
        claimed=(
            "Five segments by total value, quantity and mean price, judged by a Davies-Bouldin "
            "index that is computed and never printed; among them high spenders with low "
            "quantities."
        ),
        lines=_lines(found),
        why=_why(found),
        today=(
            "Segments of the same kind, kept up to date event by event, with spend per unit as "
            "the price:"
        ),
        settings=OURS,
        command=(
            "segstream run --source Transactions.csv --mapping total-value "
            "--config total-value.toml"
        ),
    )


def _lines(found: Found) -> tuple[Line, ...]:
    def both(what: str, say: Callable[[Fitted], str], published: str = "") -> Line:
        fits = (found.by_table, found.by_events)
        return Line(what, published, *(fit.cell(say(fit)) for fit in fits))

    n, f = found.table.shape
    events, ours = found.by_events, found.by_unit_price
    top, low = found.averages[0], found.averages[-1]
    return (
        both("matrix", lambda _: f"{n} × {f}"),
        both("WCSS", lambda fit: f"{fit.sse:.4f}"),
        both("Davies-Bouldin", lambda fit: f"{fit.davies_bouldin:.4f}", "computed, not printed"),
        both("silhouette", lambda fit: f"{fit.silhouette:.4f}"),
        both("sizes", lambda fit: joined(fit.largest_first)),
        Line("highest spenders: spend, units each", "high, low",
             corrected=events.cell(f"{top[0]:,.0f}, {top[1]:.1f}")),
        Line("lowest spenders: spend, units each",
             corrected=events.cell(f"{low[0]:,.0f}, {low[1]:.1f}")),
        Line("price as spend / units: WCSS, Davies-Bouldin",
             corrected=ours.cell(f"{ours.sse:.4f}, {ours.davies_bouldin:.4f}")),
    )  # fmt: skip


def _why(found: Found) -> tuple[str, ...]:
    return (
        (
            "The engine gives the study's matrix from events, so the same fit: nothing was wrong "
            "with it but that its score was not shown."
        ),
        (
            "High spenders with low quantities do not exist: spend follows quantity (correlation "
            f"{found.correlation:.2f}), and who spends most buys most."
        ),
        (
            "The study's mean price counts each transaction once, whatever its quantity. No "
            "measure of Segstream adds list prices up (for this table they travel in `discount`); "
            "the settings below divide what was paid by what was bought, which fits a little "
            "tighter."
        ),
        "With 50 starts three seeds of four end above the best WCSS, so 500 are used.",
    )
