"""Rows in blocks on SQLite: one block per batch, and who has to be taken out of them."""
# ruff: noqa: S608 - the only texts put into SQL are the names of tables, which stand here

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from segstream.core.ledger import ledger_without_slots, merged_ledger
from segstream.core.purchase_blocks import merged_block, without_slots
from segstream.core.spec import IntArray

# Batches of a live feed are small: so many of them become one block.
_SMALL_BYTES: Final = 65_536
_MANY: Final = 128
# Half of what SQLite takes as one value.
_LARGEST_BYTES: Final = 500_000_000


@dataclass(frozen=True, slots=True)
class Kind:
    """A table of blocks, and how to read its rows.

    Attributes
    ----------
    merged
        Makes one block of many, without the rows of days before one.
    without
        Returns a block without some slots' rows; None where it has none of them.
    """

    table: str
    merged: Callable[[Iterable[bytes], int], bytes]
    without: Callable[[bytes, IntArray], bytes | None]

    @property
    def left(self) -> str:
        """Table of those who left since blocks were last rewritten. A slot is never given twice."""
        return f"{self.table}_left"

    @property
    def tables(self) -> tuple[str, ...]:
        """SQL that makes them where they are not there."""
        rows, left = "block INTEGER PRIMARY KEY, body BLOB NOT NULL", "slot INTEGER PRIMARY KEY"
        return (
            f"CREATE TABLE IF NOT EXISTS {self.table} ({rows})",
            f"CREATE TABLE IF NOT EXISTS {self.left} ({left})",
        )


PURCHASES: Final = Kind("purchases", merged_block, without_slots)
LEDGER: Final = Kind("ledger", merged_ledger, ledger_without_slots)


class Blocks:
    """Blocks of one kind; every call but `each` is within a transaction."""

    def __init__(self, db: sqlite3.Connection, kind: Kind) -> None:
        self._db, self._kind = db, kind

    def append(self, body: bytes, ended: Sequence[int]) -> None:
        """Write the rows of a batch, and who left with it."""
        if body:
            self._db.execute(f"INSERT INTO {self._kind.table} (body) VALUES (?)", (body,))
            if len(body) < _SMALL_BYTES:
                self._merge_small()
        if ended:
            left = ((slot,) for slot in ended)
            self._db.executemany(f"INSERT OR IGNORE INTO {self._kind.left} VALUES (?)", left)

    def _merge_small(self) -> None:
        """Make one block of the newest ones, where many of them are small."""
        newest = self._db.execute(
            f"SELECT block, length(body) FROM {self._kind.table} ORDER BY block DESC LIMIT ?",
            (_MANY,),
        ).fetchall()
        if len(newest) < _MANY or any(size >= _SMALL_BYTES for _, size in newest):
            return
        self._replace(newest[-1][0], newest[0][0], 0)

    def _replace(self, first: int, last: int, first_day: int) -> None:
        """Make one block of those from `first` to `last`."""
        db, table = self._db, self._kind.table
        span = (first, last)
        found = db.execute(
            f"SELECT body FROM {table} WHERE block BETWEEN ? AND ? ORDER BY block", span
        )
        merged = self._kind.merged((body for (body,) in found), first_day)
        db.execute(f"DELETE FROM {table} WHERE block BETWEEN ? AND ?", span)
        if merged:
            db.execute(f"INSERT INTO {table} VALUES (?, ?)", (first, merged))

    def prune(self, first_day: int) -> None:
        """Drop the rows of earlier days; as few blocks as can be are left."""
        for first, last in list(self._runs()):
            self._replace(first, last, first_day)

    def _runs(self) -> Iterator[tuple[int, int]]:
        """First and last of the blocks that make one together."""
        sizes = self._db.execute(
            f"SELECT block, length(body) FROM {self._kind.table} ORDER BY block"
        ).fetchall()
        run: list[int] = []
        room = _LARGEST_BYTES
        for block, size in sizes:
            if run and size > room:
                yield run[0], run[-1]
                run, room = [], _LARGEST_BYTES
            run.append(block)
            room -= size
        if run:
            yield run[0], run[-1]

    def each(self) -> Iterator[bytes]:
        """Give every block in the order in which they were written; none of an older state."""
        known = "SELECT 1 FROM sqlite_master WHERE name = ?"
        if self._db.execute(known, (self._kind.table,)).fetchone():
            rows = self._db.execute(f"SELECT body FROM {self._kind.table} ORDER BY block")
            yield from (body for (body,) in rows)

    def forget(self) -> None:
        """Rewrite every block that has rows of somebody who left."""
        db, table = self._db, self._kind.table
        left = [slot for (slot,) in db.execute(f"SELECT slot FROM {self._kind.left}")]
        if not left:
            return
        gone = np.array(left, dtype=np.int64)
        for (block,) in db.execute(f"SELECT block FROM {table}").fetchall():
            found = db.execute(f"SELECT body FROM {table} WHERE block = ?", (block,))
            rest = self._kind.without(found.fetchone()[0], gone)
            if rest is not None:
                db.execute(f"UPDATE {table} SET body = ? WHERE block = ?", (rest, block))
        db.execute(f"DELETE FROM {table} WHERE body = x''")
        db.execute(f"DELETE FROM {self._kind.left}")
