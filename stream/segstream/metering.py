"""What a batch adds to the metrics: a handful of sums once a batch, never a step per event."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from segstream.core.layout import NO_SEGMENT, REASONS
from segstream.core.partition import DeadLetter, PartitionMeta
from segstream.core.spec import IntArray
from segstream.metrics import Metrics


class PartitionMeter:
    """Measures one partition's batches."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._before = PartitionMeta()
        self.unpublished_since: float | None = None

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time a stage that succeeds."""
        began = time.perf_counter()
        yield
        self._metrics.observe("segstream_stage_seconds", time.perf_counter() - began, stage=stage)

    def claimed(self, meta: PartitionMeta) -> None:
        """Count from here: what is stored was counted by who applied it."""
        self._before = meta
        self.unpublished_since = None

    def committed(self, meta: PartitionMeta, dead: Sequence[DeadLetter], messages: int) -> None:
        """Count a batch that is in Redis."""
        self.unpublished_since = time.monotonic()
        if messages:
            self._metrics.observe("segstream_batch_messages", messages)
        before, self._before = self._before, meta
        late = meta.late - before.late
        counts = {
            "applied": meta.applied - before.applied - late, "late": late,
            "duplicate": meta.duplicates - before.duplicates,
            "skipped": meta.skipped - before.skipped, "dead": meta.dead - before.dead,
        }  # fmt: skip
        for outcome, n in counts.items():
            if n > 0:
                self._metrics.add("segstream_events_total", n, outcome=outcome)
        for code, n in Counter(letter.code for letter in dead).items():
            self._metrics.add("segstream_dead_letters_total", n, code=code)

    def published(self, moves: IntArray, oldest_ms: int | None) -> None:
        """Count a batch that is in Kafka.

        Parameters
        ----------
        moves
            Of `Taken`: what its changes were.
        oldest_ms
            Time of its oldest message.
        """
        self.unpublished_since = None
        if oldest_ms is not None:
            age_s = max(0.0, time.time() - oldest_ms / 1000)
            self._metrics.observe("segstream_latency_seconds", age_s)
        columns: list[list[int]] = moves.T.tolist()
        exits, entries, reasons = map(Counter, columns)
        for reason, n in reasons.items():
            self._metrics.add("segstream_changes_total", n, reason=REASONS[reason])
        self._count("segstream_segment_entries_total", entries)
        self._count("segstream_segment_exits_total", exits)

    def _count(self, name: str, counts: Mapping[int, int]) -> None:
        for segment, n in counts.items():
            label = "none" if segment == NO_SEGMENT else str(segment)
            self._metrics.add(name, n, segment=label)
