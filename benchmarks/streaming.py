"""A feed through the real engine, with states kept on the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.feeds import Replay
from segstream.adapters.memory import MemorySink, MemoryStore
from segstream.core.model import Model
from segstream.core.partition import PartitionMeta, StoredRecord
from segstream.engine import Engine, Progress
from segstream.ports import Batch
from segstream.settings import Settings, compile_spec
from segstream.view import View

DAY_MS: Final = 86_400_000
REFERENCE_DAYS: Final = 28


class KeepingStore(MemoryStore):
    """The store in memory, with the ledger that it drops otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger: list[bytes] = []

    def commit(self, batch: Batch) -> None:
        """See `segstream.ports.Store.commit`."""
        super().commit(batch)
        if batch.ledger:
            self.ledger.append(batch.ledger)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All a partition needs to go on from a moment.

    Attributes
    ----------
    moment_ms
        Every event before it is applied, and none from it on.
    """

    moment_ms: int
    meta: PartitionMeta
    model: Model
    records: tuple[StoredRecord, ...]


@dataclass(frozen=True, slots=True)
class Streamed:
    """A stream's end, and states on the way."""

    view: View
    snapshots: tuple[Snapshot, ...]


def reference_moments(replay: Replay, longest_window_days: float) -> list[int]:
    """Midnights 28 days apart, the first of them 28 days after the first model."""
    times = replay.times
    first_day = int(times[times >= 0][0]) // DAY_MS + round(longest_window_days) + 1
    last_day = int(times[-1]) // DAY_MS
    days = np.arange(first_day + REFERENCE_DAYS, last_day, REFERENCE_DAYS)
    return [int(day) * DAY_MS for day in days]


def stream(replay: Replay, settings: Settings, moments_ms: Sequence[int] = ()) -> Streamed:
    """Apply a feed to the end; snapshots where a moment comes after the first model."""
    store, sink = KeepingStore(), MemorySink()
    engine = Engine(settings, store, sink)
    source = replay.cut_at(moments_ms)
    positions = np.searchsorted(replay.times, np.array(moments_ms, dtype=np.int64)).tolist()
    due = dict(zip(positions, moments_ms, strict=True))
    kept: list[Snapshot] = []

    def keep(progress: Progress) -> None:
        model = engine.partition.model
        if progress.entries in due and model is not None:
            meta = engine.partition.meta()
            kept.append(Snapshot(due[progress.entries], meta, model, tuple(store.records())))

    engine.run(source, keep)
    view = View(
        settings,
        engine.partition,
        engine.trainer_state,
        store.models(),
        b"".join(store.ledger),
        [body for _, body in sink.changes],
    )
    return Streamed(view, tuple(kept))


def longest_window_days(settings: Settings) -> float:
    """Of the clustered features of a spec."""
    return compile_spec(settings).longest_window_days
