"""How long a regular customer is silent before the stream says so."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from segstream.core.spec import IntArray
from segstream.report.moves import DAY_MS, Moves
from segstream.report.spending import Spending

REGULAR_ORDERS: Final = 15
REGULAR_DAYS: Final = 91


@dataclass(frozen=True, slots=True)
class Silence:
    """Spells in which a regular fell silent and was moved down by time alone.

    A regular has 15 or more orders in the 91 days that end with the last order. Spells that end
    with an order before any such change are not among them.

    Attributes
    ----------
    spells
        How many.
    days_median
        Whole days from the last order to the first `time` change downwards; None without spells.
    """

    spells: int
    days_median: float | None


def silence(moves: Moves, spending: Spending, first_model_ms: int) -> Silence:
    """Measure the spells that began after the first model."""
    days = silent_days(moves, spending, first_model_ms)
    return Silence(len(days), float(np.median(days)) if len(days) else None)


def silent_days(moves: Moves, spending: Spending, first_model_ms: int) -> IntArray:
    """Days from last order to first drop, one per spell."""
    drops = moves.living & moves.because("time") & (moves.direction == "down")
    who, day = moves.who[drops], moves.day[drops]
    last = spending.last_order(who, day + 1)
    # The first drop of a spell: the customer's drop before it belongs to an earlier last order.
    first = np.ones(len(who), dtype=bool)
    first[1:] = (who[1:] != who[:-1]) | (last[1:] != last[:-1])
    regular = spending.orders(who, last - REGULAR_DAYS + 1, last + 1) >= REGULAR_ORDERS
    kept = first & regular & (last >= first_model_ms // DAY_MS)
    days: IntArray = day[kept] - last[kept]
    return days
