"""What each choice of the default spec buys and costs: one thing changed at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from benchmarks.feeds import Feed, Replay
from benchmarks.figures import Figures, figures_of
from benchmarks.streaming import longest_window_days, reference_moments, stream
from segstream.core.spec import Feature
from segstream.settings import RETAIL, Settings

WINDOWED: Final = ("orders_112d", "spend_112d")


@dataclass(frozen=True, slots=True)
class Variant:
    """The default settings with one thing changed."""

    name: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Row:
    """A variant's figures on each feed, by the feed's name."""

    variant: str
    figures: dict[str, Figures]


def _policy(**changed: float) -> Settings:
    default = Settings()
    policy = msgspec.structs.replace(default.policy, **changed)
    return msgspec.structs.replace(default, policy=policy)


def _model(**changed: float | str) -> Settings:
    default = Settings()
    return msgspec.structs.replace(default, model=msgspec.structs.replace(default.model, **changed))


def _features(features: tuple[Feature, ...]) -> Settings:
    return Settings(measures=RETAIL.measures, features=features)


def _window(days: float) -> Settings:
    return _features(
        tuple(
            msgspec.structs.replace(f, window_days=days) if f.name in WINDOWED else f
            for f in RETAIL.features
        )
    )


def _overdue(**changed: float) -> Settings:
    return _features(
        tuple(
            msgspec.structs.replace(f, **changed) if f.name == "overdue" else f
            for f in RETAIL.features
        )
    )


RECENCY: Final = Feature(
    "recency",
    "recency",
    measure="orders",
    transform="log1p",
    scale=30.0,
    label="days since the last order",
)


def _recency() -> Settings:
    return _features(tuple(RECENCY if f.name == "overdue" else f for f in RETAIL.features))


def variants() -> list[Variant]:
    """The default first."""
    return [
        Variant("default", Settings()),
        *(Variant(f"margin {m:g}", _policy(margin=m)) for m in (0.0, 0.1, 0.2, 0.4)),
        Variant("dwell 14 days", _policy(dwell_days=14.0)),
        Variant("recency in days instead of overdue", _recency()),
        Variant("overdue from 2.5 intervals", _overdue(offset=2.5)),
        Variant("overdue weighs 1", _overdue(weight=1.0)),
        *(Variant(f"window {d} days", _window(d)) for d in (28, 56, 91)),
        Variant("centres go the whole way each day", _model(rate=1.0)),
        Variant("centres stay as fitted", _model(learner="none")),
    ]


def measure(replays: dict[Feed, Replay]) -> Iterator[Row]:
    """Stream every variant through every feed."""
    for variant in variants():
        found = {}
        for feed, replay in replays.items():
            moments = reference_moments(replay, longest_window_days(variant.settings))
            found[feed.name] = figures_of(stream(replay, variant.settings, moments))
        yield Row(variant.name, found)


HEADER: Final = (
    "variant",
    "changes a year (at orders / by time / by the model)",
    "undone, %",
    "silence, days",
    "nearest: ARI / SSE",
    "published: ARI / SSE / % off",
)


def lines(row: Row, feeds: list[Feed]) -> Iterator[tuple[str, ...]]:
    """Cells of one variant: one line per feed."""
    for feed in feeds:
        f = row.figures[feed.name]
        model = f.rate("model") + f.rate("recluster")
        days = f.silence.days_median
        # A wholesaler has too few regulars for a median that means anything.
        regulars = days is not None and feed.name == "complete_journey"
        yield (
            f"{row.variant}, {feed.title}",
            f"{f.rate('all'):.2f} ({f.rate('behaviour'):.2f} / {f.rate('time'):.2f} / {model:.2f})",
            f"{100 * f.undone_share:.0f}",
            f"{days:.0f}" if regulars else "",
            f"{f.nearest.ari:.2f} / {f.nearest.sse_ratio:.3f}",
            f"{f.published.ari:.2f} / {f.published.sse_ratio:.3f} / {100 * f.off_nearest:.1f}",
        )


def markdown(row: tuple[str, ...]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(row)} |"
