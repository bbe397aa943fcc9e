"""Purchases of a state on SQLite: one block per batch, and who has to be taken out of them."""

import sqlite3
from collections.abc import Sequence
from typing import Final

import numpy as np

from segstream.core.purchase_blocks import merged_block, without_slots

# Batches of a live feed are small: so many of them become one block.
_SMALL_BYTES: Final = 65_536
_MANY: Final = 128

TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS purchases (block INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    # Whoever left since blocks were last rewritten. A slot is never given twice.
    "CREATE TABLE IF NOT EXISTS purchases_left (slot INTEGER PRIMARY KEY)",
)


class PurchaseBlocks:
    """Blocks of `segstream.core.purchases`; every call but `all` is within a transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def append(self, body: bytes, ended: Sequence[int]) -> None:
        """Write what a batch bought, and who left with it."""
        if body:
            self._db.execute("INSERT INTO purchases (body) VALUES (?)", (body,))
            if len(body) < _SMALL_BYTES:
                self._merge_small()
        if ended:
            left = ((slot,) for slot in ended)
            self._db.executemany("INSERT OR IGNORE INTO purchases_left VALUES (?)", left)

    def _merge_small(self) -> None:
        """Make one block of the newest ones, where many of them are small."""
        newest = self._db.execute(
            "SELECT block, length(body) FROM purchases ORDER BY block DESC LIMIT ?", (_MANY,)
        ).fetchall()
        if len(newest) < _MANY or any(size >= _SMALL_BYTES for _, size in newest):
            return
        self._replace(newest[-1][0])

    def _replace(self, first: int, first_day: int = 0) -> None:
        """Make one block of those from `first` on."""
        found = self._db.execute(
            "SELECT body FROM purchases WHERE block >= ? ORDER BY block", (first,)
        )
        merged = merged_block((body for (body,) in found), first_day)
        self._db.execute("DELETE FROM purchases WHERE block >= ?", (first,))
        if merged:
            self._db.execute("INSERT INTO purchases VALUES (?, ?)", (first, merged))

    def prune(self, first_day: int) -> None:
        """Drop the orders of earlier days; one block is left."""
        self._replace(0, first_day)

    def all(self) -> list[bytes]:
        """Every block, in the order in which they were written; none in an older state."""
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'purchases'").fetchone():
            return []
        rows = self._db.execute("SELECT body FROM purchases ORDER BY block")
        return [body for (body,) in rows]

    def forget(self) -> None:
        """Rewrite every block that has rows of somebody who left."""
        db = self._db
        left = [slot for (slot,) in db.execute("SELECT slot FROM purchases_left")]
        if not left:
            return
        gone = np.array(left, dtype=np.int64)
        for (block,) in db.execute("SELECT block FROM purchases").fetchall():
            (body,) = db.execute("SELECT body FROM purchases WHERE block = ?", (block,)).fetchone()
            rest = without_slots(body, gone)
            if rest is not None:
                db.execute("UPDATE purchases SET body = ? WHERE block = ?", (rest, block))
        db.execute("DELETE FROM purchases WHERE body = x''")
        db.execute("DELETE FROM purchases_left")
