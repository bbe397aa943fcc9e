"""Planted drift: a shop whose truth is known, and whether the segments follow it.

Each scenario streams a year of synthetic events through the engine, drift in the middle, and
compares the segments with the planted ones, day by day.

    python -m benchmarks.planted
    python -m benchmarks.planted --seeds 3 --only split --json
"""

import argparse
import math
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Final

import msgspec
import numpy as np
from sklearn.metrics import adjusted_rand_score

from benchmarks.feeds import Replay
from benchmarks.planted_figures import Outcome, table, verdicts
from segstream.adapters.memory import MemorySink, MemoryStore
from segstream.adapters.playbook_files import named_playbook
from segstream.core.events import parse_json_lines
from segstream.core.fitting import assign
from segstream.core.generations import scaling_of
from segstream.core.identity import Descent
from segstream.core.model import Model
from segstream.core.panel import collect_panel
from segstream.core.partition import DayTotals, PanelRows
from segstream.core.spec import Feature, Measure, text_hash
from segstream.core.trainer import Trainer
from segstream.core.trainer_state import TrainerSettings, TrainerState
from segstream.engine import Engine
from segstream.kafka_settings import DAY_MS
from segstream.ports import Chunk
from segstream.settings import PolicySettings, Settings, compile_spec
from segstream_producers.synthetic import Behaviour, Drift, Plan, generate
from segstream_producers.synthetic.population import STOPPED, customer_id, populate

DAYS: Final = 364
CUSTOMERS: Final = 300
# Of the level before: then the segments are back.
RECOVERED: Final = 0.9
# Apart in frequency and basket; nobody fades, so that without drift the population stands still.
SHOP: Final = (
    Behaviour("frequent_small", 0.25, 14.0, 8.0, units=2.0, visits=0.05),
    Behaviour("loyal_full", 0.30, 7.0, 90.0, units=25.0, visits=0.05),
    Behaviour("rare_big", 0.20, 2.4, 800.0, units=5.0, visits=0.1),
    Behaviour("occasional", 0.25, 3.0, 15.0, units=3.0, visits=0.1),
)
SETTINGS: Final = Settings(
    measures=(
        Measure("orders", ("purchase",), "order"),
        Measure("spend", ("purchase", "return"), "amount"),
        Measure("units", ("purchase", "return"), "quantity"),
    ),
    features=(
        Feature("orders_28d", "count", measure="orders", window_days=28, transform="log1p"),
        Feature("spend_28d", "sum", measure="spend", window_days=28, transform="log1p", least=0.0),
        Feature(
            "order_value", "mean", measure="spend", per="orders", window_days=28,
            transform="log1p", scale=10.0, least=0.0,
        ),
        Feature(
            "order_units", "mean", measure="units", per="orders", window_days=28,
            transform="log1p", scale=10.0, least=0.0,
        ),
    ),
    model=TrainerSettings(k="auto"),
    policy=PolicySettings(sweep_hours=24),
)  # fmt: skip
SCENARIOS: Final = {
    "none": Drift("none"),
    "seasonal": Drift("seasonal"),
    "abrupt": Drift("abrupt", segment="frequent_small", other="rare_big"),
    "gradual": Drift("gradual", segment="frequent_small", other="rare_big"),
    "new": Drift("new", share=0.2, segment="frequent_small", other="rare_big"),
    "vanish": Drift("vanish", segment="loyal_full", other="rare_big"),
    "split": Drift("split", segment="loyal_full", other="rare_big"),
    "merge": Drift("merge", segment="rare_big", other="loyal_full"),
}


@dataclass(frozen=True, slots=True)
class Day:
    """What the served model says of a day, beside the truth.

    Attributes
    ----------
    ari
        Of everybody's nearest segment with the planted one.
    of_planted
        Segment id that most customers of each planted segment have.
    left
        Segment ids most of whose customers have stopped buying for good.
    """

    day: int
    ari: float
    of_planted: dict[int, int]
    left: frozenset[int]


class Watcher(Trainer):
    """A trainer that notes how every day looks beside the truth."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        spec = compile_spec(settings)
        super().__init__(spec, settings.model, named_playbook(settings.playbook, spec))
        self._spec = spec
        self._begins = plan.start_ms // DAY_MS
        self._people = populate(plan)
        self._numbers = {text_hash(customer_id(n)): n for n in range(plan.customers)}
        self.days: list[Day] = []

    def close_day(
        self, state: TrainerState, totals: DayTotals, rows: PanelRows, first_ms: int
    ) -> TrainerState:
        """Step, then look."""
        after = super().close_day(state, totals, rows, first_ms)
        if after.model is not None:
            self._look(after.model, totals.day - self._begins, rows)
        return after

    def _look(self, model: Model, day: int, rows: PanelRows) -> None:
        panel = collect_panel(self._spec, rows, 0)
        labels = assign(model.centres, scaling_of(model).apply(panel.transformed)).labels
        members = [self._numbers[h] for h in panel.hashes.tolist()]
        planted = self._people.segment_on(day)[members]
        there = planted != STOPPED
        ids = np.array([s.id for s in model.segments])[labels]
        left = frozenset(i for i in set(ids.tolist()) if there[ids == i].mean() < 0.5)
        planted, labels, ids = planted[there], labels[there], ids[there]
        mostly = {int(p): int(np.bincount(ids[planted == p]).argmax()) for p in np.unique(planted)}
        self.days.append(Day(day, float(adjusted_rand_score(planted, labels)), mostly, left))


def replayed(plan: Plan) -> Replay:
    """Parse a plan's feed."""
    chunks, start = [], 0
    for lines in generate(plan):
        places = [str(start + i) for i in range(len(lines))]
        chunks.append(Chunk(start, lines, parse_json_lines(lines), places))
        start += len(lines)
    return Replay("planted", chunks)


def run(scenario: str, seed: int) -> Outcome:
    """Stream one scenario, and judge it."""
    plan = Plan(CUSTOMERS, DAYS, seed, segments=SHOP, drift=SCENARIOS[scenario])
    engine = Engine(SETTINGS, MemoryStore(), MemorySink())
    engine.trainer = watcher = Watcher(SETTINGS, plan)
    engine.run(replayed(plan))
    return judged(scenario, seed, plan, engine.trainer_state, watcher.days)


def judged(
    scenario: str, seed: int, plan: Plan, state: TrainerState, days: Sequence[Day]
) -> Outcome:
    """Compare what the trainer did with what was planted."""
    drifts = scenario not in ("none", "seasonal")
    at = plan.drift_day if drifts else plan.days
    begins = plan.start_ms // DAY_MS
    before = float(np.median([d.ari for d in days if at - 28 <= d.day < at]))
    later = [d for d in days if d.day >= at]
    calls = [c - begins for c in state.watch.calls]
    checks = [d.day - begins for d in state.decisions if d.taken != "no"]
    signs = sorted(d - at for d in (*calls, *checks) if d >= at)
    return Outcome(
        scenario,
        seed,
        len(state.model.segments) if state.model else 0,
        before,
        min((d.ari for d in later), default=before),
        days[-1].ari,
        signs[0] if signs else None,
        sum(c < at for c in calls),
        recovered(later, at, before),
        shown(plan) if drifts else 0,
        sum(c >= at for c in checks) if drifts else len(checks),
        named(scenario, plan, state, days),
    )


def shown(plan: Plan) -> int:
    """Days from the drift until the features show the whole of it."""
    people = populate(plan)
    days = np.concatenate([people.switch_day, people.joins_day])
    window = math.ceil(compile_spec(SETTINGS).longest_window_days)
    return int(days[days < plan.days].max()) - plan.drift_day + window


def recovered(later: Sequence[Day], at: int, before: float) -> int | None:
    """Days from the drift until ARI is back for good."""
    below = [d.day for d in later if d.ari < RECOVERED * before]
    if not below:
        return 0
    back = below[-1] + 1 - at
    return back if later and below[-1] < later[-1].day else None


def named(scenario: str, plan: Plan, state: TrainerState, days: Sequence[Day]) -> bool:
    """Whether the lineage after the drift says what was planted, and nothing else before it."""
    begins = plan.start_ms // DAY_MS
    drift = SCENARIOS[scenario]
    at = plan.drift_day if scenario not in ("none", "seasonal") else plan.days
    fates = [x for d in state.decisions if d.day - begins >= at for x in d.lineage]
    if scenario in ("none", "seasonal", "abrupt", "gradual"):
        every = [x for d in state.decisions for x in d.lineage]
        return all(x.fate == "survived" for x in every)
    last = [d for d in days if d.day < at][-1].of_planted
    one, other = last[plan.named(drift.segment)], last[plan.named(drift.other)]
    if scenario == "vanish" and one in days[-1].left:
        return True  # ids follow customers: what is left of it are those who stopped
    return any(_is_planted(scenario, x, one, other) for x in fates)


def _is_planted(scenario: str, descent: Descent, one: int, other: int) -> bool:
    if scenario == "new":
        return descent.fate == "new"
    if scenario == "vanish":
        return descent.fate == "retired" and descent.segment == one
    if scenario == "split":
        return descent.fate == "split" and descent.parents == (one,)
    return descent.fate == "merged" and set(descent.parents) == {one, other}


def outcomes(
    scenarios: Sequence[str], seeds: Sequence[int], processes: int | None = None
) -> Iterator[Outcome]:
    """Run every scenario with every seed, one process per core unless told otherwise."""
    cases = list(product(scenarios, seeds))
    # Numba compiles once, for all.
    yield run(*cases[0])
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=fresh) as pool:
        yield from pool.map(run, *zip(*cases[1:], strict=True)) if cases[1:] else ()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", action="append", choices=list(SCENARIOS))
    parser.add_argument("--processes", type=int, help="one per core unless told otherwise")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    seeds = range(given.first, given.first + given.seeds)
    found = list(outcomes(given.only or list(SCENARIOS), seeds, given.processes))
    if given.json:
        print(msgspec.json.encode(found).decode())
    else:
        print("\n".join((*table(found), *verdicts(found))))


if __name__ == "__main__":
    main()
