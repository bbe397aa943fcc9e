"""Hand-made changes and ledgers, counted in days from the first of January 2017."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from segstream.report.moves import DAY_MS, Moves, moves_of
from segstream.report.spending import Spending, spending_of

FIRST_DAY = 17_167
"""2017-01-01, days since 1970."""
Change = tuple[str, float, int | None, int | None, str, str]
"""Customer, day, from, to, reason, direction."""
Purchase = tuple[int, int, float]
"""Slot, day, spend; each an order of its own."""


def at(day: float) -> int:
    """Epoch milliseconds of a day of 2017, from 0."""
    return int((FIRST_DAY + day) * DAY_MS)


def changes(rows: Sequence[Change]) -> pd.DataFrame:
    """A frame as the view gives it, besides what nobody reads here."""
    frame = pd.DataFrame(
        rows, columns=["customer_id", "day", "from_id", "to_id", "reason", "direction"]
    )
    days = frame.pop("day").to_numpy(dtype=np.float64)
    frame["time"] = pd.to_datetime([at(day) for day in days], unit="ms", utc=True)
    for column in ("from_id", "to_id"):
        frame[column] = frame[column].astype("Int64")
    return frame


def moves(rows: Sequence[Change], ids: Sequence[str], until: float) -> Moves:
    """Moves up to a day."""
    return moves_of(changes(rows), list(ids), at(until))


def spending(purchases: Sequence[Purchase], customers: int) -> Spending:
    """Purchases of customers whose slots are 0, 1, 2 and so on."""
    return spending_of(ledger(purchases), np.arange(customers, dtype=np.int64))


def ledger(purchases: Sequence[Purchase]) -> pd.DataFrame:
    """A frame as the view gives it."""
    columns: dict[str, Any] = {
        "slot": [slot for slot, _, _ in purchases],
        "day": pd.to_datetime([FIRST_DAY + d for _, d, _ in purchases], unit="D", utc=True),
        "order": list(range(len(purchases))),
        "spend": [spend for _, _, spend in purchases],
        "bought": [True] * len(purchases),
    }
    return pd.DataFrame(columns)
