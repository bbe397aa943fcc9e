"""One packed record at a time: decoded and evaluated by the kernel's own functions."""

import numpy as np

from segstream.api.answers import OrderDay
from segstream.api.lens import Lens
from segstream.api.looks import Look
from segstream.core import layout as at
from segstream.core.codec import VERSION, ByteArray, decode_rows, joined
from segstream.core.layout import Policy, Records, layout_of
from segstream.core.memory import evaluate_rows, new_outputs, new_records
from segstream.core.recent import Bought, bought_of, recent_days
from segstream.core.spec import UNITS_PER_ONE, CompiledSpec, IntArray, text_hash
from segstream.errors import StateError
from segstream.model_words import iso_day

_ROW = np.zeros(1, dtype=np.int64)


class Bench:
    """Room for one record; not for two threads at once."""

    def __init__(self, spec: CompiledSpec, policy: Policy) -> None:
        self._spec, self._policy = spec, policy
        self._layout = layout_of(spec)
        self._records: Records = new_records(self._layout, policy.sweep_minutes)
        self._outputs = new_outputs(spec, self._layout)
        self._bought = bought_of(spec)
        self._starts = np.zeros(2, dtype=np.int64)

    def look(self, customer_id: str, blob: bytes, clock: tuple[int, int], lens: Lens) -> Look:
        """Look at a record as of its last evaluation.

        Parameters
        ----------
        clock
            Of its partition: epoch ms, and the last completed instant (minutes since 1970).

        Raises
        ------
        StateError
            It is of another version or was cut off.
        """
        clock_ms, clock_minute = clock
        buffer, starts = self._joined(blob)
        self._make_room(len(buffer))
        records = self._records
        records.counters[at.ARENA_USED] = 0
        records.counters[at.CLOCK_MINUTE] = clock_minute
        records.head[0, at.HASH] = text_hash(customer_id)
        if not decode_rows(self._layout, records, _ROW, buffer, starts):
            raise StateError(
                "redis: expected a record that ends where its bytes do, got a longer or shorter "
                "one; the keys were changed from outside: rebuild"
            )
        raw, scaled = evaluate_rows(
            self._spec.arrays, self._layout, lens.arrays, self._policy, records, _ROW, self._outputs
        )
        head, bought = records.head[0], self._bought
        return Look(
            customer_id, clock_ms, int(head[at.SEGMENT]), int(head[at.SINCE]), raw[0], scaled[0],
            lens, None if bought is None else self._orders(clock_ms, bought),
        )  # fmt: skip

    def _orders(self, clock_ms: int, bought: Bought) -> list[OrderDay]:
        """Orders by day, as far as the longest window reaches."""
        hour = clock_ms // at.HOUR_MS
        days = recent_days(
            self._layout, self._records, _ROW, hour, bought.orders, bought.spend
        ).tolist()
        return [OrderDay(iso_day(day), n, spend / UNITS_PER_ONE) for _, day, n, spend in days]

    def _joined(self, blob: bytes) -> tuple[ByteArray, IntArray]:
        """`joined` of one record, without the arrays that many need."""
        if not blob or blob[0] != VERSION:
            return joined([blob])  # says what is wrong
        self._starts[1] = len(blob)
        return np.frombuffer(blob, dtype=np.uint8), self._starts

    def _make_room(self, n_bytes: int) -> None:
        # A word of a record takes at least one byte.
        if n_bytes > len(self._records.arena):
            arena = np.zeros(2 * n_bytes, dtype=np.int64)
            self._records = self._records._replace(arena=arena)
