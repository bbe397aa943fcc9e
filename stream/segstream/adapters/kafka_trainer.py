"""The trainer role: evidence in, models out; one active, the others stand by.

The consumer group over the one-partition evidence topic elects it; its transactional producer
fences an earlier one. All it remembers is in the models topic, so a standby takes over by reading
models and evidence again.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from segstream.adapters.kafka_log import (
    Outages,
    abandon,
    cancelled,
    new_consumer,
    new_producer,
)
from segstream.adapters.redis_store import DayEvidence
from segstream.core.layout import N_PANEL_COLUMNS
from segstream.core.merging import PartitionDay, merge_days
from segstream.core.partition import DayTotals, PanelRows
from segstream.core.trainer import Trainer, TrainerState
from segstream.kafka_settings import KafkaSettings
from segstream.settings import Settings, compile_spec

LOG: Final = logging.getLogger("segstream.trainer")
STATE_KEY: Final = b"state"
_BACKOFF_S: Final = 1.0
_START_S: Final = 30.0
_PUBLISH_S: Final = 30.0


class TrainerLife(msgspec.Struct, frozen=True):
    """What the models topic keeps for the next trainer: the state and the day it stands at."""

    day: int = -1
    state: TrainerState = TrainerState()


class EvidenceBook:
    """Days that partitions have closed and that no model knows yet."""

    def __init__(self, partitions: int, n_features: int) -> None:
        self._partitions, self._n_features = partitions, n_features
        self._days: dict[int, dict[int, PartitionDay]] = {}
        self._latest: dict[int, int] = {}

    def add(self, body: bytes) -> None:
        """Note one partition's day; a repeat replaces itself."""
        found = msgspec.msgpack.decode(body, type=DayEvidence)
        totals = msgspec.msgpack.decode(found.totals, type=DayTotals)
        keys = np.frombuffer(found.panel.keys, dtype=np.int64).reshape(-1, N_PANEL_COLUMNS)
        raw = np.frombuffer(found.panel.raw, dtype=np.float64).reshape(-1, self._n_features)
        day = PartitionDay(found.model, found.first_ms, totals, PanelRows(keys, raw))
        self._days.setdefault(totals.day, {})[found.partition] = day
        self._latest[found.partition] = max(self._latest.get(found.partition, -1), totals.day)

    def closed_after(self, day: int) -> list[int]:
        """Days after `day` that every partition has passed, oldest first."""
        if len(self._latest) < self._partitions:
            return []
        passed = min(self._latest.values())
        return sorted(d for d in self._days if day < d <= passed)

    def take(self, day: int) -> list[PartitionDay]:
        """Give a day's evidence by partition, and forget it and what is older."""
        found: Mapping[int, PartitionDay] = self._days[day]
        self._days = {d: v for d, v in self._days.items() if d > day}
        return [found[p] for p in sorted(found)]


class KafkaTrainer(ConsumerRebalanceListener):  # type: ignore[misc]
    """A member of the trainers' group; active while it owns the evidence partition."""

    def __init__(self, settings: Settings, kafka: KafkaSettings, instance: str | None) -> None:
        self._settings, self._kafka, self._instance = settings, kafka, instance
        self._spec = compile_spec(settings)
        self._trainer = Trainer(self._spec, settings.model)
        self._names = kafka.topics(settings.namespace)
        self._evidence = TopicPartition(self._names.evidence, 0)
        self._active: asyncio.Task[None] | None = None
        self._outages = Outages(LOG)
        self.models_published = 0

    async def start(self) -> None:
        """Join the group."""
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        group = f"{self._settings.namespace}-trainer"
        while True:
            self._member = new_consumer(self._kafka, group, self._instance)
            try:
                await self._member.start()
                break
            except (KafkaError, OSError, TimeoutError) as error:
                self._outages.failed("trainer", error)
                await self._member.stop()
                await asyncio.sleep(_BACKOFF_S)
        self._member.subscribe([self._names.evidence], listener=self)
        self._heart = asyncio.create_task(self._stay())

    async def _stay(self) -> None:
        """Poll, so that the group keeps this member; the evidence is read by `_work`."""
        while True:
            try:
                await self._member.getmany(timeout_ms=1000)
            except KafkaError:  # said by `_serve`, which meets it too
                await asyncio.sleep(_BACKOFF_S)

    async def wait(self) -> None:
        """Wait until something fails for good.

        Raises
        ------
        SegstreamError
        """
        await self._failed

    async def stop(self) -> None:
        """Leave the group."""
        for task in (self._active, self._heart):
            if task is not None:
                await cancelled(task)
        await self._member.stop()

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Stand by."""
        del revoked
        if self._active is not None:
            await cancelled(self._active)
            self._active = None

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Become active where the evidence partition is mine."""
        if self._evidence in assigned:
            self._active = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            try:
                await self._work()
            except (KafkaError, OSError, TimeoutError) as error:
                self._outages.failed("trainer", error)
                await asyncio.sleep(_BACKOFF_S)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is handed to `wait`
                self._failed.set_exception(error)
                return

    async def _work(self) -> None:
        """Fence the former trainer, read what it left, then go on day by day."""
        producer = new_producer(self._kafka, f"{self._settings.namespace}-trainer")
        reader = AIOKafkaConsumer(
            bootstrap_servers=self._kafka.bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        try:
            async with asyncio.timeout(_START_S):
                await producer.start()
            await reader.start()
            life = await self._read_life(reader)
            reader.assign([self._evidence])
            await reader.seek_to_beginning(self._evidence)
            book = EvidenceBook(self._kafka.partitions, self._spec.n_features)
            self._outages.works("trainer")
            while True:
                found = await reader.getmany(self._evidence, timeout_ms=200)
                for record in found.get(self._evidence, []):
                    book.add(record.value or b"")
                for day in book.closed_after(life.day):
                    life = await self._close(producer, life, day, book)
        finally:
            await reader.stop()
            await abandon(producer)

    async def _read_life(self, reader: AIOKafkaConsumer) -> TrainerLife:
        tp = TopicPartition(self._names.models, 0)
        reader.assign([tp])
        await reader.seek_to_beginning(tp)
        end = (await reader.end_offsets([tp]))[tp]
        life = TrainerLife()
        while await reader.position(tp) < end:
            for record in (await reader.getmany(tp, timeout_ms=200)).get(tp, []):
                if record.key == STATE_KEY:
                    life = msgspec.msgpack.decode(record.value or b"", type=TrainerLife)
        return life

    async def _close(
        self, producer: AIOKafkaProducer, life: TrainerLife, day: int, book: EvidenceBook
    ) -> TrainerLife:
        """Step one day, and publish model and state in one transaction."""
        number = life.state.model.number if life.state.model else 0
        totals, panel, first_ms = merge_days(book.take(day), number, self._spec.n_features)
        state = await asyncio.to_thread(
            self._trainer.close_day, life.state, totals, panel, first_ms
        )
        new = TrainerLife(day, state)
        model = state.model if state.model is not life.state.model else None
        async with asyncio.timeout(_PUBLISH_S):
            # Never aborted here: the next start settles what became of it.
            await producer.begin_transaction()
            if model is not None:
                key = f"model:{model.number}".encode()
                await producer.send(self._names.models, msgspec.json.encode(model), key=key)
            await producer.send(self._names.models, msgspec.msgpack.encode(new), key=STATE_KEY)
            await producer.commit_transaction()
        self.models_published += model is not None
        return new
