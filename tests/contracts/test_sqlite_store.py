"""What only the store on SQLite promises: locks, versions, snapshots, and clear refusals."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.contracts.batches import SPEC, batch, model

from segstream.adapters.sqlite_store import FILE_NAME, STATE_VERSION, SqliteStore
from segstream.core.partition import StoredRecord
from segstream.errors import FencedError, OutputError, SegstreamError, StateError

TOKEN = "a token"  # noqa: S105 - names a state


def opened(state: Path, spec: str = SPEC.digest) -> SqliteStore:
    return SqliteStore(state, spec, TOKEN)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state with one batch in it, closed."""
    folder = tmp_path / "state"
    with closing(opened(folder)) as store:
        store.commit(batch(store.claim(), 1, models=[model(1)]))
    return folder


def changed(state: Path, sql: str, *values: object) -> None:
    """Change a state behind the store's back."""
    with closing(sqlite3.connect(state / FILE_NAME, isolation_level=None)) as db:
        db.execute(sql, values)


_HOLDER = """
import sys, pathlib
from segstream.adapters.sqlite_store import SqliteStore
try:
    store = SqliteStore(pathlib.Path(sys.argv[1]), sys.argv[2], "other")
except Exception as error:
    print(type(error).__name__, error, flush=True)
else:
    print("mine", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_two_processes(state: Path) -> None:
    """A second process on one state is refused with the remedy, and let in after the first."""
    command = [sys.executable, "-c", _HOLDER, str(state), SPEC.digest]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as first:
        assert first.stdout
        assert first.stdout.readline() == "mine\n"
        with pytest.raises(StateError, match="lock of another process; wait for it to end or"):
            opened(state)
        second = subprocess.run(command, stdin=pipe, capture_output=True, text=True, check=True)
        assert second.stdout.startswith("StateError state: expected")
        first.kill()
    # A kill releases the lock: nothing is left to clean up.
    opened(state).close()


def test_overtaken_without_a_lock(state: Path) -> None:
    """Where locks do not work, as on some network disks, the epoch still fences."""
    with closing(opened(state)) as store:
        claim = store.claim()
        changed(
            state, "UPDATE meta SET value = ? WHERE key = 'epoch'", str(claim.epoch + 1).encode()
        )
        with pytest.raises(FencedError, match="got another claim"):
            store.commit(batch(claim, 2))
        assert store.held().outbox.n == 1


def test_another_spec(state: Path) -> None:
    """A state made with another spec is refused, and told how to go on."""
    with pytest.raises(StateError, match=r"go back to the spec .* or rebuild from the events"):
        opened(state, "another")
    opened(state).close()


@pytest.mark.parametrize("version", [b"0", str(STATE_VERSION + 1).encode()])
def test_another_version(state: Path, version: bytes) -> None:
    """A state of another version is refused, to write and to read, and told how to go on."""
    changed(state, "UPDATE meta SET value = ? WHERE key = 'version'", version)
    for open_state in (opened, SqliteStore.to_read):
        with pytest.raises(StateError, match="use the Segstream that wrote it, or rebuild"):
            open_state(state)


def _text(state: Path) -> None:
    (state / FILE_NAME).write_text("customer_id,amount\n" * 100)


def _other_database(state: Path) -> None:
    (state / FILE_NAME).unlink()
    with closing(sqlite3.connect(state / FILE_NAME)) as db:
        db.execute("CREATE TABLE meta (key TEXT)")


def _cut(state: Path) -> None:
    path = state / FILE_NAME
    path.write_bytes(path.read_bytes()[:3000])


def look_through(open_state: Callable[[Path], SqliteStore], state: Path) -> None:
    """Open a state and read what it has."""
    with closing(open_state(state)) as store:
        list(store.records())
        store.models()


@pytest.mark.parametrize("harm", [_text, _other_database, _cut])
def test_not_a_state(state: Path, harm: Callable[[Path], None]) -> None:
    """What is not a whole SQLite state is refused by name, to write and to read."""
    harm(state)
    for open_state in (opened, SqliteStore.to_read):
        with pytest.raises(StateError, match="restore the file or choose another --state"):
            look_through(open_state, state)


def test_broken_pages_are_met_later(state: Path) -> None:
    """Damage that opening does not meet is told when it is met, not as a bug."""
    path = state / FILE_NAME
    content = bytearray(path.read_bytes())
    content[1024:] = b"\xff" * (len(content) - 1024)
    path.write_bytes(content)
    with pytest.raises(StateError, match="restore the file"):
        opened(state)


def test_no_directory(tmp_path: Path) -> None:
    """A state that cannot be made is a failure to write, with the remedy."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another --state"):
        opened(tmp_path / "file" / "state")
    (tmp_path / "state" / FILE_NAME).mkdir(parents=True)
    with pytest.raises(OutputError, match="make room or mend the disk"):
        opened(tmp_path / "state")


def test_nothing_to_read(tmp_path: Path) -> None:
    """Reading where nothing was run says what to run; nothing is made."""
    with pytest.raises(StateError, match="run `segstream run"):
        SqliteStore.to_read(tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_killed_while_it_was_made(tmp_path: Path) -> None:
    """A state whose making was cut off is made anew; until then there is nothing to read."""
    state = tmp_path / "state"
    state.mkdir()
    (state / FILE_NAME).touch()
    with pytest.raises(SegstreamError, match="expected a Segstream state"):
        SqliteStore.to_read(state)
    with closing(opened(state)) as store:
        assert store.claim().token == TOKEN


def test_reading_goes_on_beside_a_run(state: Path) -> None:
    """A reader sees one moment of a running state, whole, and does not hold the run up."""
    with closing(opened(state)) as store:
        claim = store.claim()
        with closing(SqliteStore.to_read(state)) as reader:
            rows = reader.records()
            first = next(rows)
            store.commit(batch(claim, 2))
            store.commit(batch(claim, 3, ended=[1]))
            assert [first, *rows] == list(reader.records())
            assert [r.slot for r in reader.records()] == [0, 1]
            assert reader.held().outbox.n == 1
            assert reader.held().position.entries == 10
        with closing(SqliteStore.to_read(state)) as reader:
            assert reader.held().outbox.n == 3
            assert [r.slot for r in reader.records()] == [0, 2, 3]
            assert [m.number for m in reader.models()] == [1]


def test_a_reader_does_not_claim(state: Path) -> None:
    """Reading leaves the epoch: the run that is going on can commit."""
    with closing(opened(state)) as store:
        claim = store.claim()
        SqliteStore.to_read(state).close()
        store.commit(batch(claim, 2))


def test_the_ledger_is_kept_in_order(state: Path) -> None:
    """Ledger rows come back as one run of bytes, in the order of batches."""
    with closing(opened(state)) as store:
        claim = store.claim()
        for n, ledger in ((2, b"a" * 40), (3, b""), (4, b"b" * 80)):
            store.commit(batch(claim, n, ledger=ledger))
        assert store.ledger() == b"a" * 40 + b"b" * 80


def rows(state: Path) -> list[tuple[int, bytes, bytes]]:
    """Entries, ids and records of each row of the log."""
    with closing(sqlite3.connect(state / FILE_NAME)) as db:
        return db.execute("SELECT length(slots) / 8, ids, payload FROM records").fetchall()


def test_the_log_stays_within_its_bound(state: Path) -> None:
    """However often records change, the log keeps to a bound, and each record to its newest."""
    held = {0: b"batch 1", 1: b"\x01"}
    with closing(opened(state)) as store:
        claim = store.claim()
        for n in range(2, 40):
            # A third changes often, the rest once in a while; some end.
            slots = [*range(1_000), *range(1_000 + n % 7, 3_000, 7)]
            fresh = {slot: b"%d of %d" % (slot, n) for slot in slots if slot in held or n < 9}
            ended = [n, 1_000 + n] if n > 20 else []
            records = [StoredRecord(s, f"customer {s}", b) for s, b in fresh.items()]
            store.commit(batch(claim, n, records=records, ended=ended))
            held = {s: b for s, b in (held | fresh).items() if s not in ended}
            assert {r.slot: r.blob for r in store.records()} == held
            assert sum(row[0] for row in rows(state)) < 2 * 3_000 + 3 * 8_192
    assert {r.slot: r.blob for r in opened_records(state)} == held


def opened_records(state: Path) -> list[StoredRecord]:
    with closing(SqliteStore.to_read(state)) as store:
        return list(store.records())


def test_what_ended_is_gone_when_the_state_is_closed(state: Path) -> None:
    """No row keeps the id or an older record of one that ended, once the state was closed."""
    with closing(opened(state)) as store:
        claim = store.claim()
        store.commit(batch(claim, 2))
        store.commit(batch(claim, 3, ended=[1]))
    assert len(rows(state)) == 1
    assert rows(state)[0][1] == b"customer 2everybody'scustomer 3"
    assert [r.slot for r in opened_records(state)] == [0, 2, 3]


def test_after_a_batch_that_failed(state: Path) -> None:
    """A batch that could not be written leaves the log as it was, also for the next one."""
    with closing(opened(state)) as store:
        claim = store.claim()
        # Model 1 is there already: the write breaks off behind the records.
        with pytest.raises(StateError):
            store.commit(batch(claim, 2, models=[model(1)], ended=[0]))
        store.commit(batch(claim, 2))
        assert [r.slot for r in store.records()] == [0, 1, 2]
        assert store.held().outbox.n == 2
