"""The ledger: what each customer spent on each day, order by order, for reports.

Segments never depend on it. It lets a report say what followed a change: did those who left the
best segment stay away, and what had they spent before?
"""

from collections.abc import Iterable
from typing import Final

import numpy as np

from segstream.core.columns import Columns
from segstream.core.events import PURCHASE
from segstream.core.spec import IntArray

L_SLOT, L_DAY, L_ORDER, L_SPEND, L_IS_ORDER = range(5)
N_LEDGER: Final = 5
NO_LEDGER: Final[IntArray] = np.zeros((0, N_LEDGER), dtype=np.int64)
_DAY_MS: Final = 86_400_000


def merged_ledger(bodies: Iterable[bytes], first_day: int) -> bytes:
    """Make one block of rows of many, without those of days before one (since 1970)."""
    rows = rows_of_ledger(b"".join(bodies))
    return rows[rows[:, L_DAY] >= first_day].tobytes()


def ledger_without_slots(body: bytes, gone: IntArray) -> bytes | None:
    """Return rows without those of some slots; None where there are none of them."""
    rows = rows_of_ledger(body)
    kept = ~np.isin(rows[:, L_SLOT], gone)
    return None if kept.all() else rows[kept].tobytes()


def rows_of_ledger(body: bytes) -> IntArray:
    """Read rows that `ledger_rows` gave, as bytes in C order; shape (r, N_LEDGER)."""
    return np.frombuffer(body, dtype=np.int64).reshape(-1, N_LEDGER)


def ledger_rows(columns: Columns, spend_measure: int | None) -> IntArray:
    """One row per run of lines of one order on one day.

    Parameters
    ----------
    spend_measure
        Column of `adds` that is spend; None where the spec has none.

    Returns
    -------
    array, shape (r, N_LEDGER)
        Slot, day since 1970, order hash, spend in stored units, 1 for a purchase.
    """
    applied = columns.applied == 1
    if spend_measure is None or not applied.any():
        return NO_LEDGER
    slot = columns.slot[applied]
    day = columns.time_ms[applied] // _DAY_MS
    order = np.where(columns.order_hash == 0, columns.event_hash, columns.order_hash)[applied]
    bought = (columns.kind[applied] == PURCHASE).astype(np.int64)
    spend = columns.adds[applied, spend_measure]
    counts = (spend != 0) | (bought == 1)
    slot, day, order, bought, spend = (a[counts] for a in (slot, day, order, bought, spend))
    if not len(slot):
        return NO_LEDGER
    keys = np.stack((slot, day, order, bought), axis=1)
    starts = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]).any(axis=1)])
    return np.column_stack((keys[starts, :3], np.add.reduceat(spend, starts), keys[starts, 3]))
