"""What became of planted drift, as a table and as rows of the result file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.results import Row, row
from segstream.core.trainer_state import TrainerSettings

# Three cooldowns of a re-cluster.
PATIENCE_DAYS: Final = 3 * TrainerSettings().cooldown_days
# Of the seeds, for lineage and for segments that are back.
ENOUGH: Final = 0.9
# The alarm budget.
CALLS_A_YEAR: Final = TrainerSettings().drift.calls_per_month * 365 / 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run, in days after the drift.

    Attributes
    ----------
    delay
        Until the first call of a detector, or a check that proposed; None for never.
    false_calls
        Detector calls before the drift, or all of them where there is none.
    recovered
        Until ARI is back at 0.9 of its level before; None for never.
    reclusters
        Since the drift, or all of them where there is none.
    shown
        Until everybody has changed and the longest window holds only the new behaviour: no earlier
        do the features show what is planted.
    lineage
        Whether the generations after the drift name what was planted.
    """

    scenario: str
    seed: int
    k: int
    before: float
    worst: float
    after: float
    delay: int | None
    false_calls: int
    recovered: int | None
    shown: int
    reclusters: int
    lineage: bool


def table(found: Sequence[Outcome]) -> Iterator[str]:
    """Lines of a Markdown table, a scenario each."""
    yield (
        "| drift | ARI before | worst | end | found after, days: median, p90 | false calls |"
        f" back after, days | within {PATIENCE_DAYS} of the drift | of features that show it |"
        " re-clusters | lineage right |"
    )
    yield "|---" * 11 + "|"
    for same in by_scenario(found):
        yield _row(same)


def by_scenario(found: Sequence[Outcome]) -> list[list[Outcome]]:
    """Outcomes of each scenario."""
    scenarios = dict.fromkeys(o.scenario for o in found)
    return [[o for o in found if o.scenario == scenario] for scenario in scenarios]


def verdicts(found: Sequence[Outcome]) -> Iterator[str]:
    """Say how many of the targets of all scenarios are met."""
    met = [r.met for r in rows(found) if r.met is not None]
    yield f"{sum(met)} of {len(met)} targets met"


def rows(found: Sequence[Outcome]) -> Iterator[Row]:
    """Rows of the result file."""
    for same in by_scenario(found):
        case, n = f"quality/planted/{same[0].scenario}", len(same)
        lineage = sum(o.lineage for o in same) / n
        back = sum(_back(o, o.shown) for o in same) / n
        calls = sum(o.false_calls for o in same) / n
        yield row(f"{case}/lineage_right", "share of seeds", [lineage], ENOUGH, "higher")
        yield row(f"{case}/back_after_three_cooldowns", "share of seeds", [back], ENOUGH, "higher")
        yield row(f"{case}/false_calls", "calls a year", [calls], CALLS_A_YEAR, "lower")
        delays = [float(o.delay) for o in same if o.delay is not None]
        if delays:
            yield row(f"{case}/found_after", "days", delays, None, "lower")


def _back(outcome: Outcome, clock: int) -> bool:
    """Whether the segments are back three cooldowns after a day, counted from the drift."""
    return outcome.recovered is not None and outcome.recovered <= clock + PATIENCE_DAYS


def _row(same: Sequence[Outcome]) -> str:
    delays = [o.delay for o in same if o.delay is not None]
    backs = [o.recovered for o in same if o.recovered is not None]
    middle = f"{np.median(delays):.0f}, {np.quantile(delays, 0.9):.0f}" if delays else "-"
    return " | ".join(
        (
            f"| {same[0].scenario}",
            f"{np.median([o.before for o in same]):.2f}",
            f"{np.median([o.worst for o in same]):.2f}",
            f"{np.median([o.after for o in same]):.2f}",
            f"{middle} ({len(delays)} of {len(same)})",
            f"{sum(o.false_calls for o in same) / len(same):.2f}",
            f"{np.median(backs):.0f} ({len(backs)} of {len(same)})" if backs else "-",
            f"{sum(_back(o, 0) for o in same)} of {len(same)}",
            f"{sum(_back(o, o.shown) for o in same)} of {len(same)}",
            f"{np.mean([o.reclusters for o in same]):.1f}",
            f"{sum(o.lineage for o in same)} of {len(same)} |",
        )
    )
