"""What `make quality` and `make bench` say of a feed, and what they ask of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.feeds import Feed
from benchmarks.figures import Figures
from benchmarks.plain_river import RiverFigures
from benchmarks.results import Row, row

Better = Literal["higher", "lower"]
K: Final = 5
ALL_K: Final = (4, 5, 6)
# Below the lower quartile of a batch K-Means against its own bootstrap fits.
ARI_SLACK: Final = 0.03
RETAIL: Final = ("online_retail", "complete_journey")


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure in the table.

    Attributes
    ----------
    targets
        By the feed's name, at the default number of segments; no target elsewhere.
    every_k
        Whether they hold at every number of segments.
    """

    key: str
    label: str
    metric: str
    better: Better
    digits: int
    targets: dict[str, float]
    every_k: bool = False


MEASURES: Final = (
    Measure("ari", "nearest centre: ARI with batch", "index", "higher", 3,
            dict.fromkeys(RETAIL, 0.93)),
    Measure("sse_ratio", "nearest centre: SSE / batch SSE", "ratio", "lower", 4,
            dict.fromkeys(RETAIL, 1.01), every_k=True),
    Measure("published_ari", "published: ARI with batch", "index", "higher", 3,
            {"online_retail": 0.88}),
    Measure("published_sse_ratio", "published: SSE / batch SSE", "ratio", "lower", 4,
            {"online_retail": 1.02}),
    Measure("off_nearest", "published off the nearest, share", "share", "lower", 3,
            {"online_retail": 0.05}),
    Measure("largest", "largest segment, share", "share", "lower", 3, {}),
    Measure("changes_per_customer_year", "changes per customer-year", "changes", "lower", 2,
            {"online_retail": 4.0, "complete_journey": 5.0}),
    Measure("behaviour_per_customer_year", "of these at orders", "changes", "lower", 2,
            dict.fromkeys(RETAIL, 2.5), every_k=True),
    Measure("time_per_customer_year", "of these by time", "changes", "lower", 2,
            dict.fromkeys(RETAIL, 2.3), every_k=True),
    Measure("undone_28_days", "undone within 28 days, share", "share", "lower", 3,
            {"complete_journey": 0.20}),
    Measure("silence_days_median", "days of silence until a regular drops, median", "days",
            "lower", 1, {"complete_journey": 28.0}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """One feed's figures with k segments, and river's beside them at the default k.

    Attributes
    ----------
    steady_ari
        Lower quartile of the batch model's agreement with its own bootstrap fits.
    """

    feed: Feed
    k: int
    figures: Figures
    steady_ari: float
    river: RiverFigures | None


def value(figures: Figures, key: str) -> float | None:
    """One of `MEASURES` of the engine; None where it cannot be said."""
    return {
        "ari": figures.nearest.ari,
        "sse_ratio": figures.nearest.sse_ratio,
        "published_ari": figures.published.ari,
        "published_sse_ratio": figures.published.sse_ratio,
        "off_nearest": figures.off_nearest,
        "largest": figures.largest,
        "changes_per_customer_year": figures.rate("all"),
        "behaviour_per_customer_year": figures.rate("behaviour"),
        "time_per_customer_year": figures.rate("time"),
        "undone_28_days": figures.undone_share,
        "silence_days_median": figures.silence.days_median,
    }[key]


def river_value(river: RiverFigures, key: str) -> float | None:
    """The same of river; None for what time does, which it cannot see."""
    return {
        "ari": river.nearest.ari,
        "sse_ratio": river.nearest.sse_ratio,
        "published_ari": river.published.ari,
        "published_sse_ratio": river.published.sse_ratio,
        "off_nearest": river.off_nearest,
        "largest": river.largest,
        "changes_per_customer_year": river.changes_per_year,
        "behaviour_per_customer_year": river.changes_per_year,
        "time_per_customer_year": None,
        "undone_28_days": river.undone_share,
        "silence_days_median": None,
    }[key]


def target_of(measured: Measured, measure: Measure) -> float | None:
    """What a figure must come to here.

    Where equal optima differ, a batch fit does not agree with itself; so at other numbers of
    segments than the default, the agreement asked for is what a batch fit has with its own.
    """
    target = measure.targets.get(measured.feed.name)
    if measured.k == K or measure.every_k or target is None:
        return target
    return measured.steady_ari - ARI_SLACK if measure.key == "ari" else None


def rows(measured: Measured) -> Iterator[Row]:
    """Rows of the result file."""
    suffix = "" if measured.k == K else f"/k={measured.k}"
    for m in MEASURES:
        found = value(measured.figures, m.key)
        if found is None or found == float("inf"):
            continue
        yield row(f"quality/{measured.feed.name}/{m.key}{suffix}", m.metric, [found],
                  target_of(measured, m), m.better)  # fmt: skip
