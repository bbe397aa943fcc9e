"""Where everything stands in a record, for the kernel and the codec.

A record is one row of `head` (fixed columns) and four lists in a shared arena:

    tiles    hour, then one total per measure       ascending by hour
    seen     event hash, hour                       ascending by hash; 48 h of event time
    orders   order hash, earliest hour, order bits  ascending by hash; 48 h, at most 256
    entries  segment id, times entered              ascending by segment id
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from segstream.core.spec import CompiledSpec, FloatArray, IntArray

# Columns of `head`. LIVE and HASH follow from the roster and the id; the rest is stored.
(
    LIVE, HASH,
    EVENTS, AS_OF, FIRST_HOUR, LAST_HOUR,
    SEGMENT, SINCE, SEQUENCE, VERSION, GENERATION, FORMER_SEGMENT, FORMER_GENERATION,
    PENDING_SEGMENT, PENDING_REASON,
) = range(15)  # fmt: skip
STORED_FROM: Final = EVENTS
FIXED: Final = 15
NO_SEGMENT: Final = -1
NEVER: Final = -1

TILES, SEEN, ORDERS, ENTRIES = range(4)
N_LISTS: Final = 4
# Each list's three columns in `lists`.
OFFSET, LENGTH, CAPACITY = range(3)

# Columns of `found`. The window sums stand for hours from FOUND_FROM to before FOUND_UNTIL; no
# entry of `seen` or `orders` is of an hour before FOUND_OLDEST + which.
FOUND_FROM, FOUND_UNTIL = 0, 1
FOUND_OLDEST: Final = 2 - SEEN
FOUND_SUMS: Final = 4
END_OF_TIME: Final = 1 << 62
"""An hour after all others."""

# Counters the kernel keeps.
(
    ARENA_USED, N_DIRTY, CLOCK_MS, CLOCK_MINUTE, DAY, N_CHANGES, N_PANEL, ENDED_SLOT,
    APPLIED, DUPLICATES, LATE, CUSTOMERS, EVALUATIONS,
) = range(13)  # fmt: skip
N_COUNTERS: Final = 13

HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000
DAY_MINUTES: Final = 1440
MEMORY_HOURS: Final = 48
"""How long event ids and orders are remembered, in event time."""
MAX_ORDERS: Final = 256
MAX_TILES: Final = 1024
VECTOR_ONE: Final = 1 << 20
"""The learner adds vectors as integers, so that sums do not depend on their order."""
MOST_DISTANT: Final = 1e9
"""Of a squared distance, the largest that is added up: sums of many stay within int64."""

# Why a segment changed, as the kernel writes it.
FIRST, BEHAVIOUR, TIME, MODEL, RECLUSTER, ROLLBACK, FORGOTTEN, ERASED = range(8)
REASONS: Final = (
    "first", "behaviour", "time", "model", "recluster", "rollback", "forgotten", "erased",
)  # fmt: skip

# Columns of one change row.
(
    C_SLOT, C_EVENT, C_FROM, C_TO, C_REASON, C_AS_OF, C_SEQUENCE, C_ENTERED, C_SINCE, C_MINUTE,
) = range(10)  # fmt: skip
N_CHANGE: Final = 10
# Columns of one panel row.
P_SLOT, P_HASH, P_HOUR, P_SEGMENT, P_EVENT = range(5)
N_PANEL_COLUMNS: Final = 5
NOT_AN_EVENT: Final = -1

# Why the kernel stopped.
DONE, DAY_CLOSED, FULL, ARENA, ENDED = range(5)


class Policy(NamedTuple):
    """What governs publishing, not learning.

    Attributes
    ----------
    margin
        Leave segment s for t only if d2(t) < (1 - margin) d2(s); 0 <= margin < 1.
    dwell_ms
        Event time to stay in a segment before the next change.
    min_events
        Events before a first segment, >= 1.
    sweep_minutes
        Everybody is evaluated once in so many minutes; divides a day.
    forget_hours
        Silence after which a customer is removed.
    panel_bits
        Leading zero bits of the customer hash that make a panel member.
    observe_events
        1 where the learner also wants the panel's vectors at events.
    """

    margin: float
    dwell_ms: int
    min_events: int
    sweep_minutes: int
    forget_hours: int
    panel_bits: int
    observe_events: int


class ModelArrays(NamedTuple):
    """The model as the kernel reads it; k segments, F features, k = 0 before the first.

    Attributes
    ----------
    ids : shape (k,), segment ids, row order = segment index
    centres : shape (k, F), scaled units
    mean, weight, median : shape (F,); scaled = (transformed - mean) * weight
    version : shape (6,)
        Version number, instant (minute) it was adopted, generation, instant (minute) the
        generation was adopted, reason of changes the generation causes, generation restored by
        a rollback (else -1).
    """

    ids: IntArray
    centres: FloatArray
    mean: FloatArray
    weight: FloatArray
    median: FloatArray
    version: IntArray


V_NUMBER, V_MINUTE, V_GENERATION, V_GENERATION_MINUTE, V_REASON, V_RESTORES = range(6)


class Records(NamedTuple):
    """Every record of a partition that is in memory; n rows, T turns.

    Attributes
    ----------
    head : shape (n, H)
    lists : shape (n, 12), offset, length, capacity of each list, in arena words
    found : shape (n, 4 + W M)
        What the last look through a row's lists found, so that the next can be spared; zeros
        where nobody has looked. It follows from the lists and is not stored.
    arena : shape (words,)
    roster_next : shape (n,), next row of the same turn, -1 at the end
    roster_ends : shape (T, 2), first and last row of each turn, -1 where empty
    dirty : shape (n,), 1 where the record differs from the stored one
    dirty_rows : shape (n,), the dirty rows in the order they became so
    counters : shape (N_COUNTERS,)
    """

    head: IntArray
    lists: IntArray
    found: IntArray
    arena: IntArray
    roster_next: IntArray
    roster_ends: IntArray
    dirty: npt.NDArray[np.uint8]
    dirty_rows: IntArray
    counters: IntArray


class Totals(NamedTuple):
    """What the day's turns add up to under the current model.

    Attributes
    ----------
    counts : shape (k,)
    sums : shape (k, F), scaled units times `VECTOR_ONE`
    errors : shape (k,), squared distances times `VECTOR_ONE`
    """

    counts: IntArray
    sums: IntArray
    errors: IntArray


class Outputs(NamedTuple):
    """Room for what a run produces; drained by the caller.

    Attributes
    ----------
    changes : shape (c, N_CHANGE)
    change_raw, change_scaled : shape (c, F)
    panel : shape (p, N_PANEL_COLUMNS)
    panel_raw : shape (p, F)
    raw, scaled, sums : scratch of shapes (F,), (F,), (W + 1, M)
    """

    changes: IntArray
    change_raw: FloatArray
    change_scaled: FloatArray
    panel: IntArray
    panel_raw: FloatArray
    raw: FloatArray
    scaled: FloatArray
    sums: IntArray


class Layout(NamedTuple):
    """Column positions that follow from the spec's sizes.

    Attributes
    ----------
    slots
        First column of the recency slots (first hour, last hour of each).
    totals
        First column of the lifetime totals, one per measure.
    attributes
        First column of the attributes (value, time of each).
    width
        Columns of `head`.
    widths : shape (4,), words per entry of each list
    """

    slots: int
    totals: int
    attributes: int
    width: int
    widths: IntArray
    n_slots: int
    n_measures: int
    n_attributes: int
    n_windows: int
    keep_hours: int


def layout_of(spec: CompiledSpec) -> Layout:
    """Return the layout of a spec's records."""
    n_slots, n_measures = len(spec.slots), len(spec.measures)
    n_attributes = len(spec.attributes)
    slots = FIXED
    totals = slots + 2 * n_slots
    attributes = totals + n_measures
    windows = spec.arrays.windows
    return Layout(
        slots,
        totals,
        attributes,
        attributes + 2 * n_attributes,
        np.array([1 + n_measures, 2, 3, 2], dtype=np.int64),
        n_slots,
        n_measures,
        n_attributes,
        len(windows),
        int(windows.max()) if len(windows) else 0,
    )
