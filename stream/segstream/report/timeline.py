"""One customer's year: orders, the segments they were in, and why each change came."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from segstream.core.spec import FloatArray
from segstream.report.evidence import Evidence
from segstream.report.moves import DAY_MS, OWN, BoolArray, Moves
from segstream.report.stability import returned_ms
from segstream.report.stories import sentence

# Enough changes to tell a story, few enough to follow it.
STORY_CHANGES: Final = 4
_EARLY_ORDERS: Final = 10


@dataclass(frozen=True, slots=True)
class Timeline:
    """A customer's history.

    Attributes
    ----------
    orders
        day (timestamp), spend, orders.
    bands
        segment_id, name, start, end: what was published, in order.
    changes
        time, from_name, to_name, reason, why.
    """

    customer_id: str
    orders: pd.DataFrame
    bands: pd.DataFrame
    changes: pd.DataFrame


def instructive_customer(evidence: Evidence) -> int | None:
    """Position of a customer whose year shows most: changes both ways, with `time` among them.

    Scored: a drop by silence, a rise, both in this order, close to four changes, few of them
    undone or made by the model, and who spent most among equals.
    """
    scores = _story_scores(evidence)
    if not len(scores) or not np.isfinite(scores).any():
        return None
    return int(np.argmax(scores))


def _story_scores(evidence: Evidence) -> FloatArray:
    moves, n = evidence.moves, evidence.moves.n_living
    living = moves.living & (moves.from_id >= 0)

    def count(mask: BoolArray) -> FloatArray:
        return np.bincount(moves.who[living & mask], minlength=n).astype(np.float64)

    own = count(moves.because(*OWN))
    by_time = count(moves.because("time") & (moves.direction == "down"))
    up = count(moves.because("behaviour") & (moves.direction == "up"))
    back = count(returned_ms(moves) - moves.time_ms <= 28 * DAY_MS) - count(returned_ms(moves) < 0)
    model_made = count(~moves.because(*OWN))
    spending = evidence.spending
    came_back = _came_back(moves)
    total = spending.spend(evidence.everybody, evidence.days(0), evidence.days(evidence.today + 1))
    money = total / max(1.0, float(np.abs(total).max(initial=0.0)))
    score = (
        10.0 * (by_time > 0) + 10.0 * (up > 0) - 3.0 * np.abs(own - STORY_CHANGES)
        + 5.0 * came_back + 5.0 * _known_early(evidence) - 2.0 * back - 2.0 * model_made + money
    )  # fmt: skip
    return np.where(own > 0, score, -np.inf)


def _came_back(moves: Moves) -> BoolArray:
    """Whether a customer dropped by silence and moved up again later; shape (n_living,)."""
    dropped = np.full(moves.n_living, len(moves.who), dtype=np.int64)
    rose = np.full(moves.n_living, -1, dtype=np.int64)
    down = np.flatnonzero(moves.living & moves.because("time") & (moves.direction == "down"))
    up = np.flatnonzero(moves.living & moves.because("behaviour") & (moves.direction == "up"))
    dropped[moves.who[down][::-1]] = down[::-1]
    rose[moves.who[up]] = up
    return rose > dropped


def _known_early(evidence: Evidence) -> BoolArray:
    """Whether a customer had ten orders before the first model."""
    day = evidence.days(evidence.model_ms // DAY_MS)
    orders = evidence.spending.orders(evidence.everybody, evidence.days(0), day)
    return orders >= _EARLY_ORDERS


def timeline(evidence: Evidence, who: int) -> Timeline:
    """Lay out the history of the customer at a position."""
    moves, view = evidence.moves, evidence.view
    rows = np.flatnonzero(moves.who == who)
    customer = view.customers.iloc[who]
    mine = view.ledger[view.ledger["slot"] == customer["slot"]]
    orders = mine.groupby("day", as_index=False).agg(
        spend=("spend", "sum"), orders=("bought", "sum")
    )
    bands = pd.DataFrame(
        {
            "segment_id": moves.to_id[rows],
            "name": [view.segment_name(i) for i in moves.to_id[rows].tolist()],
            "start": pd.to_datetime(moves.time_ms[rows], unit="ms", utc=True),
            "end": pd.to_datetime(moves.next_ms[rows], unit="ms", utc=True),
        }
    )
    told = [(i, sentence(evidence, i)) for i in rows.tolist() if moves.from_id[i] >= 0]
    changes = pd.DataFrame(
        [
            (pd.Timestamp(int(moves.time_ms[i]), unit="ms", tz="UTC"),
             s.from_name, s.to_name, int(moves.to_id[i]), s.reason, s.why)
            for i, s in told
        ],
        columns=["time", "from_name", "to_name", "to_id", "reason", "why"],
    )  # fmt: skip
    return Timeline(customer["customer_id"], orders, bands[bands["segment_id"] >= 0], changes)
