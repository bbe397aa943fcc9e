"""The store on SQLite (WAL): one file, one writer, every batch one transaction."""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, TypeVar

import msgspec

from segstream.adapters.blocks import LEDGER, PURCHASES, Blocks
from segstream.adapters.record_log import TABLE, RecordLog
from segstream.core.model import Model
from segstream.core.partition import PartitionMeta, StoredRecord
from segstream.core.trainer_state import TrainerState
from segstream.errors import FencedError, OutputError, SegstreamError, StateError
from segstream.ports import Batch, Claim, Outbox, PanelBlock, Position

STATE_VERSION: Final = 2
FILE_NAME: Final = "state.sqlite"
LOCK: Final = "lock"

_CACHE_KIB: Final = 65_536
# A batch is a few MB from front to back: a quarter less CPU than with 4 KiB pages. With larger ones
# a batch of one event writes more than it says.
_PAGE_BYTES: Final = 8192
# 100 MiB of log at most; a page that many batches write is copied once.
_CHECKPOINT_PAGES: Final = 12_500
# What the disk refuses, not the file.
_UNWRITABLE: Final = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
)

_TABLES: Final = f"""
{TABLE}
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE models (number INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE panel (block INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""

_T = TypeVar("_T")


class SqliteStore:
    """`segstream.ports.Store` in a state directory.

    Parameters
    ----------
    directory
        Made where absent; locked while open.
    spec_digest
        Of the feature spec the records are made with.
    token
        Names a state that is made now, so that outputs of another are recognised.

    Raises
    ------
    StateError
        The directory is in use, or was made with another spec or version.
    OutputError
        It cannot be written to.
    """

    _lock: IO[str] | None
    # Where each record is; read from the file when it is first needed.
    _log: RecordLog | None

    def __init__(self, directory: Path, spec_digest: str, token: str) -> None:
        _make(directory)
        self._connect(directory)
        with self._opening():
            self._lock = _locked(directory)
            self._open(spec_digest, token)

    @classmethod
    def to_read(cls, directory: Path) -> "SqliteStore":
        """Open one consistent snapshot without taking it over: a run may go on meanwhile.

        Raises
        ------
        StateError
            There is no state.
        """
        path = directory / FILE_NAME
        if not path.exists():
            raise StateError(
                f"state: expected {path}, got nothing; "
                f"run `segstream run --state {directory}` first"
            )
        store = cls.__new__(cls)
        store._connect(directory)
        with store._opening():
            # The snapshot is taken with the first read, which is the check.
            store._db.execute("BEGIN")
            store._check(None)
        return store

    def _connect(self, directory: Path) -> None:
        self._directory, self._epoch = directory, 0
        self._lock, self._log = None, None
        with self._explained():
            self._db = sqlite3.connect(directory / FILE_NAME, isolation_level=None)

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """Leave nothing open where opening fails."""
        try:
            with self._explained():
                yield
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite says into an error with a remedy."""
        try:
            yield
        except sqlite3.Error as error:
            raise _remedy(self._directory / FILE_NAME, error) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One atomic write: whatever goes wrong, nothing of it stands."""
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._log = None
                # A full disk may have ended the transaction already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _open(self, spec_digest: str, token: str) -> None:
        db = self._db
        db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        # A batch that was acknowledged must survive a power cut.
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        fresh = not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
        if not fresh:
            self._check(spec_digest)
        # A state of before they were kept gets them from here on.
        for statement in (*PURCHASES.tables, *LEDGER.tables):
            db.execute(statement)
        if not fresh:
            return
        with self._transaction():
            for statement in _TABLES.split(";"):
                db.execute(statement)
            self._put("version", str(STATE_VERSION).encode())
            self._put("spec", spec_digest.encode())
            self._put("token", token.encode())

    def _check(self, spec_digest: str | None) -> None:
        version = int(self._get("version") or b"0")
        if version != STATE_VERSION:
            raise StateError(
                f"state: expected version {STATE_VERSION} in {self._directory}, got {version}; "
                "use the Segstream that wrote it, or rebuild into a new --state directory"
            )
        stored = (self._get("spec") or b"").decode()
        if spec_digest is not None and stored != spec_digest:
            raise StateError(
                f"state: expected feature spec {stored} in {self._directory}, got {spec_digest}; "
                "go back to the spec it was made with, or rebuild from the events into a new "
                "--state directory"
            )

    def _put(self, key: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _get(self, key: str) -> bytes | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def claim(self) -> Claim:
        """See `segstream.ports.Store.claim`."""
        with self._transaction():
            self._epoch = int(self._get("epoch") or b"0") + 1
            self._put("epoch", str(self._epoch).encode())
            self._log = RecordLog(self._db)
        return self.held()

    def held(self) -> Claim:
        """Return what the store holds, without taking it over."""
        return Claim(
            self._epoch,
            (self._get("token") or b"").decode(),
            _decode(self._get("position"), Position),
            _decode(self._get("partition"), PartitionMeta),
            _decode(self._get("trainer"), TrainerState),
            tuple(
                msgspec.msgpack.decode(body, type=PanelBlock)
                for (body,) in self._db.execute("SELECT body FROM panel ORDER BY block")
            ),
            _decode(self._get("outbox"), Outbox),
        )

    def records(self) -> Iterator[StoredRecord]:
        """See `segstream.ports.Store.records`."""
        with self._explained():
            yield from sorted(RecordLog(self._db).living())

    def models(self) -> list[Model]:
        """See `segstream.ports.Store.models`."""
        rows = self._db.execute("SELECT body FROM models ORDER BY number")
        return [msgspec.json.decode(body, type=Model) for (body,) in rows]

    def ledger(self) -> bytes:
        """Every ledger row, in the order it was written."""
        return b"".join(self.ledger_blocks())

    def ledger_blocks(self) -> Iterator[bytes]:
        """Give the same piece by piece."""
        yield from Blocks(self._db, LEDGER).each()

    def purchases(self) -> list[bytes]:
        """Every block of purchases, in the order it was written."""
        return list(Blocks(self._db, PURCHASES).each())

    def prune(self, purchases_day: int, ledger_day: int) -> None:
        """Drop purchases, and rows of the ledger, of days before these (since 1970)."""
        self._forget()
        with self._transaction():
            self._check_epoch(self._epoch)
            Blocks(self._db, PURCHASES).prune(purchases_day)
            Blocks(self._db, LEDGER).prune(ledger_day)

    def commit(self, batch: Batch) -> None:
        """See `segstream.ports.Store.commit`."""
        with self._transaction():
            self._write(batch)

    def _write(self, batch: Batch) -> None:
        self._check_epoch(batch.epoch)
        db = self._db
        if self._log is None:
            self._log = RecordLog(db)
        self._log.append(batch.records, batch.ended)
        if batch.new_day:
            db.execute("DELETE FROM panel")
        if batch.panel.keys:
            body = msgspec.msgpack.encode(batch.panel)
            db.execute("INSERT INTO panel (body) VALUES (?)", (body,))
        Blocks(db, LEDGER).append(batch.ledger, batch.ended)
        Blocks(db, PURCHASES).append(batch.purchases, batch.ended)
        for model in batch.models:
            db.execute("INSERT INTO models VALUES (?, ?)", (model.number, _json(model)))
        if batch.trainer is not None:
            self._put("trainer", msgspec.msgpack.encode(batch.trainer))
        self._put("position", msgspec.msgpack.encode(batch.position))
        self._put("partition", msgspec.msgpack.encode(batch.meta))
        self._put("outbox", msgspec.msgpack.encode(batch.outbox))

    def _check_epoch(self, epoch: int) -> None:
        if int(self._get("epoch") or b"0") != epoch:
            raise FencedError(
                f"state: expected epoch {epoch} in {self._directory}, got another claim"
            )

    def _forget(self) -> None:
        """Leave nothing of records that ended; where that fails, the next close does it."""
        with suppress(SegstreamError), self._transaction():
            self._check_epoch(self._epoch)
            (self._log or RecordLog(self._db)).forget()
            Blocks(self._db, LEDGER).forget()
            Blocks(self._db, PURCHASES).forget()

    def close(self) -> None:
        """See `segstream.ports.Store.close`."""
        if self._epoch:
            self._forget()
            self._epoch = 0
        self._db.close()
        if self._lock is not None:
            self._lock.close()


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / LOCK).touch()
    except OSError as error:
        raise OutputError(
            f"state: expected a directory to write to at {directory}, got {error}; "
            "choose another --state"
        ) from error


def _locked(directory: Path) -> IO[str]:
    lock = (directory / LOCK).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StateError(
            f"state: expected {directory} to be free, got a lock of another process; "
            "wait for it to end or choose another --state directory"
        ) from error
    return lock


def _remedy(path: Path, error: sqlite3.Error) -> SegstreamError:
    # The low byte is the kind; the rest says where.
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNWRITABLE:
        return OutputError(
            f"state: expected to write {path}, got {error}; make room or mend the disk and run "
            "again: nothing of the batch counts as done"
        )
    return StateError(
        f"state: expected a Segstream state in {path}, got {error}; "
        "restore the file or choose another --state directory"
    )


def _json(model: Model) -> bytes:
    return msgspec.json.encode(model)


def _decode(value: bytes | None, kind: type[_T]) -> _T:
    """Read a value, or its beginning where nothing was written yet."""
    return kind() if value is None else msgspec.msgpack.decode(value, type=kind)
