"""Judging: evaluate a record, decide, and publish a change.

Read it bottom up: `judge_new_model` > `evaluate`, `decide` > `change`.
"""

from segstream.core.compiled import compiled, inlined
from segstream.core.layout import (
    C_AS_OF,
    C_ENTERED,
    C_EVENT,
    C_FROM,
    C_MINUTE,
    C_REASON,
    C_SEQUENCE,
    C_SINCE,
    C_SLOT,
    C_TO,
    CLOCK_MINUTE,
    ENTRIES,
    EVALUATIONS,
    EVENTS,
    FIRST,
    FORMER_GENERATION,
    FORMER_SEGMENT,
    GENERATION,
    HOUR_MS,
    MINUTE_MS,
    MODEL,
    N_CHANGES,
    N_DIRTY,
    NO_SEGMENT,
    NOT_AN_EVENT,
    PENDING_REASON,
    PENDING_SEGMENT,
    RECLUSTER,
    ROLLBACK,
    SEGMENT,
    SEQUENCE,
    SINCE,
    V_GENERATION,
    V_GENERATION_MINUTE,
    V_MINUTE,
    V_NUMBER,
    V_REASON,
    V_RESTORES,
    VERSION,
    Layout,
    ModelArrays,
    Outputs,
    Policy,
    Records,
)
from segstream.core.lists import find, insert
from segstream.core.spec import SpecArrays
from segstream.core.vectors import fill_raw, nearest, scale, squared_distance


@inlined
def mark_dirty(records: Records, row: int) -> None:
    """Note that the record must be stored."""
    if records.dirty[row] == 0:
        records.dirty[row] = 1
        records.dirty_rows[records.counters[N_DIRTY]] = row
        records.counters[N_DIRTY] += 1


@compiled
def count_entry(layout: Layout, records: Records, row: int, segment: int) -> int:
    """Times the customer has entered the segment, this time included."""
    at, found = find(layout, records, row, ENTRIES, segment)
    if not found:
        at = insert(layout, records, row, ENTRIES, at, segment)
    records.arena[at + 1] += 1
    return int(records.arena[at + 1])


@compiled
def write_change(
    records: Records, out: Outputs, row: int, event: int, to: int, reason: int, as_of: int
) -> None:
    """Write one change row; the caller updates the record."""
    n = records.counters[N_CHANGES]
    head = records.head[row]
    out.changes[n, C_SLOT] = row
    out.changes[n, C_EVENT] = event
    out.changes[n, C_FROM] = head[SEGMENT]
    out.changes[n, C_TO] = to
    out.changes[n, C_REASON] = reason
    out.changes[n, C_AS_OF] = as_of
    out.changes[n, C_SEQUENCE] = head[SEQUENCE] + 1
    out.changes[n, C_ENTERED] = 0
    out.changes[n, C_SINCE] = head[SINCE]
    out.changes[n, C_MINUTE] = records.counters[CLOCK_MINUTE]
    for j in range(len(out.raw)):
        out.change_raw[n, j] = out.raw[j]
        out.change_scaled[n, j] = out.scaled[j]
    records.counters[N_CHANGES] = n + 1


@compiled
def change(
    layout: Layout, model: ModelArrays, records: Records, out: Outputs,
    row: int, event: int, to: int, reason: int, as_of: int,
) -> None:  # fmt: skip
    """Publish a new segment and write it into the record."""
    write_change(records, out, row, event, to, reason, as_of)
    head = records.head[row]
    if head[GENERATION] != model.version[V_GENERATION]:
        head[FORMER_SEGMENT] = head[SEGMENT]
        head[FORMER_GENERATION] = head[GENERATION]
    entered = count_entry(layout, records, row, to)
    out.changes[records.counters[N_CHANGES] - 1, C_ENTERED] = entered
    head[SEGMENT] = to
    head[SINCE] = as_of
    head[SEQUENCE] += 1
    head[VERSION] = model.version[V_NUMBER]
    head[GENERATION] = model.version[V_GENERATION]
    head[PENDING_SEGMENT] = NO_SEGMENT
    mark_dirty(records, row)


@inlined
def index_of(model: ModelArrays, segment: int) -> int:
    """Return the row of a segment in the model; -1 where the model has it no longer."""
    for i in range(len(model.ids)):
        if model.ids[i] == segment:
            return i
    return -1


@inlined
def clear_pending(records: Records, row: int) -> None:
    """Forget a change that dwell held back and nothing points to any more."""
    if records.head[row, PENDING_SEGMENT] != NO_SEGMENT:
        records.head[row, PENDING_SEGMENT] = NO_SEGMENT
        mark_dirty(records, row)


@compiled
def weigh(
    layout: Layout, model: ModelArrays, policy: Policy, records: Records, out: Outputs,
    row: int, event: int, reason: int, as_of: int, best: int, distance: float,
) -> None:  # fmt: skip
    """`decide` where the customer is not settled."""
    head = records.head[row]
    to = model.ids[best]
    if head[SEGMENT] == NO_SEGMENT:
        if head[EVENTS] >= policy.min_events:
            change(layout, model, records, out, row, event, to, FIRST, as_of)
        return
    if head[SEGMENT] == to:
        clear_pending(records, row)
        return
    current = index_of(model, head[SEGMENT])
    if current >= 0:
        own = squared_distance(out.scaled, model.centres[current])
        if not distance < (1.0 - policy.margin) * own:
            clear_pending(records, row)
            return
    held = reason != RECLUSTER and reason != ROLLBACK and current >= 0
    if held and as_of - head[SINCE] < policy.dwell_ms:
        if head[PENDING_SEGMENT] != to:
            head[PENDING_SEGMENT] = to
            head[PENDING_REASON] = reason
            mark_dirty(records, row)
        return
    if head[PENDING_SEGMENT] == to and held:
        reason = head[PENDING_REASON]
    change(layout, model, records, out, row, event, to, reason, as_of)


@inlined
def decide(
    layout: Layout, model: ModelArrays, policy: Policy, records: Records, out: Outputs,
    row: int, event: int, reason: int, as_of: int, best: int, distance: float,
) -> None:  # fmt: skip
    """Publish a change where the nearest centre and the policy ask for one."""
    head = records.head[row]
    # Nearly always so, and the call would take longer than this look.
    if head[SEGMENT] == model.ids[best] and head[PENDING_SEGMENT] == NO_SEGMENT:
        return
    weigh(layout, model, policy, records, out, row, event, reason, as_of, best, distance)


@inlined
def evaluate(
    spec: SpecArrays, layout: Layout, model: ModelArrays, records: Records, out: Outputs,
    row: int, as_of: int,
) -> tuple[int, float]:  # fmt: skip
    """Fill `out.raw` and `out.scaled` as of a moment; returns the nearest centre."""
    fill_raw(spec, layout, records, row, as_of // HOUR_MS, out)
    scale(spec, model, out.raw, out.scaled)
    records.counters[EVALUATIONS] += 1
    return nearest(model, out.scaled)


@compiled
def restore(
    spec: SpecArrays, layout: Layout, model: ModelArrays, records: Records, out: Outputs,
    row: int, as_of: int,
) -> bool:  # fmt: skip
    """Give back the segment of the restored generation; False where it is not known.

    Who has not moved since that generation keeps the segment: that is the one to give back.
    """
    head = records.head[row]
    restored = model.version[V_RESTORES]
    if restored < 0:
        return False
    if head[GENERATION] <= restored:
        return index_of(model, head[SEGMENT]) >= 0
    former = head[FORMER_SEGMENT]
    if head[FORMER_GENERATION] > restored or index_of(model, former) < 0:
        return False
    if head[SEGMENT] != former:
        evaluate(spec, layout, model, records, out, row, as_of)
        change(layout, model, records, out, row, NOT_AN_EVENT, former, ROLLBACK, as_of)
    return True


@compiled
def rejudge(
    spec: SpecArrays, layout: Layout, model: ModelArrays, policy: Policy, records: Records,
    out: Outputs, row: int, as_of: int,
) -> None:  # fmt: skip
    """`judge_new_model` where the model is newer."""
    head = records.head[row]
    new_generation = (
        head[GENERATION] != model.version[V_GENERATION]
        and as_of // MINUTE_MS < model.version[V_GENERATION_MINUTE]
    )
    if new_generation and restore(spec, layout, model, records, out, row, as_of):
        return
    reason = model.version[V_REASON] if new_generation else MODEL
    best, distance = evaluate(spec, layout, model, records, out, row, as_of)
    decide(layout, model, policy, records, out, row, NOT_AN_EVENT, reason, as_of, best, distance)


@inlined
def judge_new_model(
    spec: SpecArrays, layout: Layout, model: ModelArrays, policy: Policy, records: Records,
    out: Outputs, row: int, as_of: int,
) -> None:  # fmt: skip
    """Under a newer model, judge the record once as of its last evaluation.

    What changes here is the model's doing, not the customer's.
    """
    head = records.head[row]
    newer = head[VERSION] < model.version[V_NUMBER] and as_of // MINUTE_MS < model.version[V_MINUTE]
    if newer and head[SEGMENT] != NO_SEGMENT:
        rejudge(spec, layout, model, policy, records, out, row, as_of)
