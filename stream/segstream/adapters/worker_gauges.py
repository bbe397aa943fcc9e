"""Gauges of a worker's partitions, set anew every few seconds from what is in memory."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from redis.asyncio import Redis

from segstream.adapters.clock_board import ClockBoard
from segstream.adapters.redis_store import RedisStore
from segstream.core import layout as at
from segstream.core.freshness import evaluations
from segstream.core.partition import Partition
from segstream.metering import PartitionMeter
from segstream.metrics import Metrics
from segstream.settings import Settings
from segstream.worker import PartitionWorker

GAUGES_EVERY_S: Final = 5.0
# Segments are counted every third time.
SEGMENTS_EVERY: Final = 3
_OF_PARTITIONS: Final = (
    "segstream_lag_messages", "segstream_clock_timestamp_seconds", "segstream_sweep_lag_seconds",
    "segstream_clock_stopped", "segstream_outbox_age_seconds", "segstream_claimed",
    "segstream_adopted_generation",
)  # fmt: skip
_OF_SEGMENTS: Final = (
    "segstream_segment_customers", "segstream_segment_freshness_seconds", "segstream_segment_info",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """One claimed partition, and what is measured of it.

    Attributes
    ----------
    high
        End of the log; None before the first fetch.
    """

    worker: PartitionWorker
    meter: PartitionMeter
    store: RedisStore
    high: int | None


def set_gauges(
    metrics: Metrics, settings: Settings, looks: Sequence[Look], target_ms: int, clocks: ClockBoard
) -> None:
    """Set every gauge of partitions and segments; what is not held any more is dropped."""
    now_ms = round(time.time() * 1000)
    newest_ms = max((hint.event_ms for hint in clocks.clocks().values()), default=-1)
    silent = newest_ms >= 0 and now_ms - newest_ms > settings.clock.max_silence_hours * 3_600_000
    for name in _OF_PARTITIONS:
        metrics.forget(name)
    for look in looks:
        _set_partition(metrics, look, target_ms)
        metrics.set("segstream_clock_stopped", silent, partition=str(look.worker.number))


def _set_partition(metrics: Metrics, look: Look, target_ms: int) -> None:
    worker, where = look.worker, {"partition": str(look.worker.number)}
    clock_ms = worker.partition.clock_minute * at.MINUTE_MS
    lag = 0 if look.high is None else max(0, look.high - worker.offset)
    since = look.meter.unpublished_since
    metrics.set("segstream_lag_messages", lag, **where)
    if clock_ms >= 0:
        metrics.set("segstream_clock_timestamp_seconds", clock_ms / 1000, **where)
        behind_ms = target_ms - clock_ms if target_ms >= 0 else 0
        metrics.set("segstream_sweep_lag_seconds", max(0, behind_ms) / 1000, **where)
    age_s = 0.0 if since is None else time.monotonic() - since
    metrics.set("segstream_outbox_age_seconds", age_s, **where)
    metrics.set("segstream_claimed", 1, **where)
    metrics.set("segstream_adopted_generation", worker.generation, **where)
    for operation, trips in look.store.trips.items():
        metrics.add("segstream_redis_round_trips_total", trips, operation=operation)
        look.store.trips[operation] = 0
    metrics.add("segstream_redis_written_bytes_total", look.store.written_bytes)
    metrics.add("segstream_redis_read_bytes_total", look.store.read_bytes)
    look.store.read_bytes = look.store.written_bytes = 0


async def set_segments(metrics: Metrics, partitions: Sequence[Partition]) -> None:
    """Count customers by segment, and how long ago they were evaluated."""
    now_ms = round(time.time() * 1000)
    sizes = {at.NO_SEGMENT: 0}  # nobody is an answer too
    ages: dict[int, float] = {}
    for partition in partitions:
        segments, evaluated_ms = evaluations(partition)
        for segment in np.unique(segments).tolist():
            chosen = evaluated_ms[segments == segment]
            sizes[segment] = sizes.get(segment, 0) + len(chosen)
            ages[segment] = ages.get(segment, 0.0) + float((now_ms - chosen).sum())
        await asyncio.sleep(0)  # a batch may come between partitions
    for name in _OF_SEGMENTS:
        metrics.forget(name)
    for segment, n in sizes.items():
        where = {"segment": "none" if segment == at.NO_SEGMENT else str(segment)}
        metrics.set("segstream_segment_customers", n, **where)
        if n:
            fresh_s = ages[segment] / n / 1000
            metrics.set("segstream_segment_freshness_seconds", fresh_s, **where)
    for partition in partitions:
        for named in partition.model.segments if partition.model else ():
            metrics.set("segstream_segment_info", 1, segment=str(named.id), name=named.name)


async def set_memory(metrics: Metrics, redis: Redis) -> None:
    """Ask Redis for its memory."""
    found: dict[str, Any] = await redis.info("memory")
    limit = int(found.get("maxmemory", 0)) or int(found.get("total_system_memory", 0))
    metrics.set("segstream_redis_memory_bytes", int(found["used_memory"]))
    metrics.set("segstream_redis_memory_limit_bytes", limit)
