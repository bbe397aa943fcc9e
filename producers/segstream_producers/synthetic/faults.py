"""What goes wrong on the way: late, twice, out of order, damaged; in known shares."""

from dataclasses import replace
from typing import Final

import numpy as np

from segstream.kafka_settings import DAY_MS
from segstream_producers.synthetic.arrivals import Columns
from segstream_producers.synthetic.plan import Faults
from segstream_producers.synthetic.population import Ints

DUPLICATE: Final = 1
FIRST_BAD: Final = 2
BAD: Final = {
    "cut_short": "not_json",
    "nan_amount": "not_json",
    "no_customer": "bad_field",
    "unknown_type": "bad_field",
    "negative_amount": "bad_field",
    "no_amount": "no_amount",
    "before_1970": "time_before_1970",
    "far_future": "time_in_future",
}
"""Kinds of bad copies, in the order of their codes, and the dead letter each becomes."""
_MISDATED: Final = FIRST_BAD + list(BAD).index("before_1970")
# A file is read by time, so all of a wrong date stand together: more of them would be taken for a
# broken feed, which has above 10 % of dead letters among 10,000 entries.
_MOST_MISDATED: Final = 200
_HOUR_MS: Final = 3_600_000
_STREAM: Final = 3
_MOST_BEHIND: Final = 20


class Disturber:
    """Disturbs day after day; what has not arrived yet is kept for the next.

    The events themselves are the same whatever the faults: they are drawn on their own.
    """

    def __init__(self, faults: Faults, seed: int) -> None:
        self._faults, self._seed = faults, seed
        self._misdated = 0
        self._pending: Columns | None = None
        self.late = self.out_of_order = 0

    def disturb(self, day: int, events: Columns, ends_ms: int | None) -> Columns:
        """Return what arrives on a day, in that order.

        Parameters
        ----------
        events
            Of that day, by time.
        ends_ms
            The day's end; None for the last one, when everything arrives.
        """
        random = np.random.default_rng([self._seed, _STREAM, day])
        found = self._faulty(events, random)
        if self._pending is not None:
            found = self._pending.with_rows(found)
        found = found.take(np.argsort(found.arrives_ms, kind="stable"))
        if ends_ms is None:
            return found
        now = int(np.searchsorted(found.arrives_ms, ends_ms))
        self._pending = found.take(np.arange(now, len(found)))
        return found.take(np.arange(now))

    def _faulty(self, events: Columns, random: np.random.Generator) -> Columns:
        """Give each event at most one fault."""
        faults, n = self._faults, len(events)
        edges = np.cumsum([faults.late, faults.out_of_order, faults.duplicates, faults.bad])
        fate = np.searchsorted(edges, random.random(n), side="right")
        late, moved, twice, bad = (np.flatnonzero(fate == one) for one in range(4))
        moved = moved[moved < n - 1]
        self.late += len(late)
        self.out_of_order += len(moved)
        arrives = events.arrives_ms.copy()
        arrives[late] += random.integers(_HOUR_MS, 3 * DAY_MS, len(late))
        behind = np.minimum(moved + random.integers(1, _MOST_BEHIND + 1, len(moved)), n - 1)
        arrives[moved] = events.time_ms[behind] + 1
        again = events.take(twice)
        again.arrives_ms[:] += random.integers(0, 12 * _HOUR_MS, len(twice))
        again.fault[:] = DUPLICATE
        damaged = events.take(bad)
        damaged.fault[:] = self._kinds(len(bad), random)
        return replace(events, arrives_ms=arrives).with_rows(again, damaged)

    def _kinds(self, n: int, random: np.random.Generator) -> Ints:
        kinds = random.integers(FIRST_BAD, FIRST_BAD + len(BAD), n)
        misdated = np.flatnonzero(kinds >= _MISDATED)
        kinds[misdated[max(0, _MOST_MISDATED - self._misdated) :]] = FIRST_BAD
        self._misdated += len(misdated)
        return kinds
