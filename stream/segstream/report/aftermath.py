"""What movers spend in the eight weeks after a change, beside those who stayed that day.

A comparison of figures, not the effect of anything: nobody was assigned to move or to stay.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from segstream.core.spec import FloatArray, IntArray
from segstream.report.moves import DAY_MS, OWN, BoolArray, Moves
from segstream.report.spending import Spending

AFTER_DAYS: Final = 56
BOOTSTRAPS: Final = 200
# More stayers would not move their daily means; they would only take time.
MAX_STAYERS: Final = 5_000
_INTERVAL: Final = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Aftermath:
    """One kind of mover against the stayers.

    Attributes
    ----------
    kind
        `moved_up`, `fell_silent` or `left_best`.
    changes, customers
        Changes with eight weeks of data after them, and how many customers made them.
    spend, stayers_spend
        Mean spend in the 56 days after the day of the change; that of the stayers is the mean,
        over the same changes, of the mean of those who stayed in the former segment that day.
    ratio, low, high
        Movers over stayers, with a 95 % interval from resampled customers; None where the
        stayers spent nothing.
    """

    kind: str
    changes: int
    customers: int
    spend: float
    stayers_spend: float
    ratio: float | None
    low: float | None
    high: float | None


def aftermath(
    moves: Moves, spending: Spending, best_id: IntArray, last_day: int, seed: int
) -> list[Aftermath]:
    """Compare the three kinds of movers with stayers.

    Parameters
    ----------
    best_id : shape (n,)
        The segment that spent most under the model of each change.
    last_day
        The last whole day of data.

    Returns
    -------
    list
        Kinds with at least one change.
    """
    judged = moves.living & (moves.from_id >= 0) & (moves.day + AFTER_DAYS <= last_day)
    kinds = {kind: mask & judged for kind, mask in movers(moves, best_id).items()}
    if spending.empty or not any(mask.any() for mask in kinds.values()):
        return []
    stayers = _stayers(moves, spending, last_day, seed)
    return [
        found
        for kind, mask in kinds.items()
        if (found := _compare(kind, moves, spending, mask, stayers)) is not None
    ]


def movers(moves: Moves, best_id: IntArray) -> dict[str, BoolArray]:
    """Which changes are of which kind; those the model made are of none."""
    own, down = moves.because(*OWN), moves.direction == "down"
    return {
        "moved_up": own & (moves.direction == "up"),
        "fell_silent": moves.because("time") & down,
        "left_best": own & down & (moves.from_id == best_id),
    }


@dataclass(frozen=True, slots=True)
class _Stayers:
    """Sums over stayers per draw, segment and day; draw 0 is the data itself.

    Attributes
    ----------
    draws : shape (1 + bootstraps, n_living)
        How often each customer is in each draw.
    sums, counts : shape (1 + bootstraps, segments, days)
    """

    ids: IntArray
    first_day: int
    draws: FloatArray
    sums: FloatArray
    counts: FloatArray

    def means(self, from_id: IntArray, day: IntArray) -> FloatArray:
        """Mean spend of the stayers of a segment on a day, per draw; NaN where nobody stayed."""
        segment = np.searchsorted(self.ids, from_id)
        column = day - self.first_day
        sums, counts = self.sums[:, segment, column], self.counts[:, segment, column]
        return np.where(counts > 0, sums / np.maximum(counts, 1e-12), np.nan)


def _stayers(moves: Moves, spending: Spending, last_day: int, seed: int) -> _Stayers:
    first_day = int(moves.day.min())
    days = np.arange(first_day, last_day - AFTER_DAYS + 1, dtype=np.int64)
    step = -(-moves.n_living // MAX_STAYERS)
    sample = np.flatnonzero(moves.rank % step == 0)
    segment, changed = daily_segments(moves, sample, days)
    who, day = np.repeat(sample, len(days)), np.tile(days, len(sample))
    after = spending.spend(who, day + 1, day + 1 + AFTER_DAYS).reshape(segment.shape)
    draws = _draws(moves.n_living, seed)[:, moves.rank]
    ids = np.unique(moves.from_id[moves.from_id >= 0])
    sums = np.zeros((len(draws), len(ids), len(days)))
    counts = np.zeros_like(sums)
    with threadpool_limits(1):  # one thread: sums in one order
        for i, segment_id in enumerate(ids.tolist()):
            stayed = ((segment == segment_id) & ~changed).astype(np.float64)
            sums[:, i] = draws[:, sample] @ (after * stayed)
            counts[:, i] = draws[:, sample] @ stayed
    return _Stayers(ids, first_day, draws, sums, counts)


def daily_segments(moves: Moves, who: IntArray, days: IntArray) -> tuple[IntArray, BoolArray]:
    """Segment at the end of each day, and whether it changed on it; shapes (customers, days).

    Parameters
    ----------
    who
        Living customers, ascending.
    days
        Consecutive, from the day of the first change or later.
    """
    row = np.searchsorted(who, moves.who)
    chosen = (row < len(who)) & (who[np.minimum(row, len(who) - 1)] == moves.who)
    chosen &= moves.day <= days[-1]
    column = np.maximum(moves.day[chosen] - days[0], 0)
    latest = np.full((len(who), len(days)), -1, dtype=np.int64)
    latest[row[chosen], column] = np.flatnonzero(chosen)
    changed = np.zeros(latest.shape, dtype=bool)
    on_days = moves.day[chosen] >= days[0]
    changed[row[chosen][on_days], column[on_days]] = True
    latest = np.maximum.accumulate(latest, axis=1)
    return np.where(latest >= 0, moves.to_id[np.maximum(latest, 0)], -1), changed


def _draws(n: int, seed: int) -> FloatArray:
    generator = np.random.default_rng(seed)
    draws = np.ones((1 + BOOTSTRAPS, n))
    for i in range(1, len(draws)):
        draws[i] = np.bincount(generator.integers(0, n, n), minlength=n)
    return draws


def _compare(
    kind: str, moves: Moves, spending: Spending, mask: BoolArray, stayers: _Stayers
) -> Aftermath | None:
    who, day = moves.who[mask], moves.day[mask]
    theirs = stayers.means(moves.from_id[mask], day)
    matched = ~np.isnan(theirs[0])
    if not matched.any():
        return None
    who, day, theirs = who[matched], day[matched], theirs[:, matched]
    own = spending.spend(who, day + 1, day + 1 + AFTER_DAYS)
    weight = np.where(np.isnan(theirs), 0.0, stayers.draws[:, who])
    movers_sum = weight @ own
    stayers_sum = (weight * np.nan_to_num(theirs)).sum(axis=1)
    n = len(who)
    ratio, low, high = _interval(movers_sum, stayers_sum)
    return Aftermath(
        kind, n, len(np.unique(who)), float(movers_sum[0]) / n, float(stayers_sum[0]) / n,
        ratio, low, high,
    )  # fmt: skip


def _interval(
    movers_sum: FloatArray, stayers_sum: FloatArray
) -> tuple[float | None, float | None, float | None]:
    if stayers_sum[0] <= 0:
        return None, None, None
    ratio = float(movers_sum[0] / stayers_sum[0])
    known = stayers_sum[1:] > 0
    if not known.any():
        return ratio, None, None
    low, high = np.quantile(movers_sum[1:][known] / stayers_sum[1:][known], _INTERVAL)
    return ratio, float(low), float(high)


def whole_days_until(clock_ms: int) -> int:
    """Last day that is over by the clock, days since 1970."""
    return clock_ms // DAY_MS - 1
