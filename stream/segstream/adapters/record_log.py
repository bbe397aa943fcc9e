"""The records of a state on SQLite: a log of batches that is rewritten from its old end.

Each batch appends its changed records as one row. A record's newest entry is the record; the
others are dead. Where more than half of the log is dead, the oldest rows go: what still lives in
them is appended again, in the same transaction. So a record costs the same to store among ten
thousand and among a million: no page of its own is looked up, and writing is from front to back.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import numpy as np

from segstream.core.spec import IntArray
from segstream.core.stored import StoredRecord, StoredRows

TABLE: Final = """
CREATE TABLE records (
    number INTEGER PRIMARY KEY,
    slots BLOB NOT NULL, ended BLOB NOT NULL,
    id_lengths BLOB NOT NULL, lengths BLOB NOT NULL, ids BLOB NOT NULL, payload BLOB NOT NULL
);
"""
# At half, an entry is copied 1.25 times in its life where all customers are alike.
_MAX_ENTRIES_PER_RECORD: Final = 2
# Rewritten at least so many entries at once: many small batches become one row.
_STEP: Final = 8192
_NOWHERE: Final = -1

_Text = TypeVar("_Text", str, bytes)

_NEXT: Final = "SELECT coalesce(max(number), 0) + 1 FROM records"
_INSERT: Final = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)"
_INDEX: Final = "SELECT number, slots, ended FROM records ORDER BY number"
_OLDEST: Final = "SELECT number, length(slots) FROM records ORDER BY number"
_ROWS: Final = (
    "SELECT number, slots, id_lengths, lengths, ids, payload FROM records "
    "WHERE number <= ? AND slots != x'' ORDER BY number"
)
_ALL: Final = (1 << 63) - 1


class RecordLog:
    """Where each record is, and the rows it is in; every call is within a transaction.

    Reads what there is when it is made. It is of no use any more once a transaction has failed.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._home: IntArray = np.full(1024, _NOWHERE, dtype=np.int64)
        self._entries = self._living = 0
        for number, slots, ended in db.execute(_INDEX):
            self._settle(number, np.frombuffer(slots, dtype=np.int64))
            self._end(np.frombuffer(ended, dtype=np.int64))

    def append(self, records: Sequence[StoredRecord], ended: Sequence[int]) -> None:
        """Write what a batch changed, and make room for it."""
        rows = StoredRows.of(records)
        if len(rows) or ended:
            self._write(rows, np.array(ended, dtype=np.int64))
        limit = _MAX_ENTRIES_PER_RECORD * self._living + 2 * _STEP
        if self._entries > limit:
            self._rewrite(self._oldest(self._entries - limit + _STEP))

    def forget(self) -> None:
        """Rewrite whatever may hold a record that has ended."""
        row = self._db.execute("SELECT max(number) FROM records WHERE ended != x''").fetchone()
        if row[0] is not None:
            self._rewrite(row[0])

    def living(self, until: int = _ALL) -> Iterator[StoredRecord]:
        """Every record whose newest entry is in a row up to `until`, by rows."""
        for number, slots, *columns in self._db.execute(_ROWS, (until,)):
            rows = np.frombuffer(slots, dtype=np.int64)
            at = np.flatnonzero(self._home[rows] == number)
            if len(at):
                yield from _decode(rows, at, *columns)

    def _write(self, rows: StoredRows, ended: IntArray) -> None:
        (number,) = self._db.execute(_NEXT).fetchone()
        self._db.execute(_INSERT, (number, *_encode(rows, ended)))
        self._settle(number, rows.slots)
        self._end(ended)

    def _oldest(self, entries: int) -> int:
        """Return the row up to which there are so many entries, at least."""
        seen = 0
        for number, size in self._db.execute(_OLDEST):
            seen += size // 8
            if seen >= entries:
                return int(number)
        return _ALL

    def _rewrite(self, until: int) -> None:
        rows = StoredRows.of(self.living(until))
        (entries,) = self._db.execute(
            "SELECT sum(length(slots)) FROM records WHERE number <= ?", (until,)
        ).fetchone()
        if len(rows):
            self._write(rows, np.empty(0, dtype=np.int64))
        # What they end is not anywhere before them.
        self._db.execute("DELETE FROM records WHERE number <= ?", (until,))
        self._entries -= entries // 8

    def _settle(self, number: int, slots: IntArray) -> None:
        if len(slots):
            self._reach(int(slots.max()))
            self._living += int(np.count_nonzero(self._home[slots] == _NOWHERE))
            self._home[slots] = number
            self._entries += len(slots)

    def _end(self, slots: IntArray) -> None:
        if len(slots):
            self._reach(int(slots.max()))
            self._living -= int(np.count_nonzero(self._home[slots] != _NOWHERE))
            self._home[slots] = _NOWHERE

    def _reach(self, slot: int) -> None:
        more = max(slot + 1, 2 * len(self._home)) - len(self._home)
        if slot >= len(self._home):
            self._home = np.append(self._home, np.full(more, _NOWHERE, dtype=np.int64))


def _encode(rows: StoredRows, ended: IntArray) -> tuple[bytes, ...]:
    id_lengths = np.fromiter(map(len, rows.ids), dtype=np.int32, count=len(rows))
    lengths = np.diff(rows.ends, prepend=0).astype(np.int32)
    columns = (rows.slots.tobytes(), ended.tobytes(), id_lengths.tobytes(), lengths.tobytes())
    return (*columns, "".join(rows.ids).encode(), rows.payload)


def _decode(
    slots: IntArray, at: IntArray, id_lengths: bytes, lengths: bytes, ids: bytes, payload: bytes
) -> Iterator[StoredRecord]:
    """Read the entries `at` of a row."""
    found = (slots[at].tolist(), _pieces(ids.decode(), id_lengths, at))
    return map(StoredRecord, *found, _pieces(payload, lengths, at))


def _pieces(whole: _Text, lengths: bytes, at: IntArray) -> list[_Text]:
    sizes = np.frombuffer(lengths, dtype=np.int32)
    ends = np.cumsum(sizes, dtype=np.int64)
    bounds = zip((ends - sizes)[at].tolist(), ends[at].tolist(), strict=True)
    return [whole[start:end] for start, end in bounds]
