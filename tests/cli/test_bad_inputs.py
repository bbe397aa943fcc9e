"""Files, disks and states that fail: one clear line, the right exit code, and a way on.

After the cause is mended the same command ends with the bytes of a run that met no trouble.
"""

import gzip
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from tests.cli import feeds
from tests.cli.commands import COMMAND, Ended, Place, segstream, small_batches, told
from tests.cli.conftest import Shop

from segstream.adapters.file_sink import CHANGES, DEAD_LETTERS
from segstream.adapters.sqlite_store import FILE_NAME
from segstream.core.ledger import N_LEDGER
from segstream.engine import Progress
from segstream.errors import OutputError, SourceError, StateError
from segstream.settings import Settings

pytestmark = pytest.mark.slow

CONFIG: Final = "batch_bytes = 100_000\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """What `small_batches` is, as a file."""
    path = tmp_path / "segstream.toml"
    path.write_text(CONFIG)
    return path


def run(place: Place, *arguments: object, stdin: bytes = b"") -> Ended:
    return segstream("run", *arguments, *place.options, "--json", stdin=stdin)


def same_bytes(place: Place, shop: Shop) -> None:
    """The run ended as an undisturbed one, and accounts for every entry."""
    assert place.result() == shop.place.result()
    assert place.accounted() == len(shop.rows)


# ---- files ---------------------------------------------------------------------------


def test_an_unmapped_column(place: Place) -> None:
    """A mapping that names a column the file has not is refused with the nearest name."""
    (place.folder / "feed.toml").write_text(
        'format = "csv"\n[[event]]\ntype = "purchase"\nevent_id = "id"\ncustomer_id = "who"\n'
        'ts = "when"\namount = "paid"\n'
    )
    rows = [b"id,who,when,pait,total", b"1,a,2024-01-01T00:00:00Z,5,9"]
    feed = feeds.write(place.folder / "a.csv", rows)
    ended = run(place, "--source", feed, "--mapping", place.folder / "feed.toml")
    assert ended.code == 3
    assert "Did you mean `pait`" in told(ended)
    assert place.accounted() == 0
    feeds.write(feed, [rows[0].replace(b"pait", b"paid"), rows[1]])
    # A column that nothing reads is no error; the doctor names it.
    doctor = segstream("doctor", "--source", feed, "--mapping", place.folder / "feed.toml")
    assert "columns that the mapping does not read: total;" in doctor.out
    assert run(place, "--source", feed, "--mapping", place.folder / "feed.toml").code == 0
    assert place.meta().applied == 1


def test_a_truncated_gz(place: Place, shop: Shop, config: Path) -> None:
    """A cut gzip file is refused whole; the complete one is applied whole."""
    path = place.folder / "feed.jsonl.gz"
    content = gzip.compress(shop.feed.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    ended = run(place, "--source", path, "--config", config)
    assert ended.code == 4
    assert "Copy it again; nothing of it was applied" in told(ended)
    assert place.accounted() == 0
    path.write_bytes(content)
    assert run(place, "--source", path, "--config", config).code == 0
    found, expected = place.result(), shop.place.result()
    # The places of dead letters and the name of what is finished say which file it was.
    for name in ("finished", DEAD_LETTERS):
        del found[name], expected[name]
    assert found == expected


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("none.jsonl", "check the path"), (".", "check the path"), ("empty.jsonl", "cut off")],
)
def test_no_file(place: Place, name: str, remedy: str) -> None:
    """What is not a file with rows is refused."""
    (place.folder / "empty.jsonl").touch()
    ended = run(place, "--source", place.folder / name)
    assert ended.code == 4
    assert remedy in told(ended)


def test_a_source_that_vanishes_midway(place: Place, shop: Shop) -> None:
    """The batches before stay; with the file back the same command goes on."""
    feed, aside = place.folder / "feed.jsonl", place.folder / "aside"
    shutil.copy(shop.feed, feed)

    def vanish(_progress: Progress) -> None:
        feed.rename(aside)

    with pytest.raises(SourceError, match="Put it back and run again: it goes on"):
        place.stream(feed, settings=small_batches(), report=vanish)
    applied = place.entries()
    assert 0 < applied < len(shop.rows)
    assert place.accounted() == applied
    with pytest.raises(SourceError, match="check the path"):
        place.stream(feed, settings=small_batches())
    aside.rename(feed)
    assert place.stream(feed, settings=small_batches())
    expected = shop.place.result()
    expected[DEAD_LETTERS] = _moved(expected[DEAD_LETTERS], shop.feed, feed)
    assert place.result() == expected


def _moved(letters: object, before: Path, after: Path) -> bytes:
    assert isinstance(letters, bytes)
    return letters.replace(str(before).encode(), str(after).encode())


def test_another_file_in_its_place(place: Place, shop: Shop) -> None:
    """A file that is not what was begun is refused; nothing is applied twice."""
    feed = place.folder / "feed.jsonl"
    shutil.copy(shop.feed, feed)

    def spoil(_progress: Progress) -> None:
        with feed.open("ab") as file:
            file.write(b"{}\n")

    with pytest.raises(SourceError, match="Run again on a file that nothing writes to"):
        place.stream(feed, settings=small_batches(), report=spoil)
    with pytest.raises(StateError, match="give the same --source and --mapping to finish it"):
        place.stream(feed, settings=small_batches())


# ---- a full disk ---------------------------------------------------------------------


def _no_file_over(size: int) -> None:
    """Let no file of this process grow beyond; what is written then fails, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [1_000, 40_000, 300_000])
def test_no_room_for_the_state(place: Place, shop: Shop, config: Path, size: int) -> None:
    """Wherever the state cannot grow, nothing of the batch counts, and it goes on with room."""
    ended = segstream(
        "run", "--source", shop.feed, "--config", config, *place.options, "--json",
        preexec_fn=lambda: _no_file_over(size),
    )  # fmt: skip
    assert ended.code == 7
    assert "make room" in told(ended)
    if size > 100_000:
        assert place.accounted() == place.entries() > 0
    assert place.stream(shop.feed, settings=small_batches())
    same_bytes(place, shop)


@pytest.mark.parametrize("which", ["state", "out"])
def test_a_full_disk(place: Place, shop: Shop, config: Path, which: str) -> None:
    """On a file system that is really full, likewise: told, whole, and resumable elsewhere."""
    full = place.state if which == "state" else place.out
    full.mkdir()
    command = " ".join(
        [*map(_quoted, COMMAND), "run", "--source", str(shop.feed), "--config", str(config),
         *place.options, "--json"]
    )  # fmt: skip
    # The mount is seen by this one process only; what it wrote is copied out before it goes.
    script = (
        f"mount -t tmpfs -o size=120k none {full} || exit 99; {command}; code=$?; "
        f"cp -a {full}/. {place.folder}/kept; exit $code"
    )
    (place.folder / "kept").mkdir()
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True,
        check=False,
    )
    if done.returncode in (1, 99) and b"segstream" not in done.stderr:
        pytest.skip("this machine lets nobody mount a file system of their own")
    ended = Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert ended.code == 7
    assert "make room" in told(ended)
    full.rmdir()
    (place.folder / "kept").rename(full)
    assert place.stream(shop.feed, settings=small_batches())
    same_bytes(place, shop)


def _quoted(text: str) -> str:
    return f"'{text}'"


@pytest.mark.parametrize("name", [CHANGES, DEAD_LETTERS])
def test_no_room_for_one_output(place: Place, shop: Shop, config: Path, name: str) -> None:
    """A batch that is stored but not published is published first of all by the next run."""
    place.out.mkdir()
    (place.out / name).symlink_to("/dev/full")
    ended = run(place, "--source", shop.feed, "--config", config)
    assert ended.code == 7
    assert "No space left on device; make room and run again" in told(ended)
    (place.out / name).unlink()
    (place.out / name).touch()
    assert place.stream(shop.feed, settings=small_batches())
    same_bytes(place, shop)


def test_no_room_for_the_report(place: Place, shop: Shop, config: Path) -> None:
    """Where only the report has no room, the stream is done; run again, the report is made."""
    ended = segstream(
        "run", "--source", shop.feed, "--config", config, *place.options, "--json",
        preexec_fn=lambda: _no_file_over(3_000_000),
    )  # fmt: skip
    assert ended.code == 7
    assert "make room" in told(ended)
    same_bytes(place, shop)
    assert run(place, "--source", shop.feed, "--config", config).code == 0
    same_bytes(place, shop)


# ---- states and outputs --------------------------------------------------------------


@pytest.fixture
def begun(place: Place, shop: Shop) -> Place:
    """A state and output of the shop, to spoil."""
    shutil.copytree(shop.place.state, place.state)
    shutil.copytree(shop.place.out, place.out)
    return place


def test_a_state_of_another_version(begun: Place, shop: Shop, config: Path) -> None:
    """It is refused with the remedy, by every command."""
    with closing(sqlite3.connect(begun.state / FILE_NAME)) as db, db:
        db.execute("UPDATE meta SET value = '9' WHERE key = 'version'")
    more = feeds.write(begun.folder / "more.jsonl", [shop.rows[0]])
    for command in (
        ("run", "--source", more, "--config", config, *begun.options),
        ("export", "customers", *begun.options),
    ):
        ended = segstream(*command)
        assert ended.code == 5
        assert "use the Segstream that wrote it, or rebuild" in told(ended)


@pytest.mark.parametrize(
    "changed",
    [
        Settings(namespace="other"),
        Settings(currency="EUR"),
        small_batches(policy={"margin": 0.1}),
        small_batches(features=[{"name": "n", "kind": "count", "measure": "orders"}]),
        small_batches(measures=[{"name": "orders", "types": ["purchase"], "value": "order"},
                                {"name": "spend", "types": ["purchase"], "value": "amount"},
                                {"name": "units", "types": ["purchase"], "value": "quantity"},
                                {"name": "returns", "types": ["return"], "value": "event"}]),
    ],
)  # fmt: skip
def test_a_state_of_other_settings(begun: Place, shop: Shop, changed: Settings) -> None:
    """Settings that would give other records are refused; the state stays usable."""
    more = feeds.write(begun.folder / "more.jsonl", [shop.rows[0]])
    with pytest.raises(StateError, match="rebuild from the events into a new --state"):
        begun.stream(more, settings=changed)
    # Without the file of settings the state itself still knows its features.
    if changed.features or changed.measures:
        (begun.state / "segstream.json").rename(begun.folder / "aside")
        with pytest.raises(StateError, match="feature spec"):
            begun.stream(more, settings=changed)
        (begun.folder / "aside").rename(begun.state / "segstream.json")
    assert begun.stream(more)


def test_settings_that_were_cut_off(begun: Place, shop: Shop) -> None:
    """A spoilt file of settings is told as such."""
    (begun.state / "segstream.json").write_text('{"namespa')
    ended = segstream("customer", "c0001", *begun.options)
    assert ended.code == 5
    assert "restore the file, or rebuild" in told(ended)
    with pytest.raises(StateError, match="restore the file"):
        begun.stream(shop.feed)


def test_an_output_of_another_state(begun: Place, shop: Shop) -> None:
    """State and output belong together: another's is refused untouched."""
    before = (begun.out / CHANGES).read_bytes()
    shutil.rmtree(begun.state)
    ended = run(begun, "--source", shop.feed)
    assert ended.code == 5
    assert "choose another --out" in told(ended)
    assert (begun.out / CHANGES).read_bytes() == before


def test_an_output_that_is_gone(begun: Place, shop: Shop) -> None:
    """A state whose output is not there does not begin a second, shorter one."""
    shutil.rmtree(begun.out)
    more = feeds.write(begun.folder / "more.jsonl", [shop.rows[0]])
    with pytest.raises(StateError, match="Give the --out it was made with, or start anew"):
        begun.stream(more)


def test_a_state_older_than_its_output(begun: Place, shop: Shop) -> None:
    """A restored backup of the state beside a newer output is refused: ids would stand twice."""
    shutil.copytree(begun.state, begun.folder / "backup")
    more = feeds.write(begun.folder / "more.jsonl", [shop.rows[-1].replace(b'"c', b'"new c')])
    assert begun.stream(more, settings=small_batches())
    shutil.rmtree(begun.state)
    (begun.folder / "backup").rename(begun.state)
    with pytest.raises(StateError, match="Restore the newer state, or start anew"):
        begun.stream(more, settings=small_batches())


def test_no_directory_to_write_to(place: Place, shop: Shop) -> None:
    """A state or output that cannot be made is an output failure, not a bug."""
    (place.folder / "file").touch()
    for options in (
        ("--state", place.folder / "file" / "s", "--out", place.out),
        ("--state", place.state, "--out", place.folder / "file" / "o"),
    ):
        ended = segstream("run", "--source", shop.feed, *options)
        assert ended.code == 7
        assert "choose another" in told(ended)


def test_two_runs_on_one_state(place: Place, shop: Shop) -> None:
    """The second is refused with the remedy while the first goes on; the first is not harmed."""
    pipe = subprocess.PIPE
    command = [*COMMAND, "run", "--source", "-", *place.options, "--json"]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as first:
        assert first.stdin
        first.stdin.write(shop.rows[0] + b"\n")
        first.stdin.flush()
        _wait_for(place, 1)
        ended = run(place, "--source", shop.feed)
        assert ended.code == 5
        assert "lock of another process; wait for it to end or choose" in told(ended)
        first.communicate(shop.rows[3] + b"\n")
        assert first.returncode == 0
    assert place.accounted() == 2


def _wait_for(place: Place, entries: int) -> None:
    """Wait until so many entries are committed."""
    for _ in range(600):
        with_state = (place.state / "segstream.json").exists()
        if with_state and place.entries() >= entries:
            return
        time.sleep(0.05)
    raise AssertionError(f"{entries} entries were not committed in 30 s")


def test_killed_and_run_again(place: Place, shop: Shop, config: Path) -> None:
    """After kill -9 the same command goes on, adds nothing twice and ends with the same bytes."""
    whole = Place(place.folder / "whole")
    content = shop.feed.read_bytes()
    assert run(whole, "--source", "-", "--config", config, stdin=content).code == 0
    assert whole.accounted() == len(shop.rows)
    half = len(shop.rows) // 2
    command = [*COMMAND, "run", "--source", "-", "--config", str(config), *place.options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as first:
        assert first.stdin
        first.stdin.write(b"".join(row + b"\n" for row in shop.rows[:half]))
        first.stdin.flush()
        _wait_for(place, half)
        first.kill()
        assert first.wait() == -signal.SIGKILL
    ended = run(place, "--source", "-", "--config", config, stdin=b"".join(shop.rows[:10]))
    assert ended.code == 4
    assert "Pipe the same rows in from the start" in told(ended)
    assert run(place, "--source", "-", "--config", config, stdin=content).code == 0
    found, expected = place.result(), whole.result()
    # Batches of a pipe are what had arrived, and an order cut by one has two rows in the ledger.
    assert _spend(found.pop("ledger")) == _spend(expected.pop("ledger"))
    assert found == expected


def _spend(ledger: object) -> dict[tuple[int, ...], int]:
    """Spend by slot, day, order and kind."""
    assert isinstance(ledger, bytes)
    rows = np.frombuffer(ledger, dtype=np.int64).reshape(-1, N_LEDGER).tolist()
    found: Counter[tuple[int, ...]] = Counter()
    for slot, day, order, spend, bought in rows:
        found[slot, day, order, bought] += spend
    return found


def test_stopped_by_the_user(place: Place, shop: Shop) -> None:
    """Ctrl-C says how to go on; nothing is half applied."""
    pipe = subprocess.PIPE
    command = [*COMMAND, "run", "--source", "-", *place.options, "--json"]
    # Whoever runs the tests in the background has SIGINT ignored, and a child inherits that.
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as first:  # fmt: skip
        assert first.stdin
        first.stdin.write(shop.rows[0] + b"\n")
        first.stdin.flush()
        _wait_for(place, 1)
        os.kill(first.pid, signal.SIGINT)
        _, err = first.communicate()
    assert first.returncode == 130
    assert told(Ended(130, "", err.decode())).endswith("run the same command again to continue")
    assert place.accounted() == 1


def test_the_limit_of_dead_letters(place: Place) -> None:
    """A feed of another shape ends with its own exit code and says what to look at."""
    feed = feeds.write(place.folder / "feed.jsonl", [b'{"id":%d}' % i for i in range(200)])
    ended = run(place, "--source", feed)
    assert ended.code == 6
    assert "segstream doctor" in told(ended)
    assert place.accounted() == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[policy]\nmargin = 2\n", "policy.margin: expected 0 <= margin < 1, got 2"),
        ("marge = 1\n", "marge"),
        ("[policy\n", "expected TOML"),
        ('[model]\nk = "many"\n', "k"),
        ('[[features]]\nname = "x"\nkind = "count"\nmeasure = "none"\n', "none"),
    ],
)
def test_settings_with_a_mistake(place: Place, shop: Shop, text: str, said: str) -> None:
    """A mistake in the settings is told with its key, before anything is made."""
    config = place.folder / "bad.toml"
    config.write_text(text)
    ended = run(place, "--source", shop.feed, "--config", config)
    assert ended.code == 3
    assert said in told(ended)
    assert not place.state.exists()


def test_only_output_errors_of_the_output(place: Place, shop: Shop) -> None:
    """A failing publish is an output failure in the same process too."""
    place.out.mkdir()
    (place.out / CHANGES).symlink_to("/dev/full")
    with pytest.raises(OutputError, match="the batch is kept and written then"):
        place.stream(shop.feed, settings=small_batches())
