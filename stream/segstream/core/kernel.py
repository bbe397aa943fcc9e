"""The compiled kernel: events and instants in the order of a partition's log.

`advance` works event by event and instant by instant, so what it does never depends on where a
batch begins or ends. It stops where Python must act (a day closed, room ran out, a record ended)
and goes on from there.

Read it bottom up: `advance` > `run_instants` > `instant` > `turn`, and `advance` > `apply_event`.
"""

from segstream.core.columns import Columns
from segstream.core.compiled import compiled, inlined
from segstream.core.folding import fold
from segstream.core.judging import decide, evaluate, judge_new_model, mark_dirty, write_change
from segstream.core.layout import (
    APPLIED,
    ARENA,
    AS_OF,
    BEHAVIOUR,
    CLOCK_MINUTE,
    CLOCK_MS,
    CUSTOMERS,
    DAY,
    DAY_CLOSED,
    DAY_MINUTES,
    DONE,
    DUPLICATES,
    ENDED,
    ENDED_SLOT,
    ERASED,
    FORGOTTEN,
    FULL,
    HASH,
    HOUR_MS,
    LAST_HOUR,
    LENGTH,
    LIVE,
    MEMORY_HOURS,
    MINUTE_MS,
    MOST_DISTANT,
    N_CHANGES,
    N_LISTS,
    N_PANEL,
    NO_SEGMENT,
    NOT_AN_EVENT,
    P_EVENT,
    P_HASH,
    P_HOUR,
    P_SEGMENT,
    P_SLOT,
    SEEN,
    SEGMENT,
    TIME,
    V_NUMBER,
    VECTOR_ONE,
    VERSION,
    Layout,
    ModelArrays,
    Outputs,
    Policy,
    Records,
    Totals,
)
from segstream.core.lists import find, has_room
from segstream.core.prefetching import ask_lists, ask_row
from segstream.core.spec import SpecArrays
from segstream.core.turns import begin, in_panel, is_daily_turn, last_turn_minute, unlink
from segstream.core.vectors import fill_raw

# Event type codes the kernel must know; `segstream.core.events.TYPE_CODES` has them all.
_ERASE = 7

# One turn or event writes at most two changes (judged under a new model, then now).
_CHANGES_PER_EVALUATION = 2


@inlined
def write_panel(records: Records, out: Outputs, row: int, hour: int, event: int) -> None:
    """Write one panel row from `out.raw`."""
    n = records.counters[N_PANEL]
    out.panel[n, P_SLOT] = row
    out.panel[n, P_HASH] = records.head[row, HASH]
    out.panel[n, P_HOUR] = hour
    out.panel[n, P_SEGMENT] = records.head[row, SEGMENT]
    out.panel[n, P_EVENT] = event
    for j in range(len(out.raw)):
        out.panel_raw[n, j] = out.raw[j]
    records.counters[N_PANEL] = n + 1


@inlined
def learn(totals: Totals, out: Outputs, best: int, distance: float) -> None:
    """Add the vector to the day's total of its nearest segment."""
    totals.counts[best] += 1
    totals.errors[best] += int(round(min(distance, MOST_DISTANT) * VECTOR_ONE))
    for j in range(len(out.scaled)):
        totals.sums[best, j] += int(round(out.scaled[j] * VECTOR_ONE))


@inlined
def turn(
    spec: SpecArrays, layout: Layout, model: ModelArrays, policy: Policy, records: Records,
    totals: Totals, out: Outputs, row: int, minute: int,
) -> None:  # fmt: skip
    """One customer's turn at an instant."""
    head = records.head[row]
    as_of = minute * MINUTE_MS
    learns = is_daily_turn(policy, head[HASH], minute)
    if len(model.ids) == 0:
        if learns and in_panel(policy, head[HASH]):
            fill_raw(spec, layout, records, row, as_of // HOUR_MS, out)
            write_panel(records, out, row, as_of // HOUR_MS, NOT_AN_EVENT)
        return
    last = max(head[AS_OF], last_turn_minute(policy, records, row) * MINUTE_MS)
    judge_new_model(spec, layout, model, policy, records, out, row, last)
    as_of = max(as_of, head[AS_OF])
    best, distance = evaluate(spec, layout, model, records, out, row, as_of)
    decide(layout, model, policy, records, out, row, NOT_AN_EVENT, TIME, as_of, best, distance)
    if learns:
        learn(totals, out, best, distance)
        if in_panel(policy, head[HASH]):
            write_panel(records, out, row, as_of // HOUR_MS, NOT_AN_EVENT)


@compiled
def end_record(
    records: Records, out: Outputs, row: int, event: int, reason: int, as_of: int
) -> None:
    """Publish that a customer left, and end the record."""
    head = records.head[row]
    if head[SEGMENT] != NO_SEGMENT:
        out.raw[:] = 0.0
        out.scaled[:] = 0.0
        write_change(records, out, row, event, NO_SEGMENT, reason, as_of)
    head[LIVE] = 0
    for which in range(N_LISTS):
        records.lists[row, 3 * which + LENGTH] = 0
    records.counters[ENDED_SLOT] = row
    records.counters[CUSTOMERS] -= 1
    mark_dirty(records, row)


@inlined
def outputs_full(records: Records, out: Outputs) -> bool:
    """Whether one more turn or event might not fit the room left."""
    changes = records.counters[N_CHANGES] + _CHANGES_PER_EVALUATION
    return bool(changes > len(out.changes) or records.counters[N_PANEL] + 1 > len(out.panel))


@compiled
def instant(
    spec: SpecArrays, layout: Layout, model: ModelArrays, policy: Policy, records: Records,
    totals: Totals, out: Outputs, minute: int, resume: int,
) -> tuple[int, int]:  # fmt: skip
    """Give every customer of a minute its turn, in the order of the roster.

    Returns
    -------
    status, resume : int
        `DONE`, or why it stopped and the row behind which to go on.
    """
    which = minute % policy.sweep_minutes
    previous = resume
    row = records.roster_next[resume] if resume >= 0 else records.roster_ends[which, 0]
    while row >= 0:
        following = records.roster_next[row]
        if following >= 0:
            ask_row(records, following)
        if records.head[row, LIVE] == 0:
            unlink(records, which, previous, row)
            row = following
            continue
        if outputs_full(records, out):
            return FULL, previous
        if not has_room(layout, records, row):
            return ARENA, previous
        if minute // 60 - records.head[row, LAST_HOUR] >= policy.forget_hours:
            end_record(records, out, row, NOT_AN_EVENT, FORGOTTEN, minute * MINUTE_MS)
            return ENDED, row
        turn(spec, layout, model, policy, records, totals, out, row, minute)
        previous = row
        row = following
    return DONE, -1


@inlined
def apply_event(
    spec: SpecArrays, layout: Layout, model: ModelArrays, policy: Policy, records: Records,
    out: Outputs, columns: Columns, e: int,
) -> bool:  # fmt: skip
    """Dedupe, judge under a new model, fold, judge again; True where the record ended."""
    row = columns.slot[e]
    head = records.head[row]
    last = last_turn_minute(policy, records, row) * MINUTE_MS
    as_of = max(columns.time_ms[e], last)
    if head[LIVE] != 0:
        last = max(last, head[AS_OF])
        as_of = max(as_of, last)
        at, found = find(layout, records, row, SEEN, columns.event_hash[e])
        # What `fold` would drop is already forgotten, whether or not an event came since.
        if found and as_of // HOUR_MS - records.arena[at + 1] < MEMORY_HOURS:
            records.counters[DUPLICATES] += 1
            return False
    records.counters[APPLIED] += 1
    columns.applied[e] = 1
    if columns.kind[e] == _ERASE:
        if head[LIVE] != 0:
            end_record(records, out, row, e, ERASED, as_of)
        records.counters[ENDED_SLOT] = row
        return True
    if head[LIVE] == 0:
        begin(layout, policy, records, row, columns.time_ms[e] // HOUR_MS)
    elif len(model.ids) > 0:
        judge_new_model(spec, layout, model, policy, records, out, row, last)
    fold(spec, layout, records, columns, e, as_of)
    if len(model.ids) > 0:
        best, distance = evaluate(spec, layout, model, records, out, row, as_of)
        decide(layout, model, policy, records, out, row, e, BEHAVIOUR, as_of, best, distance)
        head[VERSION] = model.version[V_NUMBER]
    if policy.observe_events == 1 and in_panel(policy, head[HASH]):
        if len(model.ids) > 0:
            write_panel(records, out, row, as_of // HOUR_MS, e)
    return False


@compiled
def run_instants(
    spec: SpecArrays, layout: Layout, model: ModelArrays, policy: Policy, records: Records,
    totals: Totals, out: Outputs, until: int, resume: int,
) -> tuple[int, int]:  # fmt: skip
    """Complete every instant up to minute `until`; returns a status and where to resume."""
    while records.counters[CLOCK_MINUTE] < until:
        minute = records.counters[CLOCK_MINUTE] + 1
        if minute // DAY_MINUTES > records.counters[DAY]:
            return DAY_CLOSED, -1
        status, resume = instant(spec, layout, model, policy, records, totals, out, minute, resume)
        if status != DONE:
            return status, resume
        records.counters[CLOCK_MINUTE] = minute
    return DONE, -1


@compiled
def advance(
    spec: SpecArrays, layout: Layout, model: ModelArrays, policy: Policy, records: Records,
    totals: Totals, out: Outputs, columns: Columns, start: int, until: int, resume: int,
) -> tuple[int, int, int]:  # fmt: skip
    """Run events from `start` on with the instants before each, then instants up to `until`.

    Parameters
    ----------
    until
        Minute up to which instants are completed after the last event; -1 for none.
    resume
        What the last call returned.

    Returns
    -------
    status, event, resume : int
        `DONE`, or why it stopped and the event to go on with.
    """
    counters = records.counters
    n_events = len(columns.time_ms)
    for e in range(start, n_events):
        if e + 2 < n_events:
            ask_row(records, columns.slot[e + 2])
            ask_lists(records, columns.slot[e + 1])
        time_ms = columns.time_ms[e]
        minute = time_ms // MINUTE_MS
        if counters[CLOCK_MINUTE] < 0:
            counters[CLOCK_MINUTE] = minute
            counters[DAY] = minute // DAY_MINUTES
        # A call takes longer than this look, and many events fall into one minute.
        if counters[CLOCK_MINUTE] < minute:
            status, resume = run_instants(
                spec, layout, model, policy, records, totals, out, minute, resume
            )
            if status != DONE:
                return status, e, resume
        if outputs_full(records, out):
            return FULL, e, -1
        if not has_room(layout, records, columns.slot[e]):
            return ARENA, e, -1
        counters[CLOCK_MS] = max(counters[CLOCK_MS], time_ms)
        if apply_event(spec, layout, model, policy, records, out, columns, e):
            return ENDED, e + 1, -1
    if counters[CLOCK_MINUTE] < 0:
        return DONE, n_events, -1
    status, resume = run_instants(spec, layout, model, policy, records, totals, out, until, resume)
    return status, n_events, resume
