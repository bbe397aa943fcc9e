"""Why an event is a dead letter, by the contract; plain Python for the twin."""

import math

from tests.core.counting import line_amount

from segstream.core.events import Event


def verdict(event: Event, clock_ms: int, max_jump_ms: int, currency: str) -> str | None:
    """The dead letter's code; None for a good event. Wrong time comes before wrong content."""
    assert isinstance(event.ts, int)
    if event.ts < 0:
        return "time_before_1970"
    if clock_ms >= 0 and event.ts > clock_ms + max_jump_ms:
        return "time_in_future"
    if event.currency not in (None, currency):
        return "wrong_currency"
    if event.type == "merge":
        return "merge_reserved"
    if event.type in ("purchase", "return"):
        return _money(event)
    return None


def _money(event: Event) -> str | None:
    if event.items and event.amount is not None:
        total = math.fsum(map(line_amount, event.items))
        if abs(total - event.amount) > 0.005 * (len(event.items) + 1):
            return "items_mismatch"
    if event.amount is None and not event.items and event.unit_price is None:
        return "no_amount"
    return None
