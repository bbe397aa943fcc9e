"""`make quality`: segments against a batch K-Means, how stable they are, and what followed.

Streams both retail feeds through the engine with its default settings and compares the end with
scikit-learn's K-Means on the same features. Beside it stands river's own K-Means on the same
stream, started better than it starts itself. Then the planted drift and the no-op refits, of 20
seeds each. Without --json the figures go into a file in benchmarks/results/, too.

    python -m benchmarks.quality
    python -m benchmarks.quality --seeds 0
    python -m benchmarks.quality --all-k --json
    python -m benchmarks.quality --trade-off
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from benchmarks import noop, planted, planted_figures, tradeoff
from benchmarks.agreement import steadiness
from benchmarks.feeds import FEEDS, ONLINE_RETAIL, Feed, Replay, parse, whole_orders
from benchmarks.figures import Figures, batch_of, figures_of
from benchmarks.measures import (
    ALL_K,
    MEASURES,
    K,
    Measure,
    Measured,
    river_value,
    rows,
    value,
)
from benchmarks.plain_river import HALFLIFE, run_river, traffic_of
from benchmarks.results import Row, write
from benchmarks.streaming import longest_window_days, reference_moments, stream
from segstream.settings import Settings

# Lines of one invoice as one event: what an order that arrives whole would give.
WHOLE: Final = Feed("online_retail_whole", "Online Retail, whole orders", "", ONLINE_RETAIL.path)


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
    steady = steadiness(batch_of(streamed.view, k))
    return Measured(feed, k, figures_of(streamed), steady, river)


def measure_all(
    replays: dict[Feed, Replay], ks: Sequence[int] = (K,), halflife: float = HALFLIFE
) -> Iterator[Measured]:
    """Measure every feed at every k; river, and whole orders, at the default k only."""
    for feed, replay in replays.items():
        for k in ks:
            yield measure(feed, replay, k, halflife if k == K else None)
        if feed == ONLINE_RETAIL:
            yield measure(WHOLE, whole_orders(replay), K, None)


def table(measured: Measured) -> Iterator[str]:
    """What a reader sees of one feed."""
    figures, river = measured.figures, measured.river
    yield f"{measured.feed.title}: {figures.customers:,} customers, {measured.k} segments"
    yield f"  ARI of a batch fit with its bootstrap fits, lower quartile: {measured.steady_ari:.3f}"
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
    return f"{'>=' if m.better == 'higher' else '<='} {target:.3g}"


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
            "steady_ari": measured.steady_ari,
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
    found = [r for m in every for r in rows(m)]
    if asked.seeds:
        found += _drift(asked.seeds, asked.processes)
    verdicts = [r.met for r in found if r.met is not None]
    print("", f"{sum(verdicts)} of {len(verdicts)} targets met", sep="\n")
    print(f"written to {write(found)}", file=sys.stderr)
    return 0


def _drift(seeds: int, processes: int | None) -> list[Row]:
    """Print what became of planted drift, and of none."""
    found = list(planted.outcomes(list(planted.SCENARIOS), range(seeds), processes))
    print("", "Planted drift", "", *planted_figures.table(found), sep="\n", flush=True)
    kept = list(noop.outcomes(seeds))
    print("", "Nothing has changed: who keeps its segment", "", *noop.table(kept), sep="\n")
    return [*planted_figures.rows(found), *noop.rows(kept)]


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
    parser.add_argument("--processes", type=int, help="for planted drift; else one per core")
    parser.add_argument("--trade-off", action="store_true", help="one choice changed at a time")
    parser.add_argument("--halflife", type=float, default=HALFLIFE, help="of river's K-Means")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
