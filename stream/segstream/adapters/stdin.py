"""The `Source` port on a pipe: rows in the order they arrive, read once."""

import hashlib
import os
import select
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from segstream.adapters.feed import GZIP_MAGIC, FeedReader
from segstream.core.mapping import IDENTITY, Mapping
from segstream.core.rows import WHOLE_ROW
from segstream.core.splitter import Rows
from segstream.errors import SourceError
from segstream.ports import Chunk

# The caller asks for the digest of what it has just consumed: a few chunks back at most.
CHUNKS_KEPT: Final = 8
BLOCK_BYTES: Final = 1 << 20


class _Entry(NamedTuple):
    payload: bytes
    line: int
    rule: int


class _Taken(NamedTuple):
    """A chunk that was given out, and the running digest before it."""

    position: int
    entries: list[_Entry]
    digest: "hashlib._Hash"


class StreamSource:
    """Rows of a pipe, each chunk as soon as it has one complete row.

    A pipe cannot be read twice, so a resumed run is given the same rows again from the start:
    `read(position)` passes over what was consumed, and `verify` checks by a running digest that
    it is the same.

    Parameters
    ----------
    stream
        What has a file descriptor, e.g. `sys.stdin.buffer`; nothing may be buffered in it yet.
    folder
        Where the mapping's lookup files are.

    Attributes
    ----------
    total, first_ms, last_ms
        None: not known.
    """

    total: int | None = None
    first_ms: int | None = None
    last_ms: int | None = None

    def __init__(
        self, stream: BinaryIO, mapping: Mapping = IDENTITY, folder: Path | None = None
    ) -> None:
        self._descriptor = stream.fileno()
        self._feed = FeedReader(mapping, folder or Path(), "stdin", "stdin")
        self._identity = hashlib.sha256(
            f"stdin {self._feed.tables_digest} {mapping.text}".encode()
        ).hexdigest()
        self._pending: deque[_Entry] = deque()
        self._pending_bytes = 0
        self._next = 0
        self._digest = hashlib.sha256()
        self._kept: deque[_Taken] = deque(maxlen=CHUNKS_KEPT)
        self._skipped: Counter[str] = Counter()
        self._ended = False
        self._started = False

    @property
    def identity(self) -> str:
        """Hex digest of the mapping and its lookups; `verify` checks the rows."""
        return self._identity

    def read(self, position: int, max_bytes: int) -> Chunk | None:
        """Read entries from `position` on, waiting for the first; see `segstream.ports.Source`."""
        self._advance(position)
        if not self._fill(max_bytes):
            return None
        entries = self._take(max_bytes)
        payloads, lines, rules = (list(column) for column in zip(*entries, strict=True))
        parsed = self._feed.reader.parse(payloads, lines, rules)
        return Chunk(position, payloads, parsed, [f"stdin:{line}" for line in lines])

    def digest_at(self, position: int) -> str:
        """Hex digest over the entries before `position`, which was reached lately.

        Store it with the position; a resumed run gives both to `verify`.
        """
        if position == self._next:
            return self._digest.hexdigest()
        for chunk in self._kept:
            if chunk.position <= position <= chunk.position + len(chunk.entries):
                digest = chunk.digest.copy()
                _update(digest, chunk.entries[: position - chunk.position])
                return digest.hexdigest()
        raise SourceError(
            f"expected a position reached in the last {CHUNKS_KEPT} reads of stdin, got"
            f" {position}. Ask for the digest right after the read."
        )

    def verify(self, position: int, digest: str) -> None:
        """Pass over what was consumed, checking that it is the same.

        Raises
        ------
        SourceError
            It is not, or there is less.
        """
        self._advance(position)
        if self.digest_at(position) != digest:
            raise SourceError(
                f"stdin: expected the same {position} entries again that were consumed before, got"
                " others. Pipe the same rows in, or start anew with an empty state."
            )

    def skips(self, position: int) -> Counter[str]:
        """Count the skipped rows read so far, by reason."""
        del position
        return Counter(self._skipped)

    def close(self) -> None:
        """Leave the stream open: it is the caller's."""

    def _advance(self, position: int) -> None:
        """Pass over entries up to `position`."""
        if position < self._next:
            raise SourceError(
                f"stdin: expected to go on at entry {self._next}, was asked for {position}, which"
                " is gone. Run again with the same rows piped in from the start."
            )
        while self._next < position:
            if not self._fill(1):
                raise SourceError(
                    f"stdin: expected the {position} entries consumed before, got {self._next}."
                    " Pipe the same rows in from the start, or start anew with an empty state."
                )
            self._take(BLOCK_BYTES, limit=position - self._next)

    def _take(self, max_bytes: int, limit: int | None = None) -> list[_Entry]:
        """Give out pending entries, at least one."""
        entries: list[_Entry] = []
        size = 0
        while self._pending and (limit is None or len(entries) < limit):
            if entries and size + len(self._pending[0].payload) > max_bytes:
                break
            entries.append(self._pending.popleft())
            size += len(entries[-1].payload)
        self._pending_bytes -= size
        self._kept.append(_Taken(self._next, entries, self._digest.copy()))
        _update(self._digest, entries)
        self._next += len(entries)
        for entry in entries:
            if WHOLE_ROW < entry.rule < 0:
                self._skipped[self._feed.reader.skip_reasons[-1 - entry.rule]] += 1
        return entries

    def _fill(self, max_bytes: int) -> bool:
        """Wait for one entry, then take what else is there already, about `max_bytes`."""
        while not self._ended and not self._enough(max_bytes):
            block = os.read(self._descriptor, BLOCK_BYTES)
            self._check_start(block)
            for entry in self._entries(block):
                self._pending.append(entry)
                self._pending_bytes += len(entry.payload)
        return bool(self._pending)

    def _enough(self, max_bytes: int) -> bool:
        """Whether there is an entry, and no room for more or nothing more has arrived."""
        if not self._pending:
            return False
        return self._pending_bytes >= max_bytes or not self._ready()

    def _ready(self) -> bool:
        return bool(select.select([self._descriptor], [], [], 0)[0])

    def _check_start(self, block: bytes) -> None:
        if not self._started and not block:
            raise SourceError(
                "expected rows on stdin, got none. Was the command before it cut off?"
            )
        if not self._started and block.startswith(GZIP_MAGIC):
            raise SourceError(
                "expected text on stdin, got gzip bytes. Decompress them first, e.g. with zcat."
            )
        self._started = True

    def _entries(self, block: bytes) -> Iterator[_Entry]:
        if block:
            rows = self._feed.feed(block)
        else:
            self._ended = True
            rows = self._feed.finish()
        return self._planned(rows)

    def _planned(self, rows: Rows) -> Iterator[_Entry]:
        if not rows.payloads:
            return
        lines = rows.lines.tolist()
        plan = self._feed.reader.plan(rows.payloads, lines)
        for row, rule in zip(plan.rows, plan.rules, strict=True):
            yield _Entry(rows.payloads[row], lines[row], rule)


def _update(digest: "hashlib._Hash", entries: list[_Entry]) -> None:
    """Add entries to a digest; the length keeps two rows apart from one."""
    for entry in entries:
        digest.update(b"%d:" % len(entry.payload))
        digest.update(entry.payload)
