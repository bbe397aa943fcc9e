"""Who left the best segment lately and stayed away: the list worth acting on."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from segstream.core.spec import IntArray
from segstream.report.evidence import RECENT_DAYS, WINDOW_DAYS, Evidence
from segstream.report.moves import DAY_MS, OWN, Moves
from segstream.report.stories import SILENT_DAYS, sentence
from segstream.report.words import day_of

COLUMNS = (
    "customer_id", "left_on", "reason", "segment_now", "spend_90d_before", "orders_90d_before",
    "orders_since", "spend_since", "days_since_left", "last_order", "days_since_last_order",
    "why",
)  # fmt: skip
# Fewer days do not make a pace.
_PACE_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Leavers:
    """Sums over the list.

    Attributes
    ----------
    segment
        Name of the segment they left; None where no segment can be called best.
    spend_before
        What they had spent in the 90 days up to their last order before they left.
    silent, silent_spend_before
        Those of them without an order for 14 days or longer, and what they had spent.
    weekly_before, weekly_since
        Spend a week of those who left a week ago or longer, in those 90 days and since they
        left; None without anybody.
    """

    segment: str | None
    customers: int
    spend_before: float
    silent: int
    silent_spend_before: float
    weekly_before: float | None
    weekly_since: float | None


def left_best(moves: Moves, now: IntArray, best_id: int) -> IntArray:
    """Positions in `moves` of the last departure of each customer who is still away.

    A departure counts where the customer went to a segment that spends less, by something done or
    not done, within the last 30 days.
    """
    recent = moves.time_ms > moves.clock_ms - RECENT_DAYS * DAY_MS
    own_way_down = moves.because(*OWN) & (moves.direction == "down")
    found = np.flatnonzero(moves.living & recent & own_way_down & (moves.from_id == best_id))
    found = found[now[moves.who[found]] != best_id]
    last = np.ones(len(found), dtype=bool)
    last[:-1] = moves.who[found][1:] != moves.who[found][:-1]
    departures: IntArray = found[last]
    return departures


def leavers_frame(evidence: Evidence) -> pd.DataFrame:
    """One row per customer to act on; columns as `COLUMNS`.

    Those who have gone silent stand first, then by what they had spent.
    """
    if evidence.best_id is None:
        return pd.DataFrame(columns=list(COLUMNS))
    moves, customers = evidence.moves, evidence.view.customers
    now = customers["segment_id"].fillna(-1).to_numpy(dtype=np.int64)
    found = left_best(moves, now, evidence.best_id)
    who, day = moves.who[found], moves.day[found]
    today = np.full(len(who), evidence.today)
    last = evidence.recent.last_order(who, today + 1)
    # Up to the last order before they left: silence itself must not make the loss look small.
    until = evidence.recent.last_order(who, day + 1) + 1
    start = until - WINDOW_DAYS
    frame = pd.DataFrame(
        {
            "customer_id": customers["customer_id"].to_numpy()[who],
            "left_on": [day_of(d).date().isoformat() for d in day.tolist()],
            "reason": moves.reason[found],
            "segment_now": customers["segment"].to_numpy()[who],
            "spend_90d_before": evidence.recent.spend(who, start, until).round(2),
            "orders_90d_before": evidence.recent.orders(who, start, until),
            "orders_since": evidence.recent.orders(who, day + 1, today + 1),
            "spend_since": evidence.recent.spend(who, day + 1, today + 1).round(2),
            "days_since_left": today - day,
            "last_order": [day_of(d).date().isoformat() if d >= 0 else "" for d in last.tolist()],
            "days_since_last_order": evidence.today - last,
            "why": [sentence(evidence, i).why for i in found.tolist()],
        },
        columns=list(COLUMNS),
    )
    frame = frame.sort_values(
        ["spend_90d_before", "customer_id"], ascending=[False, True], ignore_index=True
    )
    buying = (frame["days_since_last_order"] < SILENT_DAYS).to_numpy()
    silent_first = np.argsort(buying, kind="stable")
    return frame.iloc[silent_first].reset_index(drop=True)


def leavers(evidence: Evidence, frame: pd.DataFrame) -> Leavers:
    """Sum the list up."""
    if evidence.best_id is None:
        return Leavers(None, 0, 0.0, 0, 0.0, None, None)
    silent = frame[frame["days_since_last_order"] >= SILENT_DAYS]
    before, since = _weekly(frame[frame["days_since_left"] >= _PACE_DAYS])
    return Leavers(
        evidence.view.segment_name(evidence.best_id),
        len(frame),
        float(frame["spend_90d_before"].sum()),
        len(silent),
        float(silent["spend_90d_before"].sum()),
        before,
        since,
    )


def _weekly(frame: pd.DataFrame) -> tuple[float | None, float | None]:
    """Spend a week before and since, each customer at their own pace."""
    if frame.empty:
        return None, None
    before = float((frame["spend_90d_before"] / WINDOW_DAYS).sum())
    since = float((frame["spend_since"] / frame["days_since_left"]).sum())
    return 7 * before, 7 * since
