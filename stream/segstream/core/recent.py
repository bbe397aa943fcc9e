"""Orders and spend of the last days, out of records: what the longest window keeps of them.

The ledger of a state directory goes back to the first event; a record goes back as far as its
tiles, and knows the last order beyond.
"""

from dataclasses import dataclass

import numpy as np

from segstream.core.compiled import allocating
from segstream.core.layout import LENGTH, OFFSET, TILES, Layout, Records
from segstream.core.ledger import N_LEDGER, NO_LEDGER
from segstream.core.spec import CompiledSpec, IntArray, spend_measure

HOURS_PER_DAY = 24
# Columns of what `recent_days` returns.
R_ROW, R_DAY, R_ORDERS, R_SPEND = range(4)
N_RECENT = 4


@dataclass(frozen=True, slots=True)
class Bought:
    """Where a record has what was bought.

    Attributes
    ----------
    orders, spend
        Measures.
    slot
        Recency slot of the orders; None where no feature asks for one.
    """

    orders: int
    spend: int
    slot: int | None


def bought_of(spec: CompiledSpec) -> Bought | None:
    """Find the measures of all orders and of spend; None where one of them is missing."""
    spend = spend_measure(spec)
    for index, measure in enumerate(spec.measures):
        whole = measure.value == "order" and measure.types == ("purchase",) and not measure.where
        if whole and spend is not None:
            slots = spec.arrays.slot_measure.tolist()
            return Bought(index, spend, slots.index(index) if index in slots else None)
    return None


@allocating
def recent_days(
    layout: Layout, records: Records, rows: IntArray, hour: int, orders: int, spend: int
) -> IntArray:
    """Orders and spend by day of what the longest window reaches at `hour`; shape (n, N_RECENT).

    Columns: index into `rows`, day since 1970, orders, spend in stored units; by row and day.
    """
    width = 1 + layout.n_measures
    room = 0
    for i in range(len(rows)):
        room += records.lists[rows[i], 3 * TILES + LENGTH] // width
    found = np.empty((room, N_RECENT), dtype=np.int64)
    n = 0
    for i in range(len(rows)):
        offset = records.lists[rows[i], 3 * TILES + OFFSET]
        for at in range(offset, offset + records.lists[rows[i], 3 * TILES + LENGTH], width):
            count, amount = records.arena[at + 1 + orders], records.arena[at + 1 + spend]
            if hour - records.arena[at] >= layout.keep_hours or (count == 0 and amount == 0):
                continue
            day = records.arena[at] // HOURS_PER_DAY
            if n == 0 or found[n - 1, R_ROW] != i or found[n - 1, R_DAY] != day:
                found[n, R_ROW], found[n, R_DAY] = i, day
                found[n, R_ORDERS], found[n, R_SPEND] = 0, 0
                n += 1
            found[n - 1, R_ORDERS] += count
            found[n - 1, R_SPEND] += amount
    return found[:n].copy()


def recent_ledger(recent: IntArray, last_days: IntArray) -> IntArray:
    """Lay recent days out as rows of `segstream.core.ledger`; the row's index is its slot.

    Parameters
    ----------
    last_days
        Day of each row's last order, below 0 where it had none: told where it is beyond reach.
    """
    if not len(last_days):
        return NO_LEDGER
    counts = np.maximum(recent[:, R_ORDERS], 1)
    first = np.cumsum(counts) - counts
    rows = np.zeros((int(counts.sum()), N_LEDGER), dtype=np.int64)
    rows[:, :2] = np.repeat(recent[:, : R_DAY + 1], counts, axis=0)
    rows[:, 2] = np.arange(1, len(rows) + 1)  # an order's hash is not known: a number stands for it
    rows[first, 3] = recent[:, R_SPEND]
    rows[:, 4] = np.repeat(recent[:, R_ORDERS] > 0, counts)
    ordered = np.unique(recent[recent[:, R_ORDERS] > 0, R_ROW])
    beyond = np.setdiff1d(np.flatnonzero(last_days >= 0), ordered)
    older = np.zeros((len(beyond), N_LEDGER), dtype=np.int64)
    older[:, 0], older[:, 1], older[:, 4] = beyond, last_days[beyond], 1
    older[:, 2] = np.arange(len(rows) + 1, len(rows) + 1 + len(beyond))
    return np.concatenate((rows, older))
