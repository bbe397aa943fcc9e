"""Rows out of a stream of bytes, by a mapping: what files and pipes have in common."""

import csv
import gzip
from pathlib import Path
from typing import Final

from segstream.adapters.mapping_files import read_tables
from segstream.core.decoding import decode_rows, json_paths, split_csv
from segstream.core.mapping import Mapping
from segstream.core.rows import RowReader, compile_mapping
from segstream.core.splitter import Rows, RowSplitter
from segstream.errors import SourceError

GZIP_MAGIC: Final = b"\x1f\x8b"
UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
# Enough rows to meet every kind of record of a feed.
SAMPLE_BYTES: Final = 1 << 20


def check_text(head: bytes, where: str, mapping: Mapping) -> None:
    """Refuse a first block that no row can be read from."""
    if head.startswith(UTF16_MARKS) or b"\x00" in head[:256]:
        raise SourceError(
            f"{where}: expected {mapping.declared.encoding} text, got UTF-16 or binary bytes."
            " Convert it, e.g. iconv -f UTF-16 -t UTF-8."
        )
    if mapping.declared.format == "json" and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        raise SourceError(
            f"{where}: expected one JSON object per line, got a JSON array. Convert it, e.g."
            " jq -c '.[]'."
        )


def file_name(path: Path) -> str:
    """Return a file's name without the suffix of its compression, for `{file}`."""
    return path.name.removesuffix(".gz")


class FeedReader:
    """Rows out of a stream of bytes: takes the header off, then compiles the mapping for it.

    Parameters
    ----------
    folder
        Where the lookup files are.
    where, file
        What messages and `{file}` call the stream.
    """

    def __init__(self, mapping: Mapping, folder: Path, where: str, file: str) -> None:
        self._mapping = mapping
        self._where = where
        self._file = file
        self._splitter = RowSplitter(mapping.declared, where)
        self._started = False
        self._tables, self.tables_digest = read_tables(mapping, folder)
        self._reader: RowReader | None = None
        if mapping.declared.format == "json":
            self._reader = compile_mapping(mapping, None, self._tables, file)

    @property
    def reader(self) -> RowReader:
        """The mapping compiled for the header.

        Raises
        ------
        SourceError
            There was no header.
        """
        if self._reader is None:
            raise SourceError(
                f"{self._where}: expected a header in the first row, got no rows. Was its export"
                " cut off?"
            )
        return self._reader

    def feed(self, block: bytes) -> Rows:
        """Return the rows that are complete with this block, without the header."""
        if not self._started:
            check_text(block, self._where, self._mapping)
            self._started = True
        return self._headless(self._splitter.feed(block))

    def finish(self) -> Rows:
        """Return the last row, where no line break ends it."""
        return self._headless(self._splitter.finish())

    def _headless(self, rows: Rows) -> Rows:
        if self._reader is not None or not rows.payloads:
            return rows
        header = split_header(rows.payloads[0], self._where, self._mapping)
        self._reader = compile_mapping(self._mapping, header, self._tables, self._file)
        return Rows(rows.payloads[1:], rows.offsets[1:], rows.lines[1:])


def split_header(payload: bytes, where: str, mapping: Mapping) -> list[str]:
    """Return the column names in a CSV file's first row.

    Raises
    ------
    SourceError
        It cannot be read.
    """
    declared = mapping.declared
    try:
        return split_csv(payload, declared)
    except (ValueError, csv.Error) as error:
        raise SourceError(
            f"{where}: expected a header in {declared.encoding}, got {error}. Declare its encoding"
            ' in the mapping, e.g. encoding = "cp1252".'
        ) from error


def sample_columns(path: Path, mapping: Mapping) -> list[str]:
    """Columns of a CSV file, or the paths of its first JSON rows, for `unused_columns`.

    Raises
    ------
    SourceError
        The file cannot be read, or has no rows.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
        with gzip.open(path) if packed else path.open("rb") as file:
            block = file.read(SAMPLE_BYTES)
    except (OSError, EOFError) as error:
        raise SourceError(f"expected a readable file, got {error}. Mend {path}.") from error
    check_text(block, str(path), mapping)
    splitter = RowSplitter(mapping.declared, str(path))
    payloads = splitter.feed(block).payloads
    payloads = payloads if len(block) == SAMPLE_BYTES else payloads + splitter.finish().payloads
    if not payloads:
        raise SourceError(f"expected rows in {path}, got none. Was its export cut off?")
    if mapping.declared.format == "csv":
        return split_header(payloads[0], str(path), mapping)
    rows = decode_rows(payloads, mapping.declared, 0)
    return json_paths([row for row in rows if isinstance(row, dict)])
