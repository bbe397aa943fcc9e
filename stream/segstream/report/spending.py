"""Who spent and ordered how much between two days: one sorted running sum over the ledger."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from segstream.core.spec import FloatArray, IntArray

NO_DAY: Final = -1


@dataclass(frozen=True, slots=True)
class Spending:
    """The ledger of the living customers, ready for questions about any of their days.

    Attributes
    ----------
    first_day, past_day
        Days since 1970: the first with an entry, and the one after the last.
    """

    first_day: int
    past_day: int
    _spend_keys: IntArray
    _spend_sums: FloatArray
    _order_keys: IntArray

    @property
    def span(self) -> int:
        """Days covered."""
        return self.past_day - self.first_day

    @property
    def empty(self) -> bool:
        """Whether nobody spent anything, or nothing says what was spent."""
        return not len(self._spend_keys)

    def spend(self, who: IntArray, first_day: IntArray, past_day: IntArray) -> FloatArray:
        """Spend of customers on days `first_day <= day < past_day`, returns subtracted."""
        start = np.searchsorted(self._spend_keys, self._keys(who, first_day))
        stop = np.searchsorted(self._spend_keys, self._keys(who, past_day))
        sums: FloatArray = self._spend_sums[stop] - self._spend_sums[start]
        return sums

    def orders(self, who: IntArray, first_day: IntArray, past_day: IntArray) -> IntArray:
        """Orders of customers on days `first_day <= day < past_day`."""
        start = np.searchsorted(self._order_keys, self._keys(who, first_day))
        stop = np.searchsorted(self._order_keys, self._keys(who, past_day))
        return (stop - start).astype(np.int64)

    def last_order(self, who: IntArray, past_day: IntArray) -> IntArray:
        """Day of each customer's last order before `past_day`; -1 for none."""
        if not len(self._order_keys):
            return np.full(len(who), NO_DAY, dtype=np.int64)
        before = np.searchsorted(self._order_keys, self._keys(who, past_day)) - 1
        key = self._order_keys[np.maximum(before, 0)]
        found = (before >= 0) & (key // self._width == who)
        return np.where(found, key % self._width + self.first_day, NO_DAY)

    @property
    def _width(self) -> int:
        return self.span + 1

    def _keys(self, who: IntArray, day: IntArray) -> IntArray:
        return who * self._width + np.clip(day - self.first_day, 0, self.span)


def spending_of(ledger: pd.DataFrame, slots: IntArray) -> Spending:
    """Index a ledger.

    Parameters
    ----------
    ledger
        As `segstream.view.View.ledger`.
    slots
        Of the living customers; entries of others are left out.
    """
    who = pd.Index(slots).get_indexer(pd.Index(ledger["slot"]))
    kept = ledger[who >= 0]
    who = who[who >= 0].astype(np.int64)
    if not len(kept):
        none = np.zeros(0, dtype=np.int64)
        return Spending(0, 0, none, np.zeros(1), none)
    day = kept["day"].to_numpy(dtype="datetime64[D]").astype(np.int64)
    first, past = int(day.min()), int(day.max()) + 1
    keys = who * (past - first + 1) + day - first
    order = np.argsort(keys, kind="stable")
    sums = np.concatenate(([0.0], np.cumsum(kept["spend"].to_numpy(dtype=np.float64)[order])))
    return Spending(first, past, keys[order], sums, _order_keys(kept, keys))


def _order_keys(ledger: pd.DataFrame, keys: IntArray) -> IntArray:
    """One key per order, on its first day."""
    bought = ledger["bought"].to_numpy(dtype=bool)
    orders = pd.DataFrame(
        {
            "slot": ledger["slot"].to_numpy()[bought],
            "order": ledger["order"].to_numpy()[bought],
            "key": keys[bought],
        }
    )
    firsts = orders.groupby(["slot", "order"], sort=False)["key"].min()
    return np.sort(firsts.to_numpy(dtype=np.int64))
