"""The insights role: out to Redis what each segment buys, and what followed the changes.

It reads transactions, segment changes and models, all partitions by itself, from the positions of
its own directory; the offsets that its consumer group commits only show how far it is. Two of them,
each with a directory of its own, do the same work twice and write the same.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from segstream.adapters import redis_keys
from segstream.adapters.insights_store import SegmentStore
from segstream.adapters.kafka_clients import new_consumer, running
from segstream.adapters.kafka_models import STATE_KEY, Record
from segstream.adapters.kafka_source import SourceTopic
from segstream.adapters.outages import AWAY, Outages, ended, pause_s
from segstream.adapters.permissions import Needs, check_permissions, insights_needs
from segstream.adapters.redis_store import connect
from segstream.core.changes import Change, rfc3339
from segstream.core.insights_answer import InsightsTable
from segstream.core.model import Model
from segstream.core.purchases import DAY_MS
from segstream.insights_partition import InsightsPartition, Log
from segstream.insights_past import Read, look_back
from segstream.insights_table import Snapshot, table_of
from segstream.metrics import Metrics
from segstream.settings import Settings
from segstream.worker import AHEAD_MS

LOG: Final = logging.getLogger("segstream.insights")
_POLL_MS: Final = 500
_RUN_RECORDS: Final = 20_000
_TELL_S: Final = 1.0
# After a look back, which reads every order and change that is kept: a twentieth of a core.
_REST_PER_LOOK: Final = 19.0


class InsightsOptions(msgspec.Struct, frozen=True):
    """What an insights role is started with.

    Attributes
    ----------
    state
        Its directory; whoever has it goes on where it stands.
    every_s
        Seconds between two tables in Redis.
    days
        Of event time that are counted; 0 as the settings say.
    names
        Of products, by id.
    """

    redis: str
    state: Path
    every_s: float = 10.0
    days: int = 0
    instance: str | None = None
    names: dict[str, str] = {}


class KafkaInsights:
    """`segstream insights`."""

    def __init__(self, settings: Settings, options: InsightsOptions, metrics: Metrics) -> None:
        self._settings, self._options, self._metrics = settings, options, metrics
        self._names = settings.kafka.topics(settings.namespace)
        self._outages = Outages(LOG)
        self._life: asyncio.Task[None] | None = None
        self._parts: dict[int, InsightsPartition] = {}
        self._segments: SegmentStore | None = None
        self._models: dict[int, Model] = {}
        self._published = self._dirty = self._looks_back = False
        self._look_due = 0.0
        self._pruned_day = -1
        self._attempt = 0

    @property
    def needs(self) -> Needs:
        """What it must be allowed on the brokers."""
        return insights_needs(self._settings.kafka, self._settings.namespace)

    def lacks(self) -> Sequence[str]:
        """What is missing to be ready: servers that are away, or a first table."""
        found = [f"{who} is away" for who in self._outages.failing]
        return found or ([] if self._published else ["no table in Redis yet"])

    async def start(self) -> None:
        """Begin in the background: a signal is heard while it waits."""
        self._life = asyncio.create_task(self._serve())

    async def wait(self) -> None:
        """Wait until something fails for good.

        Raises
        ------
        SegstreamError
        """
        if self._life is not None:
            await asyncio.shield(self._life)

    async def stop(self) -> None:
        """End; the directory stands at the last run that was committed."""
        if self._life is None:
            return
        await ended(self._life)

    async def _serve(self) -> None:
        while True:
            try:
                await self._work()
            except AWAY as error:
                self._outages.failed("insights", error)
                await asyncio.sleep(pause_s(self._attempt))
                self._attempt += 1

    async def _work(self) -> None:
        settings = self._settings
        await check_permissions(settings.kafka, self.needs)
        group = f"{settings.namespace}-insights"
        async with running(new_consumer(settings.kafka, group, self._options.instance)) as consumer:
            try:
                await self._open(consumer)
                self._outages.works("insights")
                await self._follow(consumer)
            finally:
                self._close()

    async def _open(self, consumer: AIOKafkaConsumer) -> None:
        """Open the directory and go to its positions."""
        names, where = self._names, self._options.state
        ids = {}
        for topic in (names.transactions, names.changes, names.models):
            source = SourceTopic(self._settings.kafka, topic, self._outages)
            await source.remember()
            ids[topic] = (await source.topic_id(), source.n_partitions)
        each = [TopicPartition(t, p) for t, (_, n) in ids.items() for p in range(n)]
        consumer.assign(each)
        starts, ends = await consumer.beginning_offsets(each), await consumer.end_offsets(each)
        self._segments = SegmentStore(where, ids[names.changes][0])
        for tp in each:
            log = Log(ids[tp.topic][0], starts[tp], ends[tp])
            consumer.seek(tp, self._begin(tp, log))

    def _begin(self, tp: TopicPartition, log: Log) -> int:
        """Where to read a partition from."""
        if tp.topic == self._names.models:
            self._models = {}
            return log.start
        if tp.topic == self._names.transactions:
            part = InsightsPartition(self._settings, tp.partition, self._options.state, log)
            self._parts[tp.partition] = part
            return part.next_offset
        assert self._segments is not None  # noqa: S101 - opened just before
        known = self._segments.position(tp.partition)
        if known is not None and not log.start <= known <= log.end:
            # No reason to stop: each customer's next change says where he is.
            LOG.warning(
                "%s, partition %d: expected to hold offset %d, got %d to %d: changes between are "
                "deleted; customers that moved then are counted where they were until they move "
                "again. Raise kafka.retention_days, and do not leave this role stopped for longer",
                tp.topic, tp.partition, known, log.start, log.end,
            )  # fmt: skip
            known = None
        return log.start if known is None else known

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        due = time.monotonic()
        while True:
            runs = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_RUN_RECORDS)
            for tp, records in runs.items():
                self._apply(tp, records)
            if runs:
                self._dirty = self._looks_back = True
                await self._tell(consumer, {tp: r[-1].offset + 1 for tp, r in runs.items()})
            self._measure(consumer)
            if time.monotonic() >= due and (self._dirty or not self._published):
                await self._publish()
                due = time.monotonic() + self._options.every_s
            if self._looks_back and time.monotonic() >= self._look_due:
                await self._look_back()
            self._attempt = 0

    async def _tell(self, consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        """Commit offsets for those who watch the group's lag; nothing waits for them."""
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_TELL_S):
                await consumer.commit(offsets)

    def _apply(self, tp: TopicPartition, records: Sequence[Record]) -> None:
        position = records[-1].offset + 1
        if tp.topic == self._names.changes:
            self._apply_changes(tp.partition, records, position)
            return
        if tp.topic == self._names.models:
            self._apply_models(records)
            return
        part = self._parts[tp.partition]
        payloads = [r.value or b"" for r in records]
        applied, dead = part.apply(payloads, [r.timestamp + AHEAD_MS for r in records], position)
        self._metrics.add("segstream_insights_events_total", applied, outcome="applied")
        self._metrics.add("segstream_insights_events_total", dead, outcome="dead")
        rest = len(records) - applied - dead
        self._metrics.add("segstream_insights_events_total", rest, outcome="duplicate")

    def _apply_changes(self, partition: int, records: Sequence[Record], position: int) -> None:
        found = []
        for record in records:
            try:
                found.append(msgspec.json.decode(record.value or b"", type=Change))
            except msgspec.DecodeError as error:
                place = f"{record.topic}:{record.partition}:{record.offset}"
                LOG.warning("%s: expected a segment change, got %s; left out", place, error)
        assert self._segments is not None  # noqa: S101 - open while it reads
        self._segments.apply(partition, found, position)

    def _apply_models(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.key != STATE_KEY and record.value is not None:
                model = msgspec.json.decode(record.value, type=Model)
                self._models[model.number] = model

    async def _publish(self) -> None:
        """Count, and put the table where `serve` reads it."""
        began = time.perf_counter()
        table = await asyncio.to_thread(table_of, self._snapshot())
        await self._put(redis_keys.insights(self._settings.namespace), table)
        self._published, self._dirty = True, False
        self._metrics.set("segstream_insights_seconds", time.perf_counter() - began)
        self._metrics.set("segstream_insights_published_timestamp_seconds", time.time())
        self._prune(table)

    async def _look_back(self) -> None:
        """Say what followed the changes, where `serve` reads it."""
        assert self._segments is not None  # noqa: S101 - open while it reads
        began = time.monotonic()
        read = Read(
            settings=self._settings,
            directory=self._options.state,
            members={number: part.members() for number, part in sorted(self._parts.items())},
            segments=self._segments.standings().segments,
            models=[self._models[number] for number in sorted(self._models)],
            clock_ms=self._clock_ms,
            first_ms=self._first_ms,
        )
        found = await asyncio.to_thread(look_back, read)
        await self._put(redis_keys.retrospect(self._settings.namespace), found)
        self._looks_back = False
        took = time.monotonic() - began
        self._metrics.set("segstream_insights_retrospect_seconds", took)
        self._look_due = time.monotonic() + max(self._options.every_s, _REST_PER_LOOK * took)

    async def _put(self, key: str, what: object) -> None:
        redis = connect(self._options.redis)
        try:
            await redis.set(key, msgspec.json.encode(what))
        finally:
            await redis.aclose()

    @property
    def _clock_ms(self) -> int:
        return max((part.clock_ms for part in self._parts.values()), default=-1)

    @property
    def _first_ms(self) -> int:
        known = (part.first_ms for part in self._parts.values())
        return min((first for first in known if first >= 0), default=-1)

    def _snapshot(self) -> Snapshot:
        assert self._segments is not None  # noqa: S101 - open while it reads
        parts = sorted(self._parts.items())
        return Snapshot(
            settings=self._settings,
            days=self._options.days,
            names=self._options.names,
            standings=self._segments.standings(),
            model=self._models[max(self._models)] if self._models else None,
            clock_ms=self._clock_ms,
            first_ms=self._first_ms,
            members=[part.members() for _, part in parts],
            slots=[part.slots for _, part in parts],
            blocks=[part.blocks() for _, part in parts],
        )

    def _prune(self, table: InsightsTable) -> None:
        """Once a day of event time, drop what no window reaches any more."""
        today = self._clock_ms // DAY_MS
        if today > self._pruned_day >= 0:
            past = today - self._settings.insights.past_days + 1
            for part in self._parts.values():
                part.prune(today - table.window_days + 1, past)
            assert self._segments is not None  # noqa: S101 - open while it reads
            self._segments.prune(rfc3339(past * DAY_MS))
        self._pruned_day = max(today, self._pruned_day)

    def _measure(self, consumer: AIOKafkaConsumer) -> None:
        for number, part in self._parts.items():
            high = consumer.highwater(TopicPartition(self._names.transactions, number))
            if high is not None:
                lag = max(0, high - part.next_offset)
                self._metrics.set("segstream_insights_lag_messages", lag, partition=str(number))

    def _close(self) -> None:
        for part in self._parts.values():
            part.close()
        self._parts = {}
        if self._segments is not None:
            self._segments.close()
            self._segments = None
