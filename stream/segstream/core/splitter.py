"""A stream of bytes, cut into rows with their offsets and lines.

A JSON row is a line. A CSV row may hold line breaks within quotes, so where a block has quotes
Python's own CSV reader decides where rows end. Empty lines are no rows.
"""

import csv
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from segstream.core.declaration import Declaration
from segstream.errors import SourceError

Int64 = npt.NDArray[np.int64]
BOM: Final = b"\xef\xbb\xbf"
# No event may be larger than 1 MiB; a text without any line break for this long is no feed.
MAX_TAIL_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows; equal lengths.

    Attributes
    ----------
    payloads
        Bytes of each row, without its line break.
    offsets
        Where each begins in the stream, in bytes.
    lines
        Line on which each begins, from 1.
    """

    payloads: list[bytes]
    offsets: Int64
    lines: Int64


class RowSplitter:
    r"""Cut blocks of any size; the rows do not depend on the sizes.

    Examples
    --------
    >>> splitter = RowSplitter(Declaration(), "x")
    >>> splitter.feed(b'{"a":1}\n{"b"').payloads, splitter.finish().payloads
    ([b'{"a":1}'], [b'{"b"'])
    """

    def __init__(self, declared: Declaration, where: str) -> None:
        self._declared = declared
        self._where = where
        self._tail = b""
        self._offset = 0
        self._line = 1

    def feed(self, block: bytes) -> Rows:
        """Return the rows that are complete with this block."""
        buffer = self._tail + block if self._tail else block
        self._tail = buffer
        if self._offset == 0 and buffer[:3] == BOM[: len(buffer)]:
            if len(buffer) < len(BOM):
                return self._cut(0, final=False)
            self._tail = buffer = buffer[len(BOM) :]
            self._offset = len(BOM)
        if len(buffer) > MAX_TAIL_BYTES + len(block):
            raise SourceError(
                f"{self._where}: expected rows on lines of their own, got {len(buffer)} bytes"
                f" without the end of one from line {self._line} on. Is this a text file with"
                f" one row per line?"
            )
        return self._cut(buffer.rfind(b"\n") + 1, final=False)

    def finish(self) -> Rows:
        """Return the last row, where no line break ends it."""
        if self._tail and not self._tail.endswith(b"\n"):
            self._tail += b"\n"
        return self._cut(len(self._tail), final=True)

    def _cut(self, size: int, *, final: bool) -> Rows:
        """Cut the rows off the first `size` bytes of the tail, which end with a line break."""
        buffer = self._tail
        octets = np.frombuffer(buffer, np.uint8, count=size)
        ends = np.flatnonzero(octets == ord("\n"))
        starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
        numbers = self._line + np.arange(len(ends))
        lines, used = len(ends), size
        if self._declared.format == "csv" and b'"' in buffer[:size]:
            first, last = self._quoted(buffer, starts, ends, final=final)
            lines = int(last[-1]) + 1 if len(last) else 0
            used = int(ends[lines - 1]) + 1 if lines else 0
            starts, ends, numbers = starts[first], ends[last], numbers[first]
        ends = ends - ((octets[np.maximum(ends - 1, 0)] == ord("\r")) & (ends > starts))
        kept = np.flatnonzero(ends > starts)
        starts, ends = starts[kept], ends[kept]
        pairs = zip(starts.tolist(), ends.tolist(), strict=True)
        rows = Rows([buffer[a:b] for a, b in pairs], self._offset + starts, numbers[kept])
        self._tail = buffer[used:]
        self._offset += used
        self._line += lines
        return rows

    def _quoted(
        self, buffer: bytes, starts: Int64, ends: Int64, *, final: bool
    ) -> tuple[Int64, Int64]:
        """First and last line of each row, by ordinal; an open row waits for more."""
        pairs = zip(starts.tolist(), ends.tolist(), strict=True)
        # Latin-1 reads any bytes; quotes and delimiters are ASCII in all encodings allowed.
        texts = [buffer[a : b + 1].decode("latin-1") for a, b in pairs]
        last: list[int] = []
        reader = csv.reader(texts, delimiter=self._declared.delimiter, strict=True)
        while True:
            bad = False
            try:
                next(reader)
            except StopIteration:
                break
            except csv.Error:
                bad = True
            if bad and not final and reader.line_num == len(texts):
                break
            last.append(reader.line_num - 1)
        stops = np.array(last, np.int64)
        return np.concatenate(([0], stops[:-1] + 1)) if len(stops) else stops, stops
