"""The contract of the `Sink` port, on the twin and on files; what half-written files become."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from segstream.adapters.file_sink import CHANGES, DEAD_LETTERS, POSITION, FileSink
from segstream.adapters.memory import MemorySink
from segstream.errors import OutputError, StateError
from segstream.ports import Outbox, Sink

TOKEN = "a state"  # noqa: S105 - names a state
Again = Callable[[], Sink]
Read = Callable[[], tuple[bytes, bytes]]


def outbox(n: int) -> Outbox:
    """Batch `n`, with two changes and a dead letter."""
    changes = tuple((f"c{i}", f'{{"batch":{n},"name":"dörte {i}"}}'.encode()) for i in range(2))
    return Outbox(n, changes, (b'{"dead":%d}' % n,))


def expected(*batches: int) -> tuple[bytes, bytes]:
    """What stands in the two files after some batches."""
    boxes = [outbox(n) for n in batches]
    return (
        b"".join(body + b"\n" for box in boxes for _, body in box.changes),
        b"".join(line + b"\n" for box in boxes for line in box.dead_letters),
    )


def written(folder: Path) -> tuple[bytes, bytes]:
    return (folder / CHANGES).read_bytes(), (folder / DEAD_LETTERS).read_bytes()


@pytest.fixture(params=["memory", "files"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Again, Read]]:
    """Open one and the same sink again and again, and read what it holds."""
    twin = MemorySink()
    left: list[FileSink] = []

    def again() -> Sink:
        if request.param == "memory":
            return twin
        while left:
            left.pop().close()
        left.append(FileSink(tmp_path / "out"))
        return left[0]

    def read() -> tuple[bytes, bytes]:
        if request.param == "files":
            return written(tmp_path / "out")
        changes = b"".join(body + b"\n" for _, body in twin.changes)
        return changes, b"".join(line + b"\n" for line in twin.dead_letters)

    yield again, read
    for sink in left:
        sink.close()


def test_a_new_sink_has_nothing(opened: tuple[Again, Read]) -> None:
    """The first claim says that no batch is published, and so does the next."""
    again, read = opened
    assert again().claim(TOKEN) == 0
    assert again().claim(TOKEN) == 0
    assert read() == (b"", b"")


def test_published_batches_stand_in_order(opened: tuple[Again, Read]) -> None:
    """Every batch stands once, whole, in order; a claim gives the last one's number."""
    again, read = opened
    sink = again()
    sink.claim(TOKEN)
    for n in (1, 2):
        sink.publish(outbox(n))
    assert again().claim(TOKEN) == 2
    again().claim(TOKEN)
    sink = again()
    assert sink.claim(TOKEN) == 2
    sink.publish(outbox(3))
    assert read() == expected(1, 2, 3)


def test_an_empty_batch_counts(opened: tuple[Again, Read]) -> None:
    """A batch with nothing to say is remembered all the same."""
    again, read = opened
    sink = again()
    sink.claim(TOKEN)
    sink.publish(Outbox(1))
    assert again().claim(TOKEN) == 1
    assert read() == (b"", b"")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output that holds batches 1 and 2, closed."""
    folder = tmp_path / "out"
    with closing(FileSink(folder)) as sink:
        sink.claim(TOKEN)
        sink.publish(outbox(1))
        sink.publish(outbox(2))
    return folder


def test_cut_at_every_byte(out: Path) -> None:
    """Wherever a batch broke off, the next claim cuts it, and publishing it again is enough."""
    before, whole = expected(1), expected(1, 2)
    old = (out / POSITION).read_bytes()
    with closing(FileSink(out)) as sink:
        sink.claim(TOKEN)
        sink.publish(outbox(3))
    more = expected(1, 2, 3)
    # First the changes grow, then the dead letters, then the position is replaced.
    growth = [(n, len(whole[1])) for n in range(len(whole[0]), len(more[0]) + 1)]
    growth += [(len(more[0]), n) for n in range(len(whole[1]) + 1, len(more[1]) + 1)]
    assert len(before[0]) < len(whole[0])
    for changes, dead in growth:
        (out / CHANGES).write_bytes(more[0][:changes])
        (out / DEAD_LETTERS).write_bytes(more[1][:dead])
        (out / POSITION).write_bytes(old)
        with closing(FileSink(out)) as sink:
            assert sink.claim(TOKEN) == 2
            assert written(out) == whole
            sink.publish(outbox(3))
        assert written(out) == more


def test_cut_in_the_position(out: Path) -> None:
    """A position that was not yet in its place is as if it had not been written."""
    for size in range(len((out / POSITION).read_bytes()) + 1):
        (out / POSITION).with_suffix(".new").write_bytes((out / POSITION).read_bytes()[:size])
        with closing(FileSink(out)) as sink:
            assert sink.claim(TOKEN) == 2
    assert written(out) == expected(1, 2)


def test_the_output_of_another_state(out: Path) -> None:
    """The output of another state is refused untouched, with the remedy."""
    with closing(FileSink(out)) as sink, pytest.raises(StateError, match="choose another --out"):
        sink.claim("another")
    assert written(out) == expected(1, 2)


@pytest.mark.parametrize("name", [CHANGES, DEAD_LETTERS])
def test_a_removed_file(out: Path, name: str) -> None:
    """An output that lost lines is refused: the rest would look whole."""
    (out / name).unlink()
    with closing(FileSink(out)) as sink, pytest.raises(StateError, match="restore the file, or"):
        sink.claim(TOKEN)


def test_a_removed_position(out: Path) -> None:
    """Lines without a position may be anybody's: they are refused untouched."""
    (out / POSITION).unlink()
    with closing(FileSink(out)) as sink, pytest.raises(StateError, match="choose another --out"):
        sink.claim(TOKEN)
    assert written(out) == expected(1, 2)


@pytest.mark.parametrize("content", [b"", b"{", b'{"n":1}', b"\xff"])
def test_a_spoilt_position(out: Path, content: bytes) -> None:
    """A position that cannot be read is refused, with the remedy."""
    (out / POSITION).write_bytes(content)
    with closing(FileSink(out)) as sink, pytest.raises(StateError, match="restore the file, or"):
        sink.claim(TOKEN)


def test_no_directory(tmp_path: Path) -> None:
    """An output that cannot be made is refused with the remedy."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match="choose another --out"):
            FileSink(folder)


@pytest.mark.parametrize("full", [CHANGES, DEAD_LETTERS])
def test_a_full_disk(out: Path, full: str) -> None:
    """A full disk is told, and the batch stands whole once there is room again."""
    kept = out / f"{full}.kept"
    shutil.move(out / full, kept)
    # Every write to this device fails as on a full disk.
    (out / full).symlink_to("/dev/full")
    (out / POSITION).unlink()
    for name in {CHANGES, DEAD_LETTERS} - {full}:
        (out / name).unlink()
    with closing(FileSink(out)) as sink:
        assert sink.claim(TOKEN) == 0
        with pytest.raises(OutputError, match=r"No space left on device.*make room and run again"):
            sink.publish(outbox(1))
    (out / full).unlink()
    (out / full).touch()
    with closing(FileSink(out)) as sink:
        assert sink.claim(TOKEN) == 0
        sink.publish(outbox(1))
    assert written(out) == expected(1)


def test_no_room_at_the_claim(tmp_path: Path) -> None:
    """A disk that is full before anything began is told as such."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / POSITION).with_suffix(".new").symlink_to("/dev/full")
    with closing(FileSink(folder)) as sink, pytest.raises(OutputError, match="nothing has begun"):
        sink.claim(TOKEN)


def test_batches_of_any_sizes(tmp_path: Path) -> None:
    """Any run of full and empty batches, with a restart between any two, stands once in order."""
    kinds = [outbox(0), Outbox(0), Outbox(0, outbox(0).changes), Outbox(0, (), (b"{}",))]
    for at, run in enumerate(itertools.product(kinds, repeat=3)):
        folder = tmp_path / str(at)
        for n, box in enumerate(run, start=1):
            with closing(FileSink(folder)) as sink:
                assert sink.claim(TOKEN) == n - 1
                sink.publish(Outbox(n, box.changes, box.dead_letters))
        changes = b"".join(body + b"\n" for box in run for _, body in box.changes)
        assert written(folder) == (
            changes,
            b"".join(line + b"\n" for box in run for line in box.dead_letters),
        )
