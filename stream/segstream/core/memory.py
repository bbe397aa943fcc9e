"""Room for records and outputs: made, grown and compacted; nothing here decides anything."""

from typing import Final

import numpy as np

from segstream.core.compiled import allocating, compiled
from segstream.core.layout import (
    ARENA_USED,
    AS_OF,
    CAPACITY,
    CLOCK_MINUTE,
    CLOCK_MS,
    DAY,
    FOUND_SUMS,
    HOUR_MS,
    LENGTH,
    MINUTE_MS,
    N_CHANGE,
    N_COUNTERS,
    N_LISTS,
    N_PANEL_COLUMNS,
    OFFSET,
    Layout,
    ModelArrays,
    Outputs,
    Policy,
    Records,
    Totals,
)  # fmt: skip
from segstream.core.spec import CompiledSpec, FloatArray, IntArray, SpecArrays
from segstream.core.turns import last_turn_minute
from segstream.core.vectors import fill_raw, scale

# Enough not to stop often, little enough to be nothing beside the records.
_OUTPUT_ROWS: Final = 8192
_FIRST_ROWS: Final = 1024
_FIRST_WORDS: Final = 1 << 16
# Room a list keeps when the arena is packed: without it every list moves at its next entry.
_SLACK_WORDS: Final = 12


def new_records(layout: Layout, sweep_minutes: int) -> Records:
    """Return empty records."""
    counters = np.zeros(N_COUNTERS, dtype=np.int64)
    counters[[CLOCK_MS, CLOCK_MINUTE, DAY]] = -1
    return Records(
        np.zeros((_FIRST_ROWS, layout.width), dtype=np.int64),
        np.zeros((_FIRST_ROWS, 3 * N_LISTS), dtype=np.int64),
        np.zeros((_FIRST_ROWS, FOUND_SUMS + layout.n_windows * layout.n_measures), dtype=np.int64),
        np.zeros(_FIRST_WORDS, dtype=np.int64),
        np.full(_FIRST_ROWS, -1, dtype=np.int64),
        np.full((sweep_minutes, 2), -1, dtype=np.int64),
        np.zeros(_FIRST_ROWS, dtype=np.uint8),
        np.zeros(_FIRST_ROWS, dtype=np.int64),
        counters,
    )


def grown(records: Records, rows: int) -> Records:
    """Return the same records with room for more rows."""
    more = rows - len(records.head)

    def longer(array: IntArray) -> IntArray:
        padding = np.zeros((more, *array.shape[1:]), dtype=array.dtype)
        return np.concatenate((array, padding))

    return records._replace(
        head=longer(records.head),
        lists=longer(records.lists),
        found=longer(records.found),
        roster_next=longer(records.roster_next),
        dirty=longer(records.dirty),  # type: ignore[arg-type]
        dirty_rows=longer(records.dirty_rows),
    )


def compact(records: Records, words: int) -> Records:
    """Return the same records without holes, with free room for `words` more.

    Where `words` is 0, for what the largest record may ask for, and as much again as lives.
    """
    lengths = records.lists[:, LENGTH::3]
    live = int(lengths.sum() * 5 // 4) + _SLACK_WORDS * int(np.count_nonzero(lengths))
    free = max(words, live, 4 * int(lengths.sum(axis=1).max()), _FIRST_WORDS)
    arena = np.zeros(live + free, dtype=np.int64)
    lists = records.lists.copy()
    records.counters[ARENA_USED] = _repack(records.lists, records.arena, lists, arena)
    return records._replace(lists=lists, arena=arena)


@compiled
def _repack(old_lists: IntArray, old: IntArray, lists: IntArray, arena: IntArray) -> int:
    used = 0
    for row in range(old_lists.shape[0]):
        for which in range(N_LISTS):
            offset = old_lists[row, 3 * which + OFFSET]
            length = old_lists[row, 3 * which + LENGTH]
            for i in range(length):
                arena[used + i] = old[offset + i]
            lists[row, 3 * which + OFFSET] = used
            capacity = length + length // 4 + _SLACK_WORDS if length > 0 else 0
            lists[row, 3 * which + CAPACITY] = capacity
            used += capacity
    return used


def new_outputs(spec: CompiledSpec, layout: Layout) -> Outputs:
    """Return room for what a run produces."""
    n_features = spec.n_features
    return Outputs(
        np.zeros((_OUTPUT_ROWS, N_CHANGE), dtype=np.int64),
        np.zeros((_OUTPUT_ROWS, n_features), dtype=np.float64),
        np.zeros((_OUTPUT_ROWS, n_features), dtype=np.float64),
        np.zeros((_OUTPUT_ROWS, N_PANEL_COLUMNS), dtype=np.int64),
        np.zeros((_OUTPUT_ROWS, n_features), dtype=np.float64),
        np.zeros(n_features, dtype=np.float64),
        np.zeros(n_features, dtype=np.float64),
        np.zeros((len(spec.arrays.windows) + 1, layout.n_measures), dtype=np.int64),
    )


def new_totals(k: int, n_features: int) -> Totals:
    """Return a day's totals at zero."""
    return Totals(
        np.zeros(k, dtype=np.int64),
        np.zeros((k, n_features), dtype=np.int64),
        np.zeros(k, dtype=np.int64),
    )


@allocating
def evaluate_rows(
    spec: SpecArrays, layout: Layout, model: ModelArrays, policy: Policy, records: Records,
    rows: IntArray, out: Outputs,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Raw and scaled features of rows as of each one's last evaluation; shapes (n, F)."""
    n_features = len(spec.operation)
    raw = np.empty((len(rows), n_features), dtype=np.float64)
    scaled = np.empty((len(rows), n_features), dtype=np.float64)
    for i in range(len(rows)):
        row = rows[i]
        last = last_turn_minute(policy, records, row) * MINUTE_MS
        as_of = max(records.head[row, AS_OF], last)
        fill_raw(spec, layout, records, row, as_of // HOUR_MS, out)
        raw[i] = out.raw
        scale(spec, model, raw[i], scaled[i])
    return raw, scaled
