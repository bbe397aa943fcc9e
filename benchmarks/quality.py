"""`make quality`: segments against a batch K-Means, how stable they are, and what followed.

Streams both retail feeds through the engine with its default settings and compares the end with
scikit-learn's K-Means on the same features. Beside it stands river's own K-Means on the same
stream, started better than it starts itself. Then the planted drift and the no-op refits, of 20
seeds each.

    python -m benchmarks.quality
    python -m benchmarks.quality --seeds 0
    python -m benchmarks.quality --all-k --json
    python -m benchmarks.quality --trade-off
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from benchmarks import noop, planted, tradeoff
from benchmarks.feeds import FEEDS, ONLINE_RETAIL, Feed, Replay, parse, whole_orders
from benchmarks.figures import Figures, figures_of
from benchmarks.plain_river import HALFLIFE, RiverFigures, run_river, traffic_of
from benchmarks.results import Row, row
from benchmarks.streaming import longest_window_days, reference_moments, stream
from segstream.settings import Settings

Better = Literal["higher", "lower"]
K: Final = 5
ALL_K: Final = (4, 5, 6)
# Lines of one invoice as one event: what an order that arrives whole would give.
WHOLE: Final = Feed("online_retail_whole", "Online Retail, whole orders", "", ONLINE_RETAIL.path)


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure in the table.

    Attributes
    ----------
    targets
        By the feed's name; no target elsewhere.
    """

    key: str
    label: str
    metric: str
    better: Better
    digits: int
    targets: dict[str, float]


MEASURES: Final = (
    Measure("ari", "nearest centre: ARI with batch", "index", "higher", 3,
            {"online_retail": 0.93}),
    Measure("sse_ratio", "nearest centre: SSE / batch SSE", "ratio", "lower", 4,
            {"online_retail": 1.01}),
    Measure("published_ari", "published: ARI with batch", "index", "higher", 3,
            {"online_retail": 0.88}),
    Measure("published_sse_ratio", "published: SSE / batch SSE", "ratio", "lower", 4,
            {"online_retail": 1.02}),
    Measure("off_nearest", "published off the nearest, share", "share", "lower", 3,
            {"online_retail": 0.05}),
    Measure("largest", "largest segment, share", "share", "lower", 3, {}),
    Measure("changes_per_customer_year", "changes per customer-year", "changes", "lower", 2,
            {"online_retail": 4.0, "complete_journey": 5.0}),
    Measure("undone_28_days", "undone within 28 days, share", "share", "lower", 3,
            {"complete_journey": 0.20}),
    Measure("silence_days_median", "days of silence until a regular drops, median", "days",
            "lower", 1, {"complete_journey": 28.0}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """One feed's figures with k segments, and river's beside them at the default k."""

    feed: Feed
    k: int
    figures: Figures
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
        "undone_28_days": figures.undone_share,
        "silence_days_median": figures.silence.days_median,
    }[key]


def river_value(river: RiverFigures, key: str) -> float | None:
    """The same of river; None for silence, which it cannot see."""
    return {
        "ari": river.nearest.ari,
        "sse_ratio": river.nearest.sse_ratio,
        "published_ari": river.published.ari,
        "published_sse_ratio": river.published.sse_ratio,
        "off_nearest": river.off_nearest,
        "largest": river.largest,
        "changes_per_customer_year": river.changes_per_year,
        "undone_28_days": river.undone_share,
        "silence_days_median": None,
    }[key]


def present_feeds() -> dict[Feed, Replay]:
    """Parse the feeds that are there; the others are named on stderr."""
    found = {}
    for feed in FEEDS:
        if feed.present():
            found[feed] = parse(feed)
        else:
            print(f"{feed.title} is left out: {feed.path} is not there", file=sys.stderr)
    return found


def measure(
    feed: Feed, replay: Replay, k: int = K, halflife: float | None = HALFLIFE
) -> Measured:  # fmt: skip
    """Stream a feed and measure it; no river where `halflife` is None."""
    default = Settings()
    settings = msgspec.structs.replace(
        default, model=msgspec.structs.replace(default.model, k=k)
    )  # fmt: skip
    moments = reference_moments(replay, longest_window_days(settings))
    streamed = stream(replay, settings, moments)
    river = None
    if halflife is not None:
        river = run_river(traffic_of(replay, streamed.view), streamed, halflife)
    return Measured(feed, k, figures_of(streamed), river)


def measure_all(
    replays: dict[Feed, Replay], ks: Sequence[int] = (K,), halflife: float = HALFLIFE
) -> Iterator[Measured]:
    """Measure every feed at every k; river, and whole orders, at the default k only."""
    for feed, replay in replays.items():
        for k in ks:
            yield measure(feed, replay, k, halflife if k == K else None)
        if feed == ONLINE_RETAIL:
            yield measure(WHOLE, whole_orders(replay), K, None)


def rows(measured: Measured) -> Iterator[Row]:
    """Rows of the result file."""
    suffix = "" if measured.k == K else f"/k={measured.k}"
    for m in MEASURES:
        found = value(measured.figures, m.key)
        if found is None or found == float("inf"):
            continue
        target = m.targets.get(measured.feed.name) if judged(measured, m) else None
        yield row(f"quality/{measured.feed.name}/{m.key}{suffix}", m.metric, [found], target,
                  m.better)  # fmt: skip


def judged(measured: Measured, m: Measure) -> bool:
    """Whether the target holds at this k: only the default's, but that of the SSE at every k."""
    return measured.k == K or m.key == "sse_ratio"


def table(measured: Measured) -> Iterator[str]:
    """What a reader sees of one feed."""
    figures, river = measured.figures, measured.river
    yield f"{measured.feed.title}: {figures.customers:,} customers, {measured.k} segments"
    yield ""
    beside = f"plain river ({river.halflife:g})" if river else ""
    yield f"  {'':<46} {'engine':>9}  {'target':<10} {'':<7} {beside:>18}".rstrip()
    verdicts = {r.case.split("/")[2]: r for r in rows(measured)}
    for m in MEASURES:
        r = verdicts.get(m.key)
        target = "" if r is None or r.target is None else _target(m, r.target)
        verdict = "" if r is None or r.met is None else ("met" if r.met else "missed")
        own = _shown(value(figures, m.key), m.digits)
        theirs = _shown(river_value(river, m.key), m.digits) if river else ""
        yield f"  {m.label:<46} {own:>9}  {target:<10} {verdict:<7} {theirs:>18}".rstrip()
    yield ""
    yield from _details(figures)


def _target(m: Measure, target: float) -> str:
    return f"{'>=' if m.better == 'higher' else '<='} {target:g}"


def _shown(found: float | None, digits: int) -> str:
    if found is None:
        return "never"
    return "over 120" if found == float("inf") else f"{found:.{digits}f}"


def _details(figures: Figures) -> Iterator[str]:
    yield f"  {'changes per customer-year':<26} {'mean':>6} {'median':>7} {'p90':>6} {'undone':>8}"
    undone = {u.reason: u.share for u in figures.undone}
    for r in figures.rates:
        share = undone.get(r.reason)
        shown = "" if share is None else f"{100 * share:.0f} %"
        median, p90 = r.median or 0.0, r.p90 or 0.0
        yield f"  {r.reason:<26} {r.mean:>6.2f} {median:>7.2f} {p90:>6.2f} {shown:>8}"
    yield ""
    yield from _silence(figures)
    for a in figures.aftermath:
        kind = a.kind.replace("_", " ")
        ratio = f"{a.ratio:.2f} times ({a.low:.2f} to {a.high:.2f})" if a.ratio else "no ratio"
        yield (
            f"  next 8 weeks after {kind}: {a.spend:,.0f} against {a.stayers_spend:,.0f} of those "
            f"who stayed, {ratio}; {a.changes:,} changes"
        )
    fresh = sum(r.start == "fresh" for r in figures.reclusters)
    yield f"  re-clusters: {len(figures.reclusters)}, {fresh} of them fresh"
    for one in figures.reclusters:
        yield f"    {one.day} {one.start}, gain {100 * one.gain:.1f} %, moved {one.moved:,}"
    yield ""


def _silence(figures: Figures) -> Iterator[str]:
    silence = figures.silence
    if not silence.quantiles or silence.dropped_28_days is None:
        yield "  no regular customers to be silent"
        return
    shown = ", ".join("over 120" if q == float("inf") else f"{q:.0f}" for q in silence.quantiles)
    yield (
        f"  silence: {silence.spells:,} spells of regulars; 10, 25, 75, 90 % drop by day {shown}; "
        f"{100 * silence.dropped_28_days:.0f} % by day 28"
    )


def as_json(measured: Measured) -> dict[str, Any]:
    """Everything measured, for machines."""
    plain: dict[str, Any] = msgspec.to_builtins(
        {
            "feed": measured.feed.name,
            "k": measured.k,
            "figures": measured.figures,
            "river": measured.river,
            "rows": list(rows(measured)),
        }
    )
    return plain


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 0 unless nothing could be measured."""
    asked = _parser().parse_args(arguments)
    replays = present_feeds()
    if asked.trade_off:
        _print_trade_off(replays)
        return 0
    every = []
    for measured in measure_all(replays, ALL_K if asked.all_k else (K,), asked.halflife):
        every.append(measured)
        if not asked.json:
            print("\n".join(table(measured)), flush=True)
    if asked.json:
        body = msgspec.json.encode([as_json(m) for m in every])
        print(msgspec.json.format(body).decode())
        return 0
    verdicts = [r.met for m in every for r in rows(m) if r.met is not None]
    print(f"{sum(verdicts)} of {len(verdicts)} targets met")
    if asked.seeds:
        _print_drift(asked.seeds)
    return 0


def _print_drift(seeds: int) -> None:
    found = list(planted.outcomes(list(planted.SCENARIOS), range(seeds)))
    print("", "Planted drift", "", *planted.table(found), *planted.verdicts(found), sep="\n",
          flush=True)  # fmt: skip
    kept = noop.table(list(noop.outcomes(seeds)))
    print("", "Nothing has changed: who keeps its segment", "", *kept, sep="\n")


def _print_trade_off(replays: dict[Feed, Replay]) -> None:
    print(tradeoff.markdown(tradeoff.HEADER))
    print(tradeoff.markdown(("---",) * len(tradeoff.HEADER)))
    for found in tradeoff.measure(replays):
        for line in tradeoff.lines(found, list(replays)):
            print(tradeoff.markdown(line), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--all-k", action="store_true", help="also 4 and 6 segments")
    parser.add_argument("--json", action="store_true", help="of the feeds, for machines")
    parser.add_argument("--seeds", type=int, default=20, help="of planted drift; 0 for none")
    parser.add_argument("--trade-off", action="store_true", help="one choice changed at a time")
    parser.add_argument("--halflife", type=float, default=HALFLIFE, help="of river's K-Means")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
