"""What the role `insights` remembers, in its own directory on SQLite.

    <state>/partition-<p>/state.sqlite   the partition's records, purchases and position, together
    <state>/segments.sqlite              who is in which segment, and the position of the changes

A row and the position that it came from change in one transaction: a kill loses and doubles none.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from segstream.core.changes import Change
from segstream.errors import StateError

FILE_NAME: Final = "segments.sqlite"
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, next INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS standings (
        customer TEXT PRIMARY KEY, sequence INTEGER NOT NULL, segment INTEGER
    ) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS names (
        segment INTEGER PRIMARY KEY, name TEXT NOT NULL, time TEXT NOT NULL
    )""",
)
_UPSERT: Final = """INSERT INTO standings VALUES (?, ?, ?) ON CONFLICT (customer) DO UPDATE
    SET sequence = excluded.sequence, segment = excluded.segment
    WHERE excluded.sequence > sequence"""
# Partitions are read side by side, so an older change may come later.
_NAME: Final = """INSERT INTO names VALUES (?, ?, ?) ON CONFLICT (segment) DO UPDATE
    SET name = excluded.name, time = excluded.time WHERE excluded.time >= time"""


class Standings(NamedTuple):
    """Who is in which segment.

    Attributes
    ----------
    segments
        Segment id by customer id.
    model
        Version of the model that made the newest change; None before the first.
    names
        Of segments by id, as the newest change into each says.
    """

    segments: dict[str, int]
    model: str | None
    names: dict[int, str]


class SegmentStore:
    """The segment of each customer, by the changes read so far.

    Parameters
    ----------
    topic_id
        Of the topic of changes: offsets mean nothing in another.

    Raises
    ------
    StateError
        The directory belongs to another topic.
    """

    def __init__(self, directory: Path, topic_id: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / FILE_NAME
        self._db = sqlite3.connect(self._path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        for statement in _TABLES:
            self._db.execute(statement)
        self._db.execute("INSERT OR IGNORE INTO facts VALUES ('topic', ?)", (topic_id,))
        known = self._fact("topic")
        if known != topic_id:
            self._db.close()
            raise StateError(
                f"insights: expected topic id {known} of the segment changes as in {self._path}, "
                f"got {topic_id}: the topic was made anew; choose a new --state directory"
            )

    def _fact(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def position(self, partition: int) -> int | None:
        """Next offset of a partition of the changes; None before the first."""
        row = self._db.execute(
            "SELECT next FROM positions WHERE partition = ?", (partition,)
        ).fetchone()
        return row[0] if row else None

    def apply(self, partition: int, changes: Iterable[Change], position: int) -> None:
        """Note where customers are now, and the position behind it, in one transaction."""
        db = self._db
        names: dict[int, tuple[str, str]] = {}
        db.execute("BEGIN IMMEDIATE")
        try:
            for change in changes:
                self._note(change)
                if change.data.to:
                    names[change.data.to.id] = (change.data.to.name, change.time)
            db.executemany(_NAME, [(segment, *told) for segment, told in names.items()])
            db.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (partition, position))
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise

    def _note(self, change: Change) -> None:
        told = change.data
        if told.reason == "erased":
            # Sequences begin anew afterwards; nothing of the customer stays.
            self._db.execute("DELETE FROM standings WHERE customer = ?", (told.customer_id,))
            return
        where = told.to.id if told.to else None
        self._db.execute(_UPSERT, (told.customer_id, told.sequence, where))
        self._db.execute("INSERT OR REPLACE INTO facts VALUES ('model', ?)", (told.model,))

    def standings(self) -> Standings:
        """Read everybody's segment."""
        rows = self._db.execute("SELECT customer, segment FROM standings WHERE segment IS NOT NULL")
        names = self._db.execute("SELECT segment, name FROM names")
        return Standings(dict(rows), self._fact("model"), dict(names))

    def close(self) -> None:
        """Release the file."""
        self._db.close()
