"""The contract of the `Source` port, on the twin, on files and on a pipe."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from segstream.adapters.files import FileSource
from segstream.adapters.memory import MemorySource
from segstream.adapters.stdin import StreamSource
from segstream.core.events import parse_json_lines
from segstream.errors import BadEventError, SourceError
from segstream.ports import Source

Make = Callable[[list[bytes]], Source]


def rows(n: int, first: int = 0) -> list[bytes]:
    """Rows of the event contract in time order, of growing length; the third is none."""
    made = [
        b'{"event_id":"e%d","customer_id":"%s","ts":%d,"type":"visit"}' % (i, b"c" * (1 + i), i)
        for i in range(first, first + n)
    ]
    made[2] = b"{"
    return made


def _memory(lines: list[bytes], _stack: ExitStack) -> Source:
    return MemorySource(lines, parse_json_lines(lines), str(hash(tuple(lines))))


def _files(lines: list[bytes], stack: ExitStack) -> Source:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    path = folder / "feed.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return FileSource([path])


def _pipe(lines: list[bytes], stack: ExitStack) -> Source:
    read, write = os.pipe()
    os.write(write, b"\n".join(lines))
    os.close(write)
    return StreamSource(stack.enter_context(os.fdopen(read, "rb", buffering=0)))


KINDS = {"memory": _memory, "files": _files, "pipe": _pipe}


@pytest.fixture(params=list(KINDS))
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Make sources of some rows."""
    with ExitStack() as stack:

        def made(lines: list[bytes]) -> Source:
            source = KINDS[request.param](lines, stack)
            stack.callback(source.close)
            return source

        yield made


@pytest.fixture(params=["memory", "files"])
def make_bounded(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Make sources that can be read twice."""
    with ExitStack() as stack:

        def made(lines: list[bytes]) -> Source:
            source = KINDS[request.param](lines, stack)
            stack.callback(source.close)
            return source

        yield made


def drained(source: Source, position: int, max_bytes: int) -> list[bytes]:
    """All payloads from a position on, checking what a chunk says of itself."""
    found: list[bytes] = []
    while chunk := source.read(position, max_bytes):
        assert chunk.position == position
        assert len(chunk.payloads) == len(chunk.parsed) == len(chunk.places) >= 1
        assert len(chunk.payloads) == 1 or sum(map(len, chunk.payloads)) <= max_bytes + 100
        found.extend(chunk.payloads)
        position += len(chunk.payloads)
    return found


@pytest.mark.parametrize("max_bytes", [1, 150, 1 << 20])
def test_every_entry_once_in_order(make: Make, max_bytes: int) -> None:
    """Chunks of any size give every entry once, in one order."""
    assert drained(make(rows(12)), 0, max_bytes) == rows(12)


def test_from_any_position(make: Make) -> None:
    """A source opened again goes on from any position, also from its end."""
    for position in range(13):
        assert drained(make(rows(12)), position, 200) == rows(12)[position:]


def test_parsed_and_payload_belong_together(make: Make) -> None:
    """Each entry's event stands at its payload's place; what is no event says why."""
    chunk = make(rows(5)).read(0, 1 << 20)
    assert chunk is not None
    for i, parsed in enumerate(chunk.parsed):
        if i == 2:
            assert isinstance(parsed, BadEventError)
            continue
        assert parsed is not None
        assert not isinstance(parsed, BadEventError)
        assert parsed.event_id == f"e{i}"
    assert len({*chunk.places}) == 5


def test_verify_what_was_applied(make: Make) -> None:
    """A digest taken at a position is accepted there by the same rows opened again."""
    source = make(rows(8))
    digests = [source.digest_at(0)]
    while chunk := source.read(len(digests) - 1, 1):
        assert len(chunk.payloads) == 1
        digests.append(source.digest_at(len(digests)))
    for position, digest in enumerate(digests):
        make(rows(8)).verify(position, digest)


def test_verify_refuses_other_rows(make: Make) -> None:
    """Rows that differ before the position are refused, however late."""
    source = make(rows(8))
    assert drained(source, 0, 1 << 20)
    digest = source.digest_at(8)
    for at in range(8):
        other = rows(8)
        other[at] = other[at].replace(b"{", b"{ ")
        with pytest.raises(SourceError):
            make(other).verify(8, digest)


def test_one_identity_per_content(make_bounded: Make) -> None:
    """The same rows have one identity, in whatever place; others have another."""
    assert make_bounded(rows(5)).identity == make_bounded(rows(5)).identity
    different = [rows(5), rows(6), rows(5, first=1), rows(5)[::-1]]
    assert len({make_bounded(lines).identity for lines in different}) == 4


def test_reading_twice(make_bounded: Make) -> None:
    """A bounded source gives the same chunk again, before and after others."""
    source = make_bounded(rows(12))
    first = source.read(3, 200)
    assert drained(source, 0, 300) == rows(12)
    again = source.read(3, 200)
    assert first is not None
    assert again is not None
    assert list(first.payloads) == list(again.payloads)
    assert list(first.places) == list(again.places)
