"""Changes as columns, customer by customer, and the memberships that follow from them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from segstream.core.likelihoods import ranks
from segstream.core.spec import IntArray

DAY_MS: Final = 86_400_000
NONE: Final = -1
OWN: Final = ("behaviour", "time")
"""Reasons that lie with the customer; the others come from the model or end a record."""
COUNTED: Final = ("behaviour", "time", "model", "recluster", "rollback")
"""Reasons that move a customer from one segment to another."""

BoolArray = npt.NDArray[np.bool_]
TextArray = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Moves:
    """One entry per change, ordered by customer and, within one, as published.

    Attributes
    ----------
    who
        Customer: position among the living, and numbers from `n_living` on for those gone. Who was
        erased and came back is somebody else.
    row
        Position in the frame of changes.
    from_id, to_id
        -1 for none.
    next_ms
        Time of the customer's next change; `clock_ms` where there is none.
    rank : shape (n_living,)
        Place of each living customer's id among all: chance goes by it, as the order of
        customers in a state is another one than in a log of several partitions.
    """

    n_living: int
    clock_ms: int
    who: IntArray
    row: IntArray
    time_ms: IntArray
    from_id: IntArray
    to_id: IntArray
    reason: TextArray
    direction: TextArray
    next_ms: IntArray
    rank: IntArray

    @property
    def day(self) -> IntArray:
        """UTC day of each change, days since 1970."""
        return self.time_ms // DAY_MS

    @property
    def living(self) -> BoolArray:
        """Whether the customer still has a record."""
        return self.who < self.n_living

    @property
    def who_living(self) -> IntArray:
        """Position of each change's customer; 0 stands in for those gone."""
        return np.where(self.living, self.who, 0)

    def because(self, *reasons: str) -> BoolArray:
        """Whether the change has one of these reasons."""
        return np.isin(self.reason, reasons)

    def segment_at(self, moment_ms: int) -> IntArray:
        """Published segment of each living customer at a moment, -1 for none; shape (n_living,)."""
        segment = np.full(self.n_living, NONE, dtype=np.int64)
        past = self.living & (self.time_ms <= moment_ms)
        # Entries stand in order, so the last assignment of a customer is the latest.
        segment[self.who[past]] = self.to_id[past]
        return segment


def moves_of(changes: pd.DataFrame, ids: list[str], clock_ms: int) -> Moves:
    """Lay changes out by customer.

    Parameters
    ----------
    changes
        As `segstream.view.View.changes`.
    ids
        Living customers.
    """
    known = pd.Index(ids).get_indexer(pd.Index(changes["customer_id"]))
    gone, _ = pd.factorize(changes["customer_id"])
    gone_then = (known < 0) | _before_erasure(changes)
    who = np.where(gone_then, len(ids) + gone, known).astype(np.int64)
    row = np.argsort(who, kind="stable")
    who = who[row]
    time_ms = _epoch_ms(changes["time"])[row]
    next_ms = np.full(len(row), clock_ms, dtype=np.int64)
    same = who[1:] == who[:-1]
    next_ms[:-1][same] = time_ms[1:][same]
    return Moves(
        n_living=len(ids),
        clock_ms=clock_ms,
        who=who,
        row=row.astype(np.int64),
        time_ms=time_ms,
        from_id=_segment_ids(changes["from_id"])[row],
        to_id=_segment_ids(changes["to_id"])[row],
        reason=changes["reason"].to_numpy(dtype=object)[row],
        direction=changes["direction"].to_numpy(dtype=object)[row],
        next_ms=next_ms,
        rank=ranks(ids),
    )


def _before_erasure(changes: pd.DataFrame) -> BoolArray:
    """Whether a change is an erasure, or one of the same customer came later."""
    erased = changes["reason"] == "erased"
    if not erased.any():
        return np.zeros(len(changes), dtype=bool)
    return erased[::-1].groupby(changes["customer_id"][::-1]).cummax()[::-1].to_numpy(dtype=bool)


def _epoch_ms(times: "pd.Series[pd.Timestamp]") -> IntArray:
    if not len(times):
        return np.zeros(0, dtype=np.int64)
    epoch: IntArray = times.to_numpy(dtype="datetime64[ms]").astype(np.int64)
    return epoch


def _segment_ids(column: "pd.Series[int]") -> IntArray:
    return np.asarray(column.fillna(NONE), dtype=np.int64)
