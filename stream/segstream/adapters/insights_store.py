"""What the role `insights` remembers, in its own directory on SQLite.

    <state>/partition-<p>/state.sqlite   the partition's records, purchases, orders and position
    <state>/segments.sqlite              who is in which segment, every change, and its position

A row and the position that it came from change in one transaction: a kill loses and doubles none.
"""

import sqlite3
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pandas as pd

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
    """CREATE TABLE IF NOT EXISTS changes (
        customer TEXT NOT NULL, sequence INTEGER NOT NULL, time TEXT NOT NULL,
        from_id INTEGER, to_id INTEGER, reason TEXT NOT NULL, direction TEXT NOT NULL,
        margin REAL, model TEXT NOT NULL, driver BLOB,
        PRIMARY KEY (customer, sequence)
    ) WITHOUT ROWID""",
)
_CHANGES: Final = (
    "customer", "sequence", "time", "from_id", "to_id", "reason", "direction", "margin", "model",
    "driver",
)  # fmt: skip
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
        # Whoever is erased is out of the file, too.
        self._db.execute("PRAGMA secure_delete = ON")
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
        db = self._db
        if told.reason == "erased":
            # Sequences begin anew afterwards; nothing of the customer stays.
            db.execute("DELETE FROM standings WHERE customer = ?", (told.customer_id,))
            db.execute("DELETE FROM changes WHERE customer = ?", (told.customer_id,))
            return
        from_, to = (one.id if one else None for one in (told.from_, told.to))
        db.execute(_UPSERT, (told.customer_id, told.sequence, to))
        db.execute("INSERT OR REPLACE INTO facts VALUES ('model', ?)", (told.model,))
        # The one that spoke most for it: all of a driver that is ever told in words.
        most = max(told.drivers, key=lambda d: d.contribution, default=None)
        row = (
            told.customer_id, told.sequence, change.time, from_, to, told.reason, told.direction,
            told.margin, told.model, msgspec.json.encode(most) if most else None,
        )  # fmt: skip
        db.execute("INSERT OR REPLACE INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def standings(self) -> Standings:
        """Read everybody's segment."""
        rows = self._db.execute("SELECT customer, segment FROM standings WHERE segment IS NOT NULL")
        names = self._db.execute("SELECT segment, name FROM names")
        return Standings(dict(rows), self._fact("model"), dict(names))

    def prune(self, before: str) -> None:
        """Drop changes of before a time (RFC 3339)."""
        self._db.execute("DELETE FROM changes WHERE time < ?", (before,))

    def close(self) -> None:
        """Release the file."""
        self._db.close()


def read_changes(directory: Path, customers: Collection[str]) -> pd.DataFrame:
    """Every change of some customers that is kept, each customer's in order.

    Columns: customer_id, sequence, time, from_id, to_id, reason, direction, margin, model, drivers
    (the strongest alone), as in `segstream.view.View.changes`.
    """
    with closing(sqlite3.connect(directory / FILE_NAME)) as db:
        found = db.execute(f"SELECT {', '.join(_CHANGES)} FROM changes")  # noqa: S608 - constants
        rows = [row for row in found if row[0] in customers]
    frame = pd.DataFrame(rows, columns=list(_CHANGES))
    drivers = [[msgspec.json.decode(one)] if one else [] for one in frame.pop("driver")]
    frame["time"] = pd.to_datetime(frame["time"], utc=True, format="ISO8601")
    for column in ("from_id", "to_id"):
        frame[column] = frame[column].astype("Int64")
    frame["drivers"] = pd.Series(drivers, dtype=object)
    return frame.rename(columns={"customer": "customer_id"})
