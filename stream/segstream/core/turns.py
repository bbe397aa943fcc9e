"""Turns: which minute is a customer's, and the rosters that keep their order."""

from segstream.core.compiled import compiled, inlined
from segstream.core.layout import (
    CLOCK_MINUTE,
    CUSTOMERS,
    FIRST_HOUR,
    FORMER_SEGMENT,
    HASH,
    LAST_HOUR,
    LENGTH,
    LIVE,
    N_LISTS,
    NEVER,
    NO_SEGMENT,
    PENDING_SEGMENT,
    SEGMENT,
    Layout,
    Policy,
    Records,
)


@inlined
def last_turn_minute(policy: Policy, records: Records, row: int) -> int:
    """Minute of the last completed instant at which the row had its turn."""
    clock = records.counters[CLOCK_MINUTE]
    own = turn_of(policy, records.head[row, HASH])
    return int(clock - (clock - own) % policy.sweep_minutes)


@inlined
def turn_of(policy: Policy, customer_hash: int) -> int:
    """Return which minute of the sweep is the customer's."""
    return int((customer_hash & 0x7FFFFFFFFFFFFFFF) % policy.sweep_minutes)


@inlined
def is_daily_turn(policy: Policy, customer_hash: int, minute: int) -> bool:
    """Whether this turn is the one of the day at which the customer is learned from."""
    sweeps = 1440 // policy.sweep_minutes
    own = ((customer_hash & 0x7FFFFFFFFFFFFFFF) // policy.sweep_minutes) % sweeps
    return bool((minute % 1440) // policy.sweep_minutes == own)


@inlined
def in_panel(policy: Policy, customer_hash: int) -> bool:
    """Whether the hash has the panel's number of leading zero bits."""
    if policy.panel_bits == 0:
        return True
    return bool(customer_hash >= 0 and customer_hash >> (64 - policy.panel_bits) == 0)


@compiled
def unlink(records: Records, which: int, previous: int, row: int) -> None:
    """Take an ended record out of its roster."""
    following = records.roster_next[row]
    if previous >= 0:
        records.roster_next[previous] = following
    else:
        records.roster_ends[which, 0] = following
    if following < 0:
        records.roster_ends[which, 1] = previous


@compiled
def begin(layout: Layout, policy: Policy, records: Records, row: int, hour: int) -> None:
    """Start a record at its first event and append it to its roster."""
    head = records.head[row]
    customer_hash = head[HASH]
    head[:] = 0
    records.found[row, :] = 0
    head[HASH] = customer_hash
    head[LIVE] = 1
    head[FIRST_HOUR] = hour
    head[LAST_HOUR] = hour
    head[SEGMENT] = NO_SEGMENT
    head[FORMER_SEGMENT] = NO_SEGMENT
    head[PENDING_SEGMENT] = NO_SEGMENT
    for s in range(2 * layout.n_slots):
        head[layout.slots + s] = NEVER
    for a in range(layout.n_attributes):
        head[layout.attributes + 2 * a + 1] = NEVER
    for which in range(N_LISTS):
        records.lists[row, 3 * which + LENGTH] = 0
    link(records, turn_of(policy, customer_hash), row)
    records.counters[CUSTOMERS] += 1


@compiled
def link(records: Records, which: int, row: int) -> None:
    """Append a row to a roster."""
    last = records.roster_ends[which, 1]
    records.roster_next[row] = -1
    if last >= 0:
        records.roster_next[last] = row
    else:
        records.roster_ends[which, 0] = row
    records.roster_ends[which, 1] = row
