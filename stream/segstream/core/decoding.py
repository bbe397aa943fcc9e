"""Bytes of one row, read with the declared format."""

import csv
import itertools
from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from segstream.core.declaration import Declaration
from segstream.core.events import MAX_EVENT_BYTES, too_large
from segstream.errors import BadEventError

Row = list[str] | dict[str, Any]
_OBJECTS: Final = msgspec.json.Decoder(dict[str, Any])
# RecursionError: JSON nested deeper than Python's stack.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_rows(
    payloads: Sequence[bytes], declared: Declaration, width: int
) -> list[Row | BadEventError]:
    """Read rows of the declared format, each a dead letter of its own where it is unreadable."""
    if declared.format == "csv":
        return list(_decode_csv(payloads, declared, width))
    return list(_decode_json(payloads))


def _decode_json(payloads: Sequence[bytes]) -> Sequence[Row | BadEventError]:
    joined = b"\n".join(payloads)
    if len(joined) <= MAX_EVENT_BYTES:
        try:
            rows = _OBJECTS.decode_lines(joined)
        except UNREADABLE:
            rows = []
        if len(rows) == len(payloads):
            return rows
    return [_decode_object(payload) for payload in payloads]


def _decode_object(payload: bytes) -> Row | BadEventError:
    if len(payload) > MAX_EVENT_BYTES:
        return too_large(payload)
    try:
        return _OBJECTS.decode(payload)
    except UNREADABLE as error:
        return BadEventError("not_json", f"expected one JSON object, got {error}")


def _decode_csv(
    payloads: Sequence[bytes], declared: Declaration, width: int
) -> Sequence[Row | BadEventError]:
    try:
        texts = [payload.decode(declared.encoding) for payload in payloads]
        rows = list(csv.reader(texts, delimiter=declared.delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error):
        rows = []
    small = max(map(len, payloads), default=0) <= MAX_EVENT_BYTES
    if len(rows) == len(payloads) and small and all(len(row) == width for row in rows):
        return rows
    return [_decode_line(payload, declared, width) for payload in payloads]


def _decode_line(payload: bytes, declared: Declaration, width: int) -> Row | BadEventError:
    if len(payload) > MAX_EVENT_BYTES:
        return too_large(payload)
    try:
        row = split_csv(payload, declared)
    except UnicodeDecodeError as error:
        return BadEventError("bad_row", f"expected {declared.encoding} text, got {error}")
    except csv.Error as error:
        return BadEventError("bad_row", f"expected a CSV row, got {error}")
    if len(row) != width:
        return BadEventError(
            "bad_row", f"expected {width} columns as in the header, got {len(row)}"
        )
    return row


def split_csv(payload: bytes, declared: Declaration) -> list[str]:
    """Return the cells of one row.

    Raises
    ------
    UnicodeDecodeError, csv.Error
        It cannot be read; what the caller makes of it depends on where it stands.
    """
    text = payload.decode(declared.encoding)
    rows = list(csv.reader([text], delimiter=declared.delimiter, strict=True))
    return list(itertools.chain.from_iterable(rows))


def json_paths(rows: Sequence[MappingOf[str, Any]]) -> list[str]:
    """Paths of all values in JSON rows, in order of appearance, for `unused_columns`.

    >>> json_paths([{"a": 1, "b": {"c": 2}}, {"d": [{"e": 3}]}])
    ['a', 'b.c', 'd.e']
    """
    found: dict[str, None] = {}
    for row in rows:
        for name, value in row.items():
            inner = value if isinstance(value, list) else [value]
            dicts = [one for one in inner if isinstance(one, dict)]
            paths = [f"{name}.{path}" for path in json_paths(dicts)] if dicts else [name]
            found.update(dict.fromkeys(paths))
    return list(found)
