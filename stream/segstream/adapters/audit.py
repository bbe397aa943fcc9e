"""`segstream audit`: whether topic, store and output say the same.

Three questions, each answered from its own source:

1. Every message up to the stored offset was applied, skipped, a duplicate or a dead letter.
2. The features recomputed from the topic equal the features in the store.
3. Each customer's last published change is the segment in the store.
"""

from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis

from segstream.adapters.kafka_clients import new_reader, running
from segstream.adapters.redis_store import RedisStore, connect
from segstream.core import layout as at
from segstream.core.changes import ChangeEncoder
from segstream.core.columns import ColumnBuilder
from segstream.core.events import parse_json_lines
from segstream.core.partition import Partition, PartitionMeta
from segstream.core.spec import CompiledSpec
from segstream.kafka_settings import KafkaSettings
from segstream.settings import Settings, compile_spec, policy_of
from segstream.view_frames import changes_frame
from segstream.worker import AHEAD_MS


@dataclass(slots=True)
class Audit:
    """What was found, over all partitions.

    Attributes
    ----------
    sent, applied, skipped, duplicates, dead
        Messages up to the stored offsets, and what became of them.
    customers
        Records in the store.
    features_differ, changes_differ
        Customers whose recomputed features or last change are not the store's.
    cut
        Partitions whose log no longer begins at 0: their features cannot be recomputed.
    """

    sent: int = 0
    applied: int = 0
    skipped: int = 0
    duplicates: int = 0
    dead: int = 0
    customers: int = 0
    features_differ: list[str] = field(default_factory=list)
    changes_differ: list[str] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether all three questions are answered with yes."""
        accounted = self.applied + self.skipped + self.duplicates + self.dead
        return self.sent == accounted and not self.features_differ and not self.changes_differ


async def audit(settings: Settings, kafka: KafkaSettings, redis_url: str) -> Audit:
    """Compare; read everything from its beginning, change nothing."""
    spec = compile_spec(settings)
    names = kafka.topics(settings.namespace)
    found = Audit()
    async with aclosing(connect(redis_url)) as redis, running(new_reader(kafka)) as consumer:
        for number in sorted(await _partitions(consumer, names.transactions)):
            await _audit_partition(found, settings, spec, consumer, redis, names, number)
    return found


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.force_metadata_update()
    return set(consumer.partitions_for_topic(topic) or ())


async def _audit_partition(
    found: Audit, settings: Settings, spec: CompiledSpec, consumer: AIOKafkaConsumer,
    redis: Redis, names: Any, number: int,
) -> None:  # fmt: skip
    turns = 60 * settings.policy.sweep_hours
    store = RedisStore(redis, settings.namespace, number, spec.spec.digest, turns)
    claim = await store.held()
    meta = claim.meta
    stored = _partition(settings, spec)
    records = await store.records()
    stored.load(_with_slots(meta, len(records)), None, iter(records))
    tp = TopicPartition(names.transactions, number)
    start = (await consumer.beginning_offsets([tp]))[tp]
    anew = _partition(settings, spec)
    found.sent += await _recompute(anew, consumer, tp, claim.offset or 0, meta.clock_minute)
    found.applied += meta.applied
    found.skipped += meta.skipped
    found.duplicates += meta.duplicates
    found.dead += meta.dead
    found.customers += len(records)
    if start > 0:
        found.cut.append(number)
    else:
        found.features_differ += _differing(stored, anew)
    changes = await _changes(consumer, TopicPartition(names.changes, number))
    found.changes_differ += _changed(stored, changes)


def _partition(settings: Settings, spec: CompiledSpec) -> Partition:
    builder = ColumnBuilder(spec, settings.currency or None, 0)
    encoder = ChangeEncoder(settings.namespace, spec.spec.names)
    return Partition(spec, policy_of(settings), builder, encoder, settings.namespace.encode())


def _with_slots(meta: PartitionMeta, slots: int) -> PartitionMeta:
    return msgspec.structs.replace(meta, next_slot=slots, totals=None)


async def _recompute(
    partition: Partition, consumer: AIOKafkaConsumer, tp: TopicPartition, end: int, minute: int
) -> int:
    """Fold the log up to an offset without a model; returns how many messages there were."""
    sent = 0
    async for records in _read(consumer, tp, end):
        sent += len(records)
        latest = [r.timestamp + AHEAD_MS for r in records]
        partition.stage(parse_json_lines([r.value or b"" for r in records]), latest)
        while not partition.run():
            partition.take_panel()
            partition.open_day()
        partition.take()
    partition.start_clock(max(minute, 0) * at.MINUTE_MS)
    while not partition.run(minute):
        partition.take_panel()
        partition.open_day()
    partition.take()
    return sent


async def _read(consumer: AIOKafkaConsumer, tp: TopicPartition, end: int) -> Any:
    """Records before an offset, chunk by chunk."""
    consumer.assign([tp])
    await consumer.seek_to_beginning(tp)
    end = min(end, (await consumer.end_offsets([tp]))[tp])
    while await consumer.position(tp) < end:
        found = (await consumer.getmany(tp, timeout_ms=500)).get(tp, [])
        chunk = [r for r in found if r.offset < end]
        if chunk:
            yield chunk


def _differing(stored: Partition, anew: Partition) -> list[str]:
    """Customers whose features differ, or who are in only one of the two."""
    ids, rows = stored.living()
    other_ids, other_rows = anew.living()
    raw = dict(zip(ids, stored.evaluate(rows)[0], strict=True))
    other = dict(zip(other_ids, anew.evaluate(other_rows)[0], strict=True))
    differing = set(raw) ^ set(other)
    for customer_id in set(raw) & set(other):
        if not np.array_equal(raw[customer_id], other[customer_id], equal_nan=True):
            differing.add(customer_id)
    return sorted(differing)


async def _changes(consumer: AIOKafkaConsumer, tp: TopicPartition) -> list[bytes]:
    bodies: list[bytes] = []
    async for records in _read(consumer, tp, 1 << 62):
        bodies.extend(r.value for r in records if r.value is not None)
    return bodies


def _changed(stored: Partition, changes: list[bytes]) -> list[str]:
    """Customers whose last change is not what the store has."""
    frame = changes_frame(changes)
    to: list[int | None] = [None if pd.isna(t) else int(t) for t in frame["to_id"]]
    told = zip(map(str, frame["customer_id"]), map(int, frame["sequence"]), to, strict=True)
    published = {customer_id: (sequence, segment) for customer_id, sequence, segment in told}
    ids, rows = stored.living()
    head = stored.head(rows)
    differing = []
    for customer_id, segment, sequence in zip(
        ids, head[:, at.SEGMENT].tolist(), head[:, at.SEQUENCE].tolist(), strict=True
    ):
        expected = (sequence, segment) if sequence else None
        if published.get(customer_id) != expected:
            differing.append(customer_id)
    return differing
