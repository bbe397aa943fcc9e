"""The `Source` port on files: CSV and JSON lines, also gzipped, one or many merged by time."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Final, overload

import numpy as np

from segstream.adapters.rows_index import (
    FilePart,
    Index,
    check_unchanged,
    concatenated,
    index_file,
    merged,
)
from segstream.adapters.stdin import StreamSource
from segstream.core.events import Parsed
from segstream.core.mapping import IDENTITY, Mapping
from segstream.core.rows import WHOLE_ROW
from segstream.core.splitter import Int64
from segstream.errors import SourceError
from segstream.ports import Chunk

# A chunk's arrays and objects stay small, however short the rows.
MAX_CHUNK_ENTRIES: Final = 1 << 17
# Rows this close together are read in one go, and cut apart after.
_SPAN_FACTOR: Final = 4


@dataclass(frozen=True, slots=True)
class Places(Sequence[str]):
    """Where entries stand, `sales.csv:17`, written out when asked."""

    names: Sequence[str]
    files: Sequence[int]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> "Places": ...
    def __getitem__(self, at: int | slice) -> "str | Places":
        if isinstance(at, slice):
            return Places(self.names, self.files[at], self.lines[at])
        return f"{self.names[self.files[at]]}:{self.lines[at]}"


class FileSource:
    """Rows of files in time order.

    An index pass over each file comes first: all that can be wrong with a file as a whole shows
    before the first event. Ties in time keep the order of file, row and rule; a row whose time
    cannot be read stays behind the row before it, to become a dead letter where it stands.

    Parameters
    ----------
    paths
        One or more files.
    work_dir
        Where decompressed copies of gzip files go until `close`; the system's default if None.

    Attributes
    ----------
    total
        Number of entries.
    first_ms, last_ms
        Time of the first and last entry, epoch ms.

    Raises
    ------
    SourceError
        A file is missing, a directory, empty, truncated or not text.
    ConfigError
        The mapping does not fit a file.
    """

    def __init__(
        self, paths: Sequence[Path], mapping: Mapping = IDENTITY, work_dir: Path | None = None
    ) -> None:
        if not paths:
            raise SourceError("expected at least one file, got none. Name one.")
        self._folder = _working_folder(work_dir)
        try:
            folder = Path(self._folder.name)
            parts = [index_file(path, at, mapping, folder) for at, path in enumerate(paths)]
        except BaseException:
            self._folder.cleanup()
            raise
        self._index: Index = merged([part.index for part in parts])
        # The files' own indexes are not needed any more.
        self._parts = [replace(part, index=concatenated([])) for part in parts]
        self._identity = _fingerprint(mapping, paths, parts)
        self.total: int | None = len(self._index)
        if not self.total:
            self.close()
            raise SourceError(f"expected rows in {paths[0]}, got a header at most. Is it complete?")
        self.first_ms: int | None = int(self._index.times[0])
        self.last_ms: int | None = int(self._index.times[-1])

    @property
    def identity(self) -> str:
        """Hex digest of the files' bytes, the lookups' and the mapping."""
        return self._identity

    def read(self, position: int, max_bytes: int) -> Chunk | None:
        """Read entries from `position` on; see `segstream.ports.Source`."""
        if position >= len(self._index):
            return None
        chosen = slice(position, self._stop(position, max_bytes))
        files, lines = self._index.files[chosen], self._index.lines[chosen].tolist()
        payloads: list[bytes] = [b""] * len(files)
        parsed: list[Parsed] = [None] * len(files)
        for file in np.unique(files).tolist():
            at = np.flatnonzero(files == file)
            part = self._parts[file]
            check_unchanged(part.name, part.path, part.stamp)
            own = _read(part, self._index.offsets[chosen][at], self._index.lengths[chosen][at])
            own_lines = lines if len(at) == len(lines) else [lines[one] for one in at.tolist()]
            events = part.reader.parse(own, own_lines, self._index.rules[chosen][at].tolist())
            if len(at) == len(lines):
                payloads, parsed = own, events
                continue
            for one, payload, event in zip(at.tolist(), own, events, strict=True):
                payloads[one], parsed[one] = payload, event
        names = [part.name for part in self._parts]
        return Chunk(position, payloads, parsed, Places(names, files.tolist(), lines))

    def _stop(self, position: int, max_bytes: int) -> int:
        lengths = self._index.lengths[position : position + MAX_CHUNK_ENTRIES]
        fitting = int(np.searchsorted(np.cumsum(lengths, dtype=np.int64), max_bytes, "right"))
        return position + max(1, fitting)

    def digest_at(self, position: int) -> str:
        """Return what `verify` wants later for this position: of files, their identity."""
        del position
        return self._identity

    def verify(self, position: int, digest: str) -> None:
        """Check that what was consumed up to `position` is what is here.

        Raises
        ------
        SourceError
            It is not.
        """
        if digest != self.digest_at(position):
            raise SourceError(
                f"expected the files and mapping whose first {position} entries were consumed,"
                " got others. Name the same ones, or start anew with an empty state."
            )

    def skips(self, position: int) -> Counter[str]:
        """Count the skipped rows before `position`, by reason."""
        rules = self._index.rules[:position]
        numbers = np.bincount(-1 - rules[(rules < 0) & (rules > WHOLE_ROW)].astype(np.int64))
        found: Counter[str] = Counter()
        for at in np.flatnonzero(numbers).tolist():
            found[self._parts[0].reader.skip_reasons[at]] += int(numbers[at])
        return found

    def close(self) -> None:
        """Remove the decompressed copies."""
        self._folder.cleanup()


def open_source(
    names: Sequence[str],
    mapping: Mapping = IDENTITY,
    work_dir: Path | None = None,
    stdin: BinaryIO | None = None,
) -> FileSource | StreamSource:
    """Open files by their paths, or `-` for stdin.

    Parameters
    ----------
    stdin
        What `-` stands for: `sys.stdin.buffer`. Its lookup files are in the current folder.

    Raises
    ------
    SourceError
        `-` is named beside files; else see `FileSource`.
    """
    if "-" not in names:
        return FileSource([Path(name) for name in names], mapping, work_dir)
    if len(names) > 1 or stdin is None:
        raise SourceError(
            f"expected `-` (stdin) alone, got {len(names)} sources. A pipe cannot be sorted into"
            " files by time: name either files, or `-`."
        )
    return StreamSource(stdin, mapping)


def _working_folder(parent: Path | None) -> "TemporaryDirectory[str]":
    try:
        return TemporaryDirectory(prefix="segstream-", dir=parent)
    except OSError as error:
        raise SourceError(
            f"expected a writable working directory, got {error}. Make it, or name another."
        ) from error


def _fingerprint(mapping: Mapping, paths: Sequence[Path], parts: Sequence[FilePart]) -> str:
    digest = hashlib.sha256(mapping.text.encode())
    for path, part in zip(paths, parts, strict=True):
        digest.update(part.digest)
        if "{file}" in mapping.text:
            digest.update(path.name.encode())
    return digest.hexdigest()


def _read(part: FilePart, offsets: Int64, lengths: "np.typing.NDArray[np.int32]") -> list[bytes]:
    """Rows of one file, in the order given."""
    ends = offsets + lengths
    start, stop = int(offsets.min()), int(ends.max())
    try:
        with part.path.open("rb") as file:
            if stop - start <= _SPAN_FACTOR * int(lengths.sum()) + 65_536:
                file.seek(start)
                span = file.read(stop - start)
                pairs = zip((offsets - start).tolist(), (ends - start).tolist(), strict=True)
                rows = [span[a:b] for a, b in pairs]
            else:
                rows = []
                for offset, length in zip(offsets.tolist(), lengths.tolist(), strict=True):
                    file.seek(offset)
                    rows.append(file.read(length))
    except OSError as error:
        raise SourceError(
            f"expected {part.name} to stay readable, got {error}. Put it back and run again."
        ) from error
    # The file may have shrunk since it was last looked at.
    check_unchanged(part.name, part.path, part.stamp)
    return rows
