"""Records as bytes: what the store keeps.

One record is a version byte, then LEB128 varints (zigzag where a value can be negative): the
fixed columns, the recency slots, totals and attributes, then each list as its number of entries
and the entries. Hours are differences from the hour before, hashes are eight raw bytes. The same
record always gives the same bytes. A customer's id and hash are not in them: the key has them.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from segstream.core.compiled import allocating, compiled, inlined
from segstream.core.layout import (
    ARENA_USED,
    CAPACITY,
    LENGTH,
    N_LISTS,
    OFFSET,
    STORED_FROM,
    Layout,
    Records,
)  # fmt: skip
from segstream.core.prefetching import ask_lists, ask_row
from segstream.core.spec import IntArray
from segstream.errors import StateError

VERSION: Final = 1
# A varint of 64 bits takes at most ten bytes.
_VARINT_BYTES: Final = 10
_HASHED = (False, True, True, False)

ByteArray = npt.NDArray[np.uint8]


@inlined
def _put(buffer: ByteArray, at: int, value: int) -> int:
    """Write a zigzag varint; returns the position behind it."""
    bits = np.uint64((value << 1) ^ (value >> 63))
    while bits >= np.uint64(128):
        buffer[at] = np.uint8((bits & np.uint64(127)) | np.uint64(128))
        bits >>= np.uint64(7)
        at += 1
    buffer[at] = np.uint8(bits)
    return at + 1


@inlined
def _get(buffer: ByteArray, at: int) -> tuple[np.int64, int]:
    """Read a zigzag varint; returns it and the position behind it.

    Where the buffer ends first, a position behind the buffer: no record ends there.
    """
    bits, shift = np.uint64(0), np.uint64(0)
    while at < len(buffer):
        byte = np.uint64(buffer[at])
        at += 1
        bits |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            return np.int64(bits >> np.uint64(1)) ^ -np.int64(bits & np.uint64(1)), at
        shift += np.uint64(7)
    return np.int64(0), len(buffer) + 1


@inlined
def _put_hash(buffer: ByteArray, at: int, value: int) -> int:
    bits = np.uint64(value)
    for i in range(8):
        buffer[at + i] = np.uint8((bits >> np.uint64(8 * i)) & np.uint64(255))
    return at + 8


@inlined
def _get_hash(buffer: ByteArray, at: int) -> tuple[np.int64, int]:
    bits = np.uint64(0)
    for i in range(min(8, len(buffer) - at)):
        bits |= np.uint64(buffer[at + i]) << np.uint64(8 * i)
    return np.int64(bits), at + 8


@compiled
def words_of(layout: Layout, records: Records, rows: IntArray) -> int:
    """Words of all of a record that is stored, summed over rows."""
    words = len(rows) * (layout.width + N_LISTS + 1)
    for row in rows:
        for which in range(N_LISTS):
            words += records.lists[row, 3 * which + LENGTH]
    return int(words)


@allocating
def encode_rows(layout: Layout, records: Records, rows: IntArray) -> tuple[ByteArray, IntArray]:
    """Encode records; returns the bytes of all and where each ends."""
    buffer = np.empty(words_of(layout, records, rows) * _VARINT_BYTES, dtype=np.uint8)
    ends = np.empty(len(rows), dtype=np.int64)
    at = 0
    for i in range(len(rows)):
        if i + 2 < len(rows):
            ask_row(records, rows[i + 2])
            ask_lists(records, rows[i + 1])
        at = _encode(layout, records, rows[i], buffer, at)
        ends[i] = at
    return buffer[:at].copy(), ends


@compiled
def _encode(layout: Layout, records: Records, row: int, buffer: ByteArray, at: int) -> int:
    buffer[at] = VERSION
    at += 1
    for column in range(STORED_FROM, layout.width):
        at = _put(buffer, at, records.head[row, column])
    for which in range(N_LISTS):
        width = layout.widths[which]
        offset = records.lists[row, 3 * which + OFFSET]
        length = records.lists[row, 3 * which + LENGTH]
        at = _put(buffer, at, length // width)
        before = 0
        for entry in range(offset, offset + length, width):
            first = records.arena[entry]
            if _HASHED[which]:
                at = _put_hash(buffer, at, first)
            else:
                at = _put(buffer, at, first - before)
                before = first
            for i in range(1, width):
                at = _put(buffer, at, records.arena[entry + i])
    return at


@compiled
def _decode(layout: Layout, records: Records, row: int, buffer: ByteArray, at: int) -> int:
    """Read one record behind its version byte; returns the position behind it.

    A list longer than the bytes left is no list: -1, before anything is written.
    """
    for column in range(STORED_FROM, layout.width):
        records.head[row, column], at = _get(buffer, at)
    for which in range(N_LISTS):
        width = layout.widths[which]
        count, at = _get(buffer, at)
        # Every word takes at least one byte, so what passes fits the arena too.
        if count < 0 or count > (len(buffer) - at) // width:
            return -1
        offset = records.counters[ARENA_USED]
        length = count * width
        records.lists[row, 3 * which + OFFSET] = offset
        records.lists[row, 3 * which + LENGTH] = length
        records.lists[row, 3 * which + CAPACITY] = length
        records.counters[ARENA_USED] += length
        before = np.int64(0)
        for entry in range(offset, offset + length, width):
            if _HASHED[which]:
                records.arena[entry], at = _get_hash(buffer, at)
            else:
                step, at = _get(buffer, at)
                before += step
                records.arena[entry] = before
            for i in range(1, width):
                records.arena[entry + i], at = _get(buffer, at)
    return at


@compiled
def decode_rows(
    layout: Layout, records: Records, rows: IntArray, buffer: ByteArray, starts: IntArray
) -> bool:
    """Read records into rows; False where one does not end where the next begins."""
    for i in range(len(rows)):
        # A row may have held another record: what was found in its lists says nothing of this one.
        records.found[rows[i], :] = 0
        if _decode(layout, records, rows[i], buffer, starts[i] + 1) != starts[i + 1]:
            return False
    return True


def joined(blobs: Sequence[bytes]) -> tuple[ByteArray, IntArray]:
    """Lay blobs end to end for `decode_rows`.

    Raises
    ------
    StateError
        A record of another version than this code reads.
    """
    for blob in blobs:
        if not blob or blob[0] != VERSION:
            got = blob[0] if blob else "nothing"
            raise StateError(
                f"state: expected records of version {VERSION}, got {got}; "
                "use the Segstream that wrote them, or rebuild into a new --state directory"
            )
    sizes = np.fromiter(map(len, blobs), dtype=np.int64, count=len(blobs))
    starts = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(sizes)))
    return np.frombuffer(b"".join(blobs), dtype=np.uint8), starts
