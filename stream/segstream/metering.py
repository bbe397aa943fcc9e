"""What a batch adds to the metrics: a handful of sums once a batch, never a step per event."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from segstream.adapters.redis_store import LogOutbox
from segstream.core.partition import DeadLetter, PartitionMeta
from segstream.metrics import Metrics


class _Ref(msgspec.Struct):
    id: int


class _Data(msgspec.Struct):
    reason: str
    to: _Ref | None
    from_: _Ref | None = msgspec.field(name="from")


class _Change(msgspec.Struct):
    data: _Data


_CHANGES = msgspec.json.Decoder(_Change)


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

    def published(self, outbox: LogOutbox, oldest_ms: int | None) -> None:
        """Count a batch that is in Kafka; `oldest_ms` is the time of its oldest message."""
        self.unpublished_since = None
        if oldest_ms is not None:
            age_s = max(0.0, time.time() - oldest_ms / 1000)
            self._metrics.observe("segstream_latency_seconds", age_s)
        found = [_CHANGES.decode(body).data for _, body in outbox.out.changes]
        self._count("segstream_changes_total", "reason", [d.reason for d in found])
        self._count("segstream_segment_entries_total", "segment",
                    [str(d.to.id) if d.to else "none" for d in found])  # fmt: skip
        self._count("segstream_segment_exits_total", "segment",
                    [str(d.from_.id) if d.from_ else "none" for d in found])  # fmt: skip

    def _count(self, name: str, label: str, values: Sequence[str]) -> None:
        for value, n in Counter(values).items():
            self._metrics.add(name, n, **{label: value})
