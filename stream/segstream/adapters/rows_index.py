"""The index pass over files: where each row's events lie, and when they happened.

About 30 bytes a row, and never a whole file's rows as objects.
"""

import gzip
import hashlib
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from segstream.adapters.feed import GZIP_MAGIC, FeedReader, file_name
from segstream.core.mapping import Mapping
from segstream.core.rows import NO_TIME, RowReader
from segstream.core.splitter import Int64, Rows
from segstream.errors import ConfigError, SourceError

BLOCK_BYTES: Final = 1 << 22
_SUFFIXES: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}


@dataclass(frozen=True)
class Index:
    """Events of one or more files; arrays of equal length.

    Attributes
    ----------
    times
        Epoch ms; a row without takes the time of the row before it.
    files
        Ordinal of the file.
    offsets, lengths
        Bytes of the row in its file.
    lines
        Line on which the row begins, from 1.
    rules
        See `segstream.core.rows.Plan`.
    """

    times: Int64
    files: npt.NDArray[np.int32]
    offsets: Int64
    lengths: npt.NDArray[np.int32]
    lines: npt.NDArray[np.int32]
    rules: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True)
class FilePart:
    """One file of a source, indexed.

    Attributes
    ----------
    name
        What people call it: its path as given.
    path
        What is read: the file, or its decompressed copy.
    stamp
        Inode, size and modification time of `path` when it was indexed.
    reader
        The mapping, compiled for the file's header.
    digest
        SHA-256 of the file's bytes.
    """

    name: str
    path: Path
    stamp: tuple[int, int, int]
    reader: RowReader
    digest: bytes
    index: Index


def stamp_of(path: Path) -> tuple[int, int, int]:
    """Inode, size and modification time in ns."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def check_file(path: Path, mapping: Mapping) -> None:
    """Refuse what cannot be a feed's file.

    Raises
    ------
    SourceError
        It is missing, a directory, empty, or not text.
    ConfigError
        Its format is not the mapping's.
    """
    if path.is_dir():
        raise SourceError(
            f"expected a file, got the directory {path}. Name its files, e.g. {path}/*.jsonl."
        )
    if path.exists() and not path.is_file():
        raise SourceError(
            f"expected a file, got {path}, which can be read only once. Pipe it to stdin instead,"
            " named `-`."
        )
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise SourceError(f"expected a readable file, got {error}. Mend the path.") from error
    if not head:
        raise SourceError(f"expected rows in {path}, got an empty file. Was its export cut off?")
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    expected = mapping.declared.format
    if _SUFFIXES.get(suffix, expected) != expected:
        raise ConfigError(
            f"{mapping.where}: expected {expected} rows, got the file {path}. Name a mapping for"
            " it with --mapping."
        )


def unpack(path: Path, folder: Path) -> Path:
    """Decompress a gzip file once, as a whole, so that nothing of a broken one is applied."""
    target = folder / f"{len(list(folder.iterdir()))}-{path.with_suffix('').name}"
    try:
        with gzip.open(path) as packed, target.open("wb") as out:
            shutil.copyfileobj(packed, out, BLOCK_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(
            f"{path}: expected a complete gzip file, got: {error}. Copy it again; nothing of it"
            " was applied."
        ) from error
    except OSError as error:
        raise SourceError(
            f"expected to decompress {path} into {folder}, got {error}. Free some space, or set"
            " the working directory."
        ) from error
    return target


def index_file(path: Path, ordinal: int, mapping: Mapping, folder: Path) -> FilePart:
    """Read a file once: its rows' places, times and digest.

    Parameters
    ----------
    folder
        Where a decompressed copy goes.
    """
    check_file(path, mapping)
    try:
        return _index_file(path, ordinal, mapping, folder)
    except OSError as error:
        raise SourceError(
            f"expected {path} to stay readable, got {error}. Run again when it is complete."
        ) from error


def _index_file(path: Path, ordinal: int, mapping: Mapping, folder: Path) -> FilePart:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    source = unpack(path, folder) if packed else path
    stamp = stamp_of(source)
    digest = hashlib.sha256()
    feed = FeedReader(mapping, path.parent, str(path), file_name(path))
    parts = []
    for block in _blocks(source):
        if not packed:
            digest.update(block)
        parts.append(_entries(feed, feed.feed(block), ordinal))
    parts.append(_entries(feed, feed.finish(), ordinal))
    if packed:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    check_unchanged(str(path), source, stamp)
    digest.update(feed.tables_digest.encode())
    index = concatenated(parts)
    _carry_times(index.times)
    return FilePart(str(path), source, stamp, feed.reader, digest.digest(), index)


def check_unchanged(name: str, path: Path, stamp: tuple[int, int, int]) -> None:
    """Refuse to go on where a file is not what was indexed."""
    try:
        now = stamp_of(path)
    except OSError as error:
        raise SourceError(
            f"expected {name} to stay where it is, got {error}. Put it back and run again: it goes"
            " on where it stopped."
        ) from error
    if now != stamp:
        raise SourceError(
            f"expected {name} to stay as it was, got a change of its bytes: {stamp[1]} bytes, now"
            f" {now[1]}. Run again on a file that nothing writes to; use stdin for one that grows."
        )


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _entries(feed: FeedReader, rows: Rows, ordinal: int) -> Index:
    """Index entries of some rows; no time is carried yet."""
    if not rows.payloads:
        return _empty()
    plan = feed.reader.plan(rows.payloads, rows.lines.tolist())
    at = np.array(plan.rows, np.int64)
    lengths = np.fromiter(map(len, rows.payloads), np.int32, count=len(rows.payloads))
    return Index(
        times=np.array(plan.times, np.int64),
        files=np.full(len(at), ordinal, np.int32),
        offsets=rows.offsets[at],
        lengths=lengths[at],
        lines=rows.lines[at].astype(np.int32),
        rules=np.array(plan.rules, np.int8),
    )


def _empty() -> Index:
    wide, narrow = np.empty(0, np.int64), np.empty(0, np.int32)
    return Index(wide, narrow, wide, narrow, narrow, np.empty(0, np.int8))


def concatenated(parts: Sequence[Index]) -> Index:
    """Join indexes, one array at a time."""
    if len(parts) == 1:
        return parts[0]
    parts = list(parts) or [_empty()]
    names = [one.name for one in fields(Index)]
    return Index(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def taken(index: Index, order: Int64) -> Index:
    """Return the entries in another order."""
    return Index(*(getattr(index, one.name)[order] for one in fields(Index)))


def _carry_times(times: Int64) -> None:
    """Give rows without a time that of the row before, at the start that of the first with one."""
    known = times != NO_TIME
    if known.all():
        return
    if not known.any():
        times[:] = 0
        return
    last = np.maximum.accumulate(np.where(known, np.arange(len(times)), -1))
    times[:] = times[np.where(last < 0, np.argmax(known), last)]


def merged(parts: Sequence[Index]) -> Index:
    """Join files' indexes by time; ties stay in the order of file, row and rule."""
    index = concatenated(parts)
    if (index.times[1:] >= index.times[:-1]).all():
        return index
    return taken(index, np.argsort(index.times, kind="stable"))
