"""No-op refits: whether customers stay where they are when nothing has changed.

A model fitted on one bootstrap sample of a feed's last panel meets another sample of it, and the
next day a third. Beside the gate stand a refit whose labels are taken as they come, and one whose
labels are only matched to the old ones.

    python -m benchmarks.noop
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from sklearn.metrics import adjusted_rand_score

from benchmarks.feeds import FEEDS, Feed, parse
from benchmarks.results import Row, row
from benchmarks.streaming import stream
from segstream.adapters.playbook_files import named_playbook
from segstream.core import layout as at
from segstream.core.fitting import assign, fit_scaling, fresh, panel_vectors
from segstream.core.generations import scaling_of
from segstream.core.identity import match
from segstream.core.model import Model
from segstream.core.partition import DayTotals, PanelRows
from segstream.core.spec import CompiledSpec, FloatArray, IntArray
from segstream.core.trainer import Trainer
from segstream.core.trainer_state import TrainerState
from segstream.settings import Settings, compile_spec

K: Final = (4, 5, 6, 7)
KEPT: Final = 0.95
# Of the seeds.
ENOUGH: Final = 0.9
FIRST_DAY: Final = 20_000
# Past the first model's cooldown: the check, and the gate a day later.
CHECKED: Final = (FIRST_DAY + 20, FIRST_DAY + 21)


@dataclass(frozen=True, slots=True)
class Kept:
    """Share of the customers whose segment stays, by what is done to the labels.

    Attributes
    ----------
    ari
        Of a fit on everybody with a fit on the sample: how well defined the segments are at all.
    """

    feed: str
    k: int
    seed: int
    raw: float
    matched: float
    gated: float
    ari: float


def last_panel(feed: Feed, settings: Settings) -> FloatArray:
    """Raw features of everybody at the end of a feed, shape (n, F)."""
    _, raw, _ = stream(parse(feed), settings).view.vectors
    return raw


def sample(raw: FloatArray, generator: np.random.Generator) -> PanelRows:
    """A bootstrap sample as a day's panel; who is drawn twice is two members, each day the same."""
    n = len(raw)
    drawn = np.sort(generator.integers(0, n, n))
    copy = np.arange(n) - np.searchsorted(drawn, drawn)
    keys = np.zeros((n, at.N_PANEL_COLUMNS), dtype=np.int64)
    keys[:, at.P_HASH] = 1 + drawn * n + copy
    keys[:, at.P_EVENT] = at.NOT_AN_EVENT
    return PanelRows(keys, np.ascontiguousarray(raw[drawn]))


def ids_under(spec: CompiledSpec, model: Model, raw: FloatArray) -> IntArray:
    """Nearest segment's id of everybody."""
    vectors = scaling_of(model).apply(panel_vectors(spec, raw))
    return np.array([s.id for s in model.segments])[assign(model.centres, vectors).labels]


def refit(spec: CompiledSpec, rows: PanelRows, raw: FloatArray, k: int, seed: int) -> IntArray:
    """Labels that a fit on a sample gives everybody."""
    transformed = panel_vectors(spec, rows.raw)
    scaling = fit_scaling(spec, transformed)
    fitted = fresh(scaling.apply(transformed), k, 10, seed)
    return assign(fitted.centres, scaling.apply(panel_vectors(spec, raw))).labels


def kept(feed: str, raw: FloatArray, settings: Settings, k: int, seed: int) -> Kept:
    """One seed's outcome."""
    spec, generator = compile_spec(settings), np.random.default_rng(seed)
    model = msgspec.structs.replace(settings.model, k=k, seed=seed, learner="none")
    trainer = Trainer(spec, model, named_playbook(settings.playbook, spec))
    days = [sample(raw, generator) for _ in range(3)]
    state = TrainerState()
    first: Model | None = None
    for day, rows in zip((FIRST_DAY, *CHECKED), days, strict=True):
        state = trainer.close_day(state, DayTotals(day, (), (), ()), rows, 0)
        first = first or state.model
    if first is None or state.model is None:
        raise AssertionError(state.waiting)
    old = refit(spec, days[0], raw, k, seed)
    new = refit(spec, days[1], raw, k, seed + 1)
    whole = refit(spec, PanelRows(days[1].keys, raw), raw, k, seed)
    return Kept(
        feed,
        k,
        seed,
        float((old == new).mean()),
        float((match(old, new, k, k)[new] == old).mean()),
        float((ids_under(spec, first, raw) == ids_under(spec, state.model, raw)).mean()),
        float(adjusted_rand_score(whole, new)),
    )


def table(found: Sequence[Kept]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield (
        "| feed | k | labels as they come | matched | with the gate | seeds with 95 % kept |"
        " batch against its bootstraps: ARI, lower quartile |"
    )
    yield "|---|---|---|---|---|---|---|"
    for feed, k in dict.fromkeys((o.feed, o.k) for o in found):
        same = [o for o in found if (o.feed, o.k) == (feed, k)]
        medians = [np.median([getattr(o, f) for o in same]) for f in ("raw", "matched", "gated")]
        well = sum(o.gated >= KEPT for o in same)
        shares = " | ".join(f"{m:.0%}" for m in medians)
        ari = np.quantile([o.ari for o in same], 0.25)
        yield f"| {feed} | {k} | {shares} | {well} of {len(same)} | {ari:.2f} |"


def rows(found: Sequence[Kept]) -> Iterator[Row]:
    """Rows of the result file: the share of the seeds in which customers stay."""
    for feed, k in dict.fromkeys((o.feed, o.k) for o in found):
        well = [o.gated >= KEPT for o in found if (o.feed, o.k) == (feed, k)]
        case = f"quality/noop/{feed.lower().replace(' ', '_')}/k={k}"
        yield row(case, "share of seeds", [sum(well) / len(well)], ENOUGH, "higher")


def outcomes(seeds: int) -> Iterator[Kept]:
    """Every feed that is there, at every k."""
    settings = Settings()
    for feed in (feed for feed in FEEDS if feed.present()):
        raw = last_panel(feed, settings)
        for k in K:
            yield from (kept(feed.title, raw, settings, k, seed) for seed in range(seeds))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args(arguments)
    print("\n".join(table(list(outcomes(given.seeds)))))


if __name__ == "__main__":
    main()
