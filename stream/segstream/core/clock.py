"""Which instant a partition may complete without an event of its own."""

from collections.abc import Mapping
from typing import Final

import msgspec

MINUTE_MS: Final = 60_000


class ClockHint(msgspec.Struct, frozen=True):
    """What one partition says of its clock.

    Attributes
    ----------
    clock_ms
        Largest event time so far; -1 before the first event.
    event_ms
        The same, but never moved by following others.
    caught_up
        Whether it has applied all of its log.
    """

    clock_ms: int
    event_ms: int
    caught_up: bool


def target_ms(hints: Mapping[int, ClockHint], now_ms: int, max_silence_ms: int) -> int:
    """Where the clock of a partition that has caught up may go.

    It follows the slowest partition that lags, else the largest clock of all; the wall clock only
    while the newest event of all partitions is younger than `max_silence_ms`. So a replay ends
    where its events end, and an outage upstream stops time instead of declaring everybody silent.

    Examples
    --------
    >>> target_ms({0: ClockHint(500, 500, True), 1: ClockHint(200, 200, False)}, 10**9, 1000)
    200
    >>> target_ms({0: ClockHint(500, 500, True)}, 900, 1000)
    900
    """
    lagging = [h.clock_ms for h in hints.values() if not h.caught_up]
    if lagging:
        return min(lagging)
    newest = max((h.event_ms for h in hints.values()), default=-1)
    clock = max((h.clock_ms for h in hints.values()), default=-1)
    if newest >= 0 and now_ms - newest < max_silence_ms:
        return max(clock, now_ms)
    return clock
