"""What followed segment changes, out of what the role `insights` has read so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from segstream.adapters.insights_store import read_changes
from segstream.adapters.sqlite_store import SqliteStore
from segstream.core.ledger import L_SLOT, NO_LEDGER, rows_of_ledger
from segstream.core.model import Model
from segstream.core.spec import IntArray, text_hash
from segstream.core.trainer_state import TrainerState
from segstream.insights_partition import partition_directory
from segstream.report.evidence import evidence_of
from segstream.report.leavers import leavers_frame
from segstream.report.retrospect import Retrospect, retrospect
from segstream.settings import Settings, compile_spec
from segstream.view import View, empty_partition

# Looked at in one go: some hundred bytes each for every day and draw.
MOST_CUSTOMERS: Final = 50_000


@dataclass(frozen=True, slots=True)
class Read:
    """What was read up to one moment.

    Attributes
    ----------
    directory
        Of the role: orders and changes are read there.
    members
        Customer ids and their slots, by partition.
    segments
        Segment id by customer id.
    models
        Every model so far, oldest first.
    clock_ms, first_ms
        Event time of the newest and of the first event; -1 before it.
    """

    settings: Settings
    directory: Path
    members: Mapping[int, tuple[list[str], IntArray]]
    segments: Mapping[str, int]
    models: Sequence[Model]
    clock_ms: int
    first_ms: int


def look_back(read: Read, most: int = MOST_CUSTOMERS) -> Retrospect:
    """Say what followed the changes.

    Parameters
    ----------
    most
        Customers to look at; of more, those whose ids hash lowest.
    """
    members = _chosen(read.members, most)
    everybody = sum(len(ids) for ids, _ in read.members.values())
    view = PastView(read, members)
    evidence = evidence_of(view, "customer")
    listed = leavers_frame(evidence)
    return retrospect(evidence, listed, sample=len(view.customers) < everybody)


def _chosen(
    members: Mapping[int, tuple[list[str], IntArray]], most: int
) -> dict[int, tuple[list[str], IntArray]]:
    hashes = {p: np.array([text_hash(i) for i in ids]) for p, (ids, _) in members.items()}
    every = np.concatenate([np.zeros(0, dtype=np.int64), *hashes.values()])
    if len(every) <= most:
        return dict(members)
    bound = np.partition(every, most - 1)[most - 1]
    kept = {p: np.flatnonzero(found <= bound) for p, found in hashes.items()}
    return {
        p: ([ids[row] for row in kept[p].tolist()], slots[kept[p]])
        for p, (ids, slots) in members.items()
    }


class PastView(View):
    """A view of who is there, what they ordered and where they went; without their features.

    Parameters
    ----------
    members
        As of `Read`: those that are looked at.
    """

    def __init__(self, read: Read, members: Mapping[int, tuple[list[str], IntArray]]) -> None:
        spec, models = compile_spec(read.settings), list(read.models)
        ids = [i for found, _ in members.values() for i in found]
        rows = [_orders(read.directory, p, slots) for p, (_, slots) in members.items()]
        bases = np.cumsum([0, *(len(found) for found, _ in members.values())])
        for own, base in zip(rows, bases.tolist(), strict=False):
            own[:, L_SLOT] += base
        ledger = np.concatenate([NO_LEDGER, *rows]).tobytes()
        partition = empty_partition(read.settings, spec)
        super().__init__(read.settings, partition, TrainerState(), models, ledger, [])
        self._read, self._ids = read, ids

    @property
    def model(self) -> Model | None:
        """The newest model."""
        return self.models[-1] if self.models else None

    @cached_property
    def customers(self) -> pd.DataFrame:
        """Columns customer_id, slot (place in this table), segment_id and segment alone."""
        segments = [self._read.segments.get(i) for i in self._ids]
        return pd.DataFrame(
            {
                "customer_id": self._ids,
                "slot": np.arange(len(self._ids), dtype=np.int64),
                "segment_id": pd.array(segments, dtype="Int64"),
                "segment": ["unassigned" if s is None else self.segment_name(s) for s in segments],
            }
        )

    @cached_property
    def changes(self) -> pd.DataFrame:
        """See `segstream.adapters.insights_store.read_changes`."""
        return read_changes(self._read.directory, set(self._ids))

    @property
    def clock_ms(self) -> int:
        """See `View.clock_ms`."""
        return max(self._read.clock_ms, 0)

    @property
    def first_ms(self) -> int:
        """See `View.first_ms`."""
        return self._read.first_ms


def _orders(directory: Path, partition: int, slots: IntArray) -> IntArray:
    """Rows of the ledger of some slots, which ascend, each with its place among them."""
    store = SqliteStore.to_read(partition_directory(directory, partition))
    found = [NO_LEDGER]
    try:
        for body in store.ledger_blocks():
            rows = rows_of_ledger(body)
            rows = rows[np.isin(rows[:, L_SLOT], slots)]
            found.append(rows)
    finally:
        store.close()
    every = np.concatenate(found)
    every[:, L_SLOT] = np.searchsorted(slots, every[:, L_SLOT])
    return every
