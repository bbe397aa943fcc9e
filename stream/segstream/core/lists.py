"""The arena's lists: sorted rows of words that grow in place or move to the arena's end."""

from segstream.core.compiled import compiled, inlined
from segstream.core.layout import (
    ARENA_USED,
    CAPACITY,
    END_OF_TIME,
    FOUND_OLDEST,
    FOUND_UNTIL,
    LENGTH,
    MAX_ORDERS,
    MAX_TILES,
    N_LISTS,
    OFFSET,
    ORDERS,
    SEEN,
    TILES,
    Layout,
    Records,
)

# What one event may need at most, in entries, of each list; see `has_room`.
GROWTH = 2


@inlined
def has_room(layout: Layout, records: Records, row: int) -> bool:
    """Whether one more event of this row surely fits the arena's free words."""
    need = 0
    for which in range(N_LISTS):
        length = records.lists[row, 3 * which + LENGTH]
        need += 2 * length + 4 * GROWTH * layout.widths[which]
    return bool(records.counters[ARENA_USED] + need <= len(records.arena))


@inlined
def find(layout: Layout, records: Records, row: int, which: int, key: int) -> tuple[int, bool]:
    """Arena position of the first entry with a key >= `key`, and whether it is equal."""
    width = layout.widths[which]
    offset = records.lists[row, 3 * which + OFFSET]
    low, high = 0, records.lists[row, 3 * which + LENGTH] // width
    while low < high:
        middle = (low + high) // 2
        if records.arena[offset + middle * width] < key:
            low = middle + 1
        else:
            high = middle
    at = offset + low * width
    end = offset + records.lists[row, 3 * which + LENGTH]
    return at, at < end and records.arena[at] == key


@inlined
def insert(layout: Layout, records: Records, row: int, which: int, at: int, key: int) -> int:
    """Make a zeroed entry with `key` at arena position `at`; returns its position."""
    width = layout.widths[which]
    column = 3 * which
    offset = records.lists[row, column + OFFSET]
    length = records.lists[row, column + LENGTH]
    if length + width > records.lists[row, column + CAPACITY]:
        capacity = 2 * length + GROWTH * width
        moved = records.counters[ARENA_USED]
        records.counters[ARENA_USED] += capacity
        for i in range(length):
            records.arena[moved + i] = records.arena[offset + i]
        at = moved + (at - offset)
        offset = moved
        records.lists[row, column + OFFSET] = offset
        records.lists[row, column + CAPACITY] = capacity
    for i in range(offset + length - 1, at - 1, -1):
        records.arena[i + width] = records.arena[i]
    records.arena[at] = key
    for i in range(1, width):
        records.arena[at + i] = 0
    records.lists[row, column + LENGTH] = length + width
    return at


@compiled
def remove(layout: Layout, records: Records, row: int, which: int, at: int) -> None:
    """Take the entry at arena position `at` out."""
    width = layout.widths[which]
    end = records.lists[row, 3 * which + OFFSET] + records.lists[row, 3 * which + LENGTH]
    for i in range(at, end - width):
        records.arena[i] = records.arena[i + width]
    records.lists[row, 3 * which + LENGTH] -= width


@inlined
def drop_older(layout: Layout, records: Records, row: int, which: int, hour: int) -> None:
    """Keep the entries of `seen` or `orders` whose hour (their second word) is after `hour`."""
    if records.found[row, FOUND_OLDEST + which] > hour:
        return
    width = layout.widths[which]
    offset = records.lists[row, 3 * which + OFFSET]
    end = offset + records.lists[row, 3 * which + LENGTH]
    kept, oldest = offset, END_OF_TIME
    for at in range(offset, end, width):
        if records.arena[at + 1] > hour:
            oldest = min(oldest, records.arena[at + 1])
            if kept != at:
                for i in range(width):
                    records.arena[kept + i] = records.arena[at + i]
            kept += width
    records.lists[row, 3 * which + LENGTH] = kept - offset
    records.found[row, FOUND_OLDEST + which] = oldest


@inlined
def set_hour(records: Records, row: int, which: int, at: int, hour: int) -> None:
    """Write the hour of the entry of `seen` or `orders` at arena position `at`."""
    records.arena[at + 1] = hour
    oldest = records.found[row, FOUND_OLDEST + which]
    records.found[row, FOUND_OLDEST + which] = min(oldest, hour)


@inlined
def drop_oldest_order(layout: Layout, records: Records, row: int) -> None:
    """Forget the order of the earliest hour (of equals, the lowest hash) over the limit."""
    width = layout.widths[ORDERS]
    if records.lists[row, 3 * ORDERS + LENGTH] <= MAX_ORDERS * width:
        return
    offset = records.lists[row, 3 * ORDERS + OFFSET]
    end = offset + records.lists[row, 3 * ORDERS + LENGTH]
    oldest = offset
    for at in range(offset, end, width):
        if records.arena[at + 1] < records.arena[oldest + 1]:
            oldest = at
    remove(layout, records, row, ORDERS, oldest)


@inlined
def drop_tiles(layout: Layout, records: Records, row: int, hour: int) -> None:
    """Drop tiles that no window at `hour` or later can reach."""
    width = layout.widths[TILES]
    offset = records.lists[row, 3 * TILES + OFFSET]
    length = records.lists[row, 3 * TILES + LENGTH]
    gone = 0
    while gone < length and hour - records.arena[offset + gone] >= layout.keep_hours:
        gone += width
    if gone > 0:
        for i in range(offset, offset + length - gone):
            records.arena[i] = records.arena[i + gone]
        records.lists[row, 3 * TILES + LENGTH] = length - gone


@compiled
def merge_oldest_tiles(layout: Layout, records: Records, row: int) -> None:
    """Over the limit of tiles, the oldest UTC day of several becomes one, in its last hour."""
    width = layout.widths[TILES]
    while records.lists[row, 3 * TILES + LENGTH] > MAX_TILES * width:
        offset = records.lists[row, 3 * TILES + OFFSET]
        end = offset + records.lists[row, 3 * TILES + LENGTH]
        at = offset
        while at + width < end and records.arena[at] // 24 != records.arena[at + width] // 24:
            at += width
        if at + width >= end:
            return
        for m in range(1, width):
            records.arena[at + m] += records.arena[at + width + m]
        records.arena[at] = records.arena[at + width]
        remove(layout, records, row, TILES, at + width)
        records.found[row, FOUND_UNTIL] = 0


@inlined
def tile_at(layout: Layout, records: Records, row: int, hour: int) -> int:
    """Arena position of the tile of an hour, made where there is none."""
    at, found = find(layout, records, row, TILES, hour)
    return at if found else insert(layout, records, row, TILES, at, hour)


@inlined
def remember(layout: Layout, records: Records, row: int, event_hash: int, hour: int) -> None:
    """Add an event id to the memory of the row."""
    at, found = find(layout, records, row, SEEN, event_hash)
    if not found:
        at = insert(layout, records, row, SEEN, at, event_hash)
        set_hour(records, row, SEEN, at, hour)
