"""Purchases of a state on SQLite: one block per batch, and who has to be taken out of them."""

import sqlite3
from collections.abc import Sequence
from typing import Final

import numpy as np

from segstream.core.purchases import without_slots

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
        if ended:
            left = ((slot,) for slot in ended)
            self._db.executemany("INSERT OR IGNORE INTO purchases_left VALUES (?)", left)

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
