"""Can a change be trusted: how many there are, how many are undone, how early they come."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from segstream.core.spec import FloatArray, IntArray
from segstream.report.moves import COUNTED, DAY_MS, OWN, BoolArray, Moves

UNDONE_DAYS: Final = 28
YEAR_DAYS: Final = 365.0
# A rate per year says nothing about somebody watched for a week.
MIN_WATCHED_DAYS: Final = 90


@dataclass(frozen=True, slots=True)
class Rate:
    """Changes per customer-year of one reason, or of `all`.

    Attributes
    ----------
    changes
        Of customers who are still there.
    mean
        Changes over customer-years: a customer counts from its first segment on.
    median, p90
        Over customers watched for at least 90 days; None where there are none.
    """

    reason: str
    changes: int
    mean: float
    median: float | None
    p90: float | None


@dataclass(frozen=True, slots=True)
class Undone:
    """Changes from A to B after which the customer is in A again within 28 days.

    Attributes
    ----------
    changes
        Those with 28 days of data after them: only they can be judged.
    share
        None without such changes.
    """

    reason: str
    changes: int
    undone: int
    share: float | None


@dataclass(frozen=True, slots=True)
class Lead:
    """How much earlier than a notebook run at each month's end.

    Attributes
    ----------
    days_median
        From a change to the first instant of the next month; None without changes.
    missed_share
        Of changes no longer in place then: a notebook would never have seen them.
    """

    changes: int
    days_median: float | None
    missed_share: float | None


def changes_by_reason(moves: Moves) -> dict[str, int]:
    """Count every change, first ones included."""
    reasons, counts = np.unique(moves.reason.astype(str), return_counts=True)
    return dict(zip(reasons.tolist(), counts.tolist(), strict=True))


def rates(moves: Moves) -> list[Rate]:
    """Changes per customer-year, `all` first; first segments are not changes."""
    began = watched_since(moves)
    seen = began >= 0
    days = (moves.clock_ms - began[seen]) / DAY_MS
    if not len(days) or days.sum() <= 0:
        return []
    counted = moves.living & moves.because(*COUNTED)
    every = [_rate("all", counted, moves, seen, days)]
    found = [r for r in COUNTED if (counted & moves.because(r)).any()]
    return every + [_rate(r, counted & moves.because(r), moves, seen, days) for r in found]


def watched_since(moves: Moves) -> IntArray:
    """Time of each living customer's first segment, epoch ms; -1 for none; shape (n_living,)."""
    began = np.full(moves.n_living, -1, dtype=np.int64)
    entered = moves.living & (moves.to_id >= 0)
    # Backwards, so that the earliest is assigned last.
    began[moves.who[entered][::-1]] = moves.time_ms[entered][::-1]
    return began


def _rate(reason: str, mask: BoolArray, moves: Moves, seen: BoolArray, days: FloatArray) -> Rate:
    per_customer = np.bincount(moves.who[mask], minlength=moves.n_living)[seen]
    long = days >= MIN_WATCHED_DAYS
    yearly = per_customer[long] * YEAR_DAYS / days[long]
    return Rate(
        reason,
        int(mask.sum()),
        float(per_customer.sum() * YEAR_DAYS / days.sum()),
        float(np.median(yearly)) if len(yearly) else None,
        float(np.quantile(yearly, 0.9)) if len(yearly) else None,
    )


def undone(moves: Moves) -> list[Undone]:
    """Shares of changes undone, `all` first."""
    judged = moves.because(*COUNTED) & (moves.time_ms + UNDONE_DAYS * DAY_MS <= moves.clock_ms)
    back = returned_ms(moves)
    gone_back = judged & (back >= 0) & (back - moves.time_ms <= UNDONE_DAYS * DAY_MS)
    rows = [_undone("all", judged, gone_back)]
    for reason in COUNTED:
        mask = judged & moves.because(reason)
        if mask.any():
            rows.append(_undone(reason, mask, gone_back & mask))
    return rows


def _undone(reason: str, judged: BoolArray, gone_back: BoolArray) -> Undone:
    n, back = int(judged.sum()), int(gone_back.sum())
    return Undone(reason, n, back, back / n if n else None)


def returned_ms(moves: Moves) -> IntArray:
    """When the customer next entered the segment that the change left; -1 for never."""
    n = len(moves.who)
    if not n:
        return np.zeros(0, dtype=np.int64)
    # One number per customer and segment, then per position: later positions are later changes.
    width = int(max(moves.to_id.max(), moves.from_id.max())) + 2
    entered = moves.who * width + moves.to_id + 1
    wanted = moves.who * width + moves.from_id + 1
    position = np.arange(n, dtype=np.int64)
    keys = np.sort(entered * n + position)
    at = np.searchsorted(keys, wanted * n + position, side="right")
    key = keys[np.minimum(at, n - 1)]
    found = (at < n) & (key // n == wanted) & (moves.from_id >= 0)
    return np.where(found, moves.time_ms[key % n], -1)


def month_end_lead(moves: Moves) -> Lead:
    """How many days before the next month end the customer's own changes are out."""
    own = moves.because(*OWN) & (moves.from_id >= 0)
    if not own.any():
        return Lead(0, None, None)
    seen_ms = next_month_ms(moves.time_ms[own])
    days = (seen_ms - moves.time_ms[own]) / DAY_MS
    past = seen_ms <= moves.clock_ms
    missed = moves.next_ms[own][past] < seen_ms[past]
    share = float(missed.mean()) if len(missed) else None
    return Lead(int(own.sum()), float(np.median(days)), share)


def next_month_ms(time_ms: IntArray) -> IntArray:
    """First instant of the month after each moment, epoch ms, UTC."""
    months = time_ms.astype("datetime64[ms]").astype("datetime64[M]") + np.timedelta64(1, "M")
    return months.astype("datetime64[ms]").astype(np.int64)
