"""Records as the store takes and gives them: one by one, or as the columns of many."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, overload

import numpy as np

from segstream.core.spec import IntArray


class StoredRecord(NamedTuple):
    """A record as the store keeps it; `slot` is its place in the order of first events."""

    slot: int
    customer_id: str
    blob: bytes


@dataclass(frozen=True, slots=True)
class StoredRows(Sequence[StoredRecord]):
    """Many records in four pieces: a batch of ten thousand makes no object for each.

    Attributes
    ----------
    slots : shape (n,)
    ids
        Customer ids, as long as `slots`.
    payload
        The records end to end.
    ends : shape (n,), where each one ends within `payload`
    """

    slots: IntArray
    ids: Sequence[str]
    payload: bytes
    ends: IntArray

    @classmethod
    def of(cls, records: Iterable[StoredRecord]) -> "StoredRows":
        """Lay records end to end; what is laid out already stays as it is."""
        if isinstance(records, cls):
            return records
        found = list(iter(records))
        blobs = [record.blob for record in found]
        return cls(
            np.array([record.slot for record in found], dtype=np.int64),
            [record.customer_id for record in found],
            b"".join(blobs),
            np.cumsum([len(blob) for blob in blobs], dtype=np.int64),
        )

    def blobs(self) -> list[bytes]:
        """The records one by one."""
        payload = self.payload
        return [payload[start:end] for start, end in pairwise((0, *self.ends.tolist()))]

    def __len__(self) -> int:
        return len(self.slots)

    def __iter__(self) -> Iterator[StoredRecord]:
        bounds = pairwise((0, *self.ends.tolist()))
        for slot, customer_id, (start, end) in zip(
            self.slots.tolist(), self.ids, bounds, strict=True
        ):
            yield StoredRecord(slot, customer_id, self.payload[start:end])

    @overload
    def __getitem__(self, index: int) -> StoredRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[StoredRecord]: ...
    def __getitem__(self, index: int | slice) -> StoredRecord | Sequence[StoredRecord]:
        return list(self)[index]
