"""Folding: one event into its record. Nothing here evaluates or decides."""

from segstream.core.columns import Columns
from segstream.core.compiled import inlined
from segstream.core.judging import mark_dirty
from segstream.core.layout import (
    AS_OF,
    EVENTS,
    FIRST_HOUR,
    FOUND_FROM,
    FOUND_SUMS,
    FOUND_UNTIL,
    HOUR_MS,
    LAST_HOUR,
    LATE,
    MEMORY_HOURS,
    NEVER,
    ORDERS,
    SEEN,
    Layout,
    Records,
)
from segstream.core.lists import (
    drop_older,
    drop_oldest_order,
    drop_tiles,
    find,
    insert,
    merge_oldest_tiles,
    remember,
    set_hour,
    tile_at,
)
from segstream.core.spec import SpecArrays


@inlined
def add_to_sums(
    spec: SpecArrays, layout: Layout, records: Records,
    row: int, hour: int, as_of_hour: int, measure: int, amount: int,
) -> None:  # fmt: skip
    """Keep the window sums of the row true to its tiles, where they stand at `as_of_hour`."""
    found = records.found[row]
    if as_of_hour < found[FOUND_FROM] or as_of_hour >= found[FOUND_UNTIL]:
        found[FOUND_UNTIL] = 0
        return
    # Before `as_of_hour` a tile that is too old now may have been within.
    found[FOUND_FROM] = as_of_hour
    for w in range(layout.n_windows):
        if as_of_hour - hour < spec.windows[w]:
            found[FOUND_SUMS + w * layout.n_measures + measure] += amount
            found[FOUND_UNTIL] = min(found[FOUND_UNTIL], hour + spec.windows[w])


@inlined
def add_to_tile(
    spec: SpecArrays, layout: Layout, records: Records,
    row: int, hour: int, as_of_hour: int, measure: int, amount: int,
) -> None:  # fmt: skip
    """Add to a measure in its hour, where a window still reaches it, and to the lifetime."""
    records.head[row, layout.totals + measure] += amount
    if as_of_hour - hour < layout.keep_hours:
        at = tile_at(layout, records, row, hour)
        records.arena[at + 1 + measure] += amount
        add_to_sums(spec, layout, records, row, hour, as_of_hour, measure, amount)


@inlined
def fold_order(
    spec: SpecArrays, layout: Layout, records: Records,
    row: int, order_hash: int, bits: int, hour: int, as_of_hour: int,
) -> None:  # fmt: skip
    """Count an order once, in the hour of its earliest line, for every measure a line matches."""
    known, at, old_bits, earliest = False, 0, 0, hour
    if order_hash != 0:
        at, known = find(layout, records, row, ORDERS, order_hash)
        if known:
            old_bits, earliest = records.arena[at + 2], min(records.arena[at + 1], hour)
    for o in range(len(spec.order_measures)):
        measure, bit = spec.order_measures[o], 1 << o
        if old_bits & bit and earliest < records.arena[at + 1]:
            counted = records.arena[at + 1]
            add_to_tile(spec, layout, records, row, counted, as_of_hour, measure, -1)
            add_to_tile(spec, layout, records, row, earliest, as_of_hour, measure, 1)
        elif bits & bit and not old_bits & bit:
            add_to_tile(spec, layout, records, row, earliest, as_of_hour, measure, 1)
    if order_hash == 0:
        return
    if not known:
        if as_of_hour - hour >= MEMORY_HOURS:
            return
        at = insert(layout, records, row, ORDERS, at, order_hash)
    set_hour(records, row, ORDERS, at, earliest)
    records.arena[at + 2] = old_bits | bits
    drop_oldest_order(layout, records, row)


@inlined
def fold_slots(layout: Layout, records: Records, row: int, bits: int, hour: int) -> None:
    """Widen the first and last hour of each recency slot the event touches."""
    head = records.head[row]
    for s in range(layout.n_slots):
        if bits & (1 << s):
            at = layout.slots + 2 * s
            if head[at] == NEVER or hour < head[at]:
                head[at] = hour
            head[at + 1] = max(head[at + 1], hour)


@inlined
def fold_attributes(layout: Layout, records: Records, row: int, columns: Columns, e: int) -> None:
    """Keep the latest value of each attribute; of equal times, the larger."""
    head = records.head[row]
    for a in range(layout.n_attributes):
        if columns.attribute_bits[e] & (1 << a):
            at = layout.attributes + 2 * a
            value, time_ms = columns.attributes[e, a], columns.time_ms[e]
            newer = time_ms > head[at + 1] or (time_ms == head[at + 1] and value > head[at])
            if newer:
                head[at] = value
                head[at + 1] = time_ms


@inlined
def fold(
    spec: SpecArrays, layout: Layout, records: Records, columns: Columns, e: int, as_of: int
) -> None:
    """Fold one event into its record; nothing is evaluated here."""
    row = columns.slot[e]
    head = records.head[row]
    hour, as_of_hour = columns.time_ms[e] // HOUR_MS, as_of // HOUR_MS
    drop_older(layout, records, row, SEEN, as_of_hour - MEMORY_HOURS)
    drop_older(layout, records, row, ORDERS, as_of_hour - MEMORY_HOURS)
    if as_of_hour - hour < MEMORY_HOURS:
        remember(layout, records, row, columns.event_hash[e], hour)
    else:
        records.counters[LATE] += 1
    for m in range(layout.n_measures):
        if columns.adds[e, m] != 0:
            add_to_tile(spec, layout, records, row, hour, as_of_hour, m, columns.adds[e, m])
    if columns.order_bits[e] != 0:
        fold_order(
            spec, layout, records, row, columns.order_hash[e], columns.order_bits[e], hour,
            as_of_hour,
        )  # fmt: skip
    fold_slots(layout, records, row, columns.slot_bits[e], hour)
    fold_attributes(layout, records, row, columns, e)
    head[FIRST_HOUR] = min(head[FIRST_HOUR], hour)
    head[LAST_HOUR] = max(head[LAST_HOUR], hour)
    head[EVENTS] += 1
    head[AS_OF] = as_of
    drop_tiles(layout, records, row, as_of_hour)
    merge_oldest_tiles(layout, records, row)
    mark_dirty(records, row)
