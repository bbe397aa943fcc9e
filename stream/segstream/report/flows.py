"""Where customers went in the last 30 days, and how the segments grew."""

import numpy as np
import pandas as pd

from segstream.core.spec import IntArray
from segstream.report.evidence import RECENT_DAYS, Evidence
from segstream.report.moves import DAY_MS, Moves


def flows(moves: Moves, now: IntArray, recent_days: int = RECENT_DAYS) -> pd.DataFrame:
    """Customers by their segment 30 days ago and now, stayers included.

    Parameters
    ----------
    now : shape (n_living,)
        Published segment of each living customer, -1 for none.

    Returns
    -------
    DataFrame
        from_id, to_id (-1 for none), customers; the largest first.
    """
    before = moves.segment_at(moves.clock_ms - recent_days * DAY_MS)
    pairs = pd.DataFrame({"from_id": before, "to_id": now})
    counted = pairs.value_counts().rename("customers").reset_index()
    return counted.sort_values(
        ["customers", "from_id", "to_id"], ascending=[False, True, True], ignore_index=True
    )


def sizes(moves: Moves) -> pd.DataFrame:
    """Members of each segment at the end of each day.

    Returns
    -------
    DataFrame
        day (days since 1970), segment_id, customers; from the first segment on, whole days only
        besides the clock's own.
    """
    entered = moves.to_id >= 0
    if not entered.any():
        return pd.DataFrame({"day": [], "segment_id": [], "customers": []}, dtype=np.int64)
    first, past = int(moves.day[entered].min()), moves.clock_ms // DAY_MS + 1
    ids, segment = np.unique(moves.to_id[entered], return_inverse=True)
    steps = np.zeros((len(ids), past - first + 1), dtype=np.int64)
    np.add.at(steps, (segment, np.minimum(moves.day[entered], past) - first), 1)
    last = _last_of_customer(moves)[entered]
    left = np.minimum(moves.next_ms[entered] // DAY_MS, past) - first
    np.add.at(steps, (segment[~last], left[~last]), -1)
    members = steps.cumsum(axis=1)[:, : past - first]
    days = np.arange(first, past, dtype=np.int64)
    return pd.DataFrame(
        {
            "day": np.tile(days, len(ids)),
            "segment_id": np.repeat(ids, len(days)),
            "customers": members.ravel(),
        }
    )


def _last_of_customer(moves: Moves) -> "np.typing.NDArray[np.bool_]":
    last = np.ones(len(moves.who), dtype=bool)
    last[:-1] = moves.who[1:] != moves.who[:-1]
    return last


def waiting_sizes(evidence: Evidence) -> pd.DataFrame:
    """Customers seen so far who had no segment yet, for each day of the warm-up: day, customers."""
    first, past = evidence.first_ms // DAY_MS, evidence.model_ms // DAY_MS
    began = evidence.view.customers["first_event"].to_numpy(dtype="datetime64[D]").astype(np.int64)
    days = np.arange(first, past, dtype=np.int64)
    seen = np.searchsorted(np.sort(began), days, side="right")
    return pd.DataFrame({"day": days, "customers": seen})
