"""From a record to a vector: the one compiled function everything shares.

The sweep, an event, a what-if and the test twin all call `fill_raw` and `scale`; nothing else
in the project computes a feature. Transcendental functions are `math.*`: numpy's log1p differs
from it in the last bit in one of twenty values.
"""

import math

import numpy as np

from segstream.core.compiled import allocating, compiled, inlined
from segstream.core.layout import (
    END_OF_TIME,
    FIRST_HOUR,
    FOUND_FROM,
    FOUND_SUMS,
    FOUND_UNTIL,
    LENGTH,
    NEVER,
    OFFSET,
    TILES,
    Layout,
    ModelArrays,
    Outputs,
    Records,
)
from segstream.core.spec import (
    AGE,
    ATTRIBUTE,
    GAP,
    ONE_HOT,
    OVERDUE,
    RATIO,
    RECENCY,
    SINCE,
    TENURE,
    TOTAL,
    FloatArray,
    IntArray,
    SpecArrays,
)

HOURS_PER_DAY = 24.0
# Mean Gregorian year, for an age in whole years from a birth year.
HOURS_PER_YEAR = 8765.82


@inlined
def window_sums(
    spec: SpecArrays, layout: Layout, records: Records, row: int, hour: int, sums: IntArray
) -> None:
    """Fill `sums[w, m]` with measure m over window w at `hour`; the last row is the lifetime."""
    found = records.found[row]
    if hour < found[FOUND_FROM] or hour >= found[FOUND_UNTIL]:
        sum_tiles(spec, layout, records, row, hour)
    n_measures = layout.n_measures
    for m in range(n_measures):
        for w in range(layout.n_windows):
            sums[w, m] = found[FOUND_SUMS + w * n_measures + m]
        sums[layout.n_windows, m] = records.head[row, layout.totals + m]


@compiled
def sum_tiles(spec: SpecArrays, layout: Layout, records: Records, row: int, hour: int) -> None:
    """Find the window sums of a row at `hour`, and the hour in which a tile leaves a window."""
    found = records.found[row]
    found[FOUND_SUMS:] = 0
    found[FOUND_FROM], found[FOUND_UNTIL] = hour, END_OF_TIME
    width = 1 + layout.n_measures
    offset = records.lists[row, 3 * TILES + OFFSET]
    at = offset + records.lists[row, 3 * TILES + LENGTH] - width
    while at >= offset:
        age = hour - records.arena[at]
        if age >= layout.keep_hours:
            break
        for w in range(layout.n_windows):
            if age < spec.windows[w]:
                until = records.arena[at] + spec.windows[w]
                found[FOUND_UNTIL] = min(found[FOUND_UNTIL], until)
                for m in range(layout.n_measures):
                    found[FOUND_SUMS + w * layout.n_measures + m] += records.arena[at + 1 + m]
        at -= width


@inlined
def recency_days(layout: Layout, head: IntArray, slot: int, hour: int) -> float:
    """Days since the slot's last event; since the first of any kind where it has none."""
    last = head[layout.slots + 2 * slot + 1]
    if last == NEVER:
        last = head[FIRST_HOUR]
    return float(max(hour - last, 0) / HOURS_PER_DAY)


@inlined
def gap_days(spec: SpecArrays, layout: Layout, head: IntArray, slot: int) -> float:
    """Mean days between the events of a slot; NaN before the second."""
    count = head[layout.totals + spec.slot_measure[slot]]
    if count < 2:
        return math.nan
    first = head[layout.slots + 2 * slot]
    last = head[layout.slots + 2 * slot + 1]
    return float((last - first) / HOURS_PER_DAY / (count - 1))


@inlined
def usual_days(spec: SpecArrays, layout: Layout, head: IntArray, slot: int, hour: int) -> float:
    """Days since the first event of a slot over how many it had; 0 where it had none."""
    count = head[layout.totals + spec.slot_measure[slot]]
    if count < 1:
        return 0.0
    return float(max(hour - head[layout.slots + 2 * slot], 0) / HOURS_PER_DAY / count)


@compiled
def attribute_feature(spec: SpecArrays, layout: Layout, head: IntArray, j: int, hour: int) -> float:
    """Read an attribute as a number; NaN where it was never said."""
    at = layout.attributes + 2 * spec.first[j]
    if head[at + 1] == NEVER:
        return math.nan
    value = head[at]
    operation = spec.operation[j]
    if operation == ATTRIBUTE:
        return float(value * spec.factor_first[j])
    if operation == AGE:
        return float(math.floor(1970.0 + hour / HOURS_PER_YEAR) - value)
    if operation == SINCE:
        return float(max(hour - value // 3_600_000, 0) / HOURS_PER_DAY)
    if spec.category[j] != 0:
        return 1.0 if value == spec.category[j] else 0.0
    for i in range(len(spec.operation)):
        named = spec.operation[i] == ONE_HOT and spec.first[i] == spec.first[j]
        if named and spec.category[i] == value:
            return 0.0
    return 1.0


@inlined
def fill_raw(
    spec: SpecArrays, layout: Layout, records: Records, row: int, hour: int, out: Outputs
) -> None:
    """Fill `out.raw` with the features of a record at a whole hour, in real units."""
    window_sums(spec, layout, records, row, hour, out.sums)
    head = records.head[row]
    lifetime = len(spec.windows)
    for j in range(len(spec.operation)):
        operation = spec.operation[j]
        window = spec.window[j] if spec.window[j] >= 0 else lifetime
        if operation == TOTAL:
            out.raw[j] = out.sums[window, spec.first[j]] * spec.factor_first[j]
        elif operation == RATIO:
            below = out.sums[window, spec.second[j]] * spec.factor_second[j]
            above = out.sums[window, spec.first[j]] * spec.factor_first[j]
            out.raw[j] = above / below if below != 0.0 else 0.0
        elif operation == RECENCY:
            out.raw[j] = recency_days(layout, head, spec.first[j], hour)
        elif operation == GAP:
            out.raw[j] = gap_days(spec, layout, head, spec.first[j])
        elif operation == OVERDUE:
            usual = usual_days(spec, layout, head, spec.first[j], hour)
            usual = min(max(usual, spec.floor[j]), spec.ceiling[j])
            out.raw[j] = recency_days(layout, head, spec.first[j], hour) / usual
        elif operation == TENURE:
            out.raw[j] = max(hour - head[FIRST_HOUR], 0) / HOURS_PER_DAY
        else:
            out.raw[j] = attribute_feature(spec, layout, head, j, hour)


@inlined
def transform(spec: SpecArrays, j: int, raw: float) -> float:
    """Offset, clip and log of feature j; NaN stays NaN."""
    if math.isnan(raw):
        return raw
    value = raw
    if spec.offset[j] != 0.0:
        value = max(value - spec.offset[j], 0.0)
    value = max(min(value, spec.clip[j]), spec.least[j])
    if spec.log[j] == 1:
        return math.copysign(math.log1p(abs(value) / spec.scale[j]), value)
    return float(value / spec.scale[j])


@inlined
def scale(spec: SpecArrays, model: ModelArrays, raw: FloatArray, scaled: FloatArray) -> None:
    """Fill `scaled` with the model's view of `raw`; what is missing takes the panel's median."""
    for j in range(len(raw)):
        value = transform(spec, j, raw[j])
        if math.isnan(value):
            value = model.median[j]
        scaled[j] = (value - model.mean[j]) * model.weight[j]


@inlined
def squared_distance(a: FloatArray, b: FloatArray) -> float:
    """Sum of squared differences, in index order."""
    total = 0.0
    for j in range(len(a)):
        difference = a[j] - b[j]
        total += difference * difference
    return total


@inlined
def nearest(model: ModelArrays, scaled: FloatArray) -> tuple[int, float]:
    """Index of the nearest centre (the lower of equals) and its squared distance."""
    best, best_distance = -1, math.inf
    for i in range(len(model.ids)):
        distance = squared_distance(scaled, model.centres[i])
        if distance < best_distance:
            best, best_distance = i, distance
    return best, best_distance


@allocating
def transform_rows(spec: SpecArrays, raw: FloatArray) -> FloatArray:
    """`transform` of every cell; raw has shape (n, F)."""
    result = np.empty_like(raw)
    for i in range(raw.shape[0]):
        for j in range(raw.shape[1]):
            result[i, j] = transform(spec, j, raw[i, j])
    return result


@allocating
def nearest_rows(centres: FloatArray, scaled: FloatArray) -> tuple[IntArray, FloatArray]:
    """Nearest centre and squared distance of each row of `scaled`, shape (n, F)."""
    n = scaled.shape[0]
    index = np.empty(n, dtype=np.int64)
    distance = np.empty(n, dtype=np.float64)
    for i in range(n):
        best, best_distance = -1, math.inf
        for c in range(centres.shape[0]):
            d = squared_distance(scaled[i], centres[c])
            if d < best_distance:
                best, best_distance = c, d
        index[i], distance[i] = best, best_distance
    return index, distance
