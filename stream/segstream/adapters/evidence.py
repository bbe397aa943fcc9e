"""The evidence topic: days that partitions have closed, each until a model knows it.

Key `<partition>:<day>`, so that compaction drops a day only for its own repeat, and for the
tombstone that the trainer writes when it has closed the day. A trainer that was away for weeks
finds every day.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from segstream.core.layout import N_PANEL_COLUMNS
from segstream.core.merging import PartitionDay
from segstream.core.partition import DayTotals, PanelRows
from segstream.ports import DayEvidence


class EvidenceKey(NamedTuple):
    """Whose day a message of the topic is."""

    partition: int
    day: int

    def __bytes__(self) -> bytes:
        return f"{self.partition}:{self.day}".encode()


def evidence_key(body: bytes) -> bytes:
    """Key of a message."""
    found = msgspec.msgpack.decode(body, type=DayEvidence)
    totals = msgspec.msgpack.decode(found.totals, type=DayTotals)
    return bytes(EvidenceKey(found.partition, totals.day))


class EvidenceBook:
    """Days that partitions have closed and that no model knows yet.

    Parameters
    ----------
    closed
        The last day that a model knows; -1 for none. Every partition has passed it.
    """

    def __init__(self, partitions: int, n_features: int, closed: int) -> None:
        self._partitions, self._n_features = partitions, n_features
        self._closed = closed
        self._days: dict[int, dict[int, PartitionDay]] = {}
        self._latest = dict.fromkeys(range(partitions), closed) if closed >= 0 else {}
        self._spent: set[bytes] = set()

    def add(self, body: bytes) -> None:
        """Note one partition's day; a repeat replaces itself."""
        found = msgspec.msgpack.decode(body, type=DayEvidence)
        totals = msgspec.msgpack.decode(found.totals, type=DayTotals)
        if totals.day <= self._closed:  # a repeat from before a crash
            self._spent.add(bytes(EvidenceKey(found.partition, totals.day)))
            return
        keys = np.frombuffer(found.panel.keys, dtype=np.int64).reshape(-1, N_PANEL_COLUMNS)
        raw = np.frombuffer(found.panel.raw, dtype=np.float64).reshape(-1, self._n_features)
        day = PartitionDay(found.model, found.first_ms, totals, PanelRows(keys, raw))
        self._days.setdefault(totals.day, {})[found.partition] = day
        self._latest[found.partition] = max(self._latest.get(found.partition, -1), totals.day)

    def closed_after(self, day: int) -> list[int]:
        """Days after `day` that every partition has passed, oldest first."""
        if len(self._latest) < self._partitions:
            return []
        passed = min(self._latest.values())
        return sorted(d for d in self._days if day < d <= passed)

    def take(self, day: int) -> list[PartitionDay]:
        """Give a day's evidence by partition, and forget it and what is older."""
        found: Mapping[int, PartitionDay] = self._days[day]
        for old in (d for d in self._days if d <= day):
            self._spent |= {bytes(EvidenceKey(p, old)) for p in self._days[old]}
        self._days = {d: v for d, v in self._days.items() if d > day}
        self._closed = day
        return [found[p] for p in sorted(found)]

    def dropped(self, key: bytes) -> None:
        """Note a tombstone: that message needs no other."""
        self._spent.discard(key)

    @property
    def has_spent(self) -> bool:
        """Whether there are messages of no more use."""
        return bool(self._spent)

    def spent(self) -> list[bytes]:
        """Keys of messages that are of no more use, once each."""
        spent, self._spent = self._spent, set()
        return sorted(spent)
