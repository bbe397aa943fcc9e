"""The trainer role: evidence in, models out; one active, the others stand by.

The consumer group over the one-partition evidence topic elects it; its transactional producer
fences an earlier one. All it remembers is in the models topic, so a standby takes over by reading
models and evidence again.
"""

import asyncio
import itertools
import logging
import math
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from segstream.adapters.evidence import EvidenceBook
from segstream.adapters.kafka_clients import (
    abandon,
    new_consumer,
    new_producer,
    new_reader,
    running,
)
from segstream.adapters.kafka_commands import CommandBook
from segstream.adapters.kafka_models import (
    STATE_KEY,
    Record,
    follow_topic,
    model_key,
    read_topic,
)
from segstream.adapters.outages import AWAY, Outages, ended, pause_s
from segstream.adapters.permissions import Needs, check_permissions, trainer_needs
from segstream.adapters.playbook_files import named_playbook
from segstream.adapters.trainer_gauges import clear_state, count_day, set_state
from segstream.core.merging import merge_days
from segstream.core.model import Model
from segstream.core.partition import DayTotals, PanelRows
from segstream.core.trainer import Trainer
from segstream.core.trainer_state import TrainerLife, TrainerState, changed
from segstream.fitter import ChildFitter
from segstream.kafka_settings import KafkaSettings
from segstream.metrics import Metrics
from segstream.settings import Settings, compile_spec
from segstream.worker_parts import AGAIN_S

LOG: Final = logging.getLogger("segstream.trainer")
_BACKOFF_S: Final = 1.0
_START_S: Final = 30.0
_PUBLISH_S: Final = 30.0
_STOP_S: Final = 5.0


class KafkaTrainer(ConsumerRebalanceListener):  # type: ignore[misc]
    """A member of the trainers' group; active while it owns the evidence partition."""

    def __init__(
        self, settings: Settings, kafka: KafkaSettings, instance: str | None,
        metrics: Metrics | None = None,
    ) -> None:  # fmt: skip
        self._metrics = metrics or Metrics("trainer")
        self._joined = False
        self._settings, self._kafka, self._instance = settings, kafka, instance
        self._spec = compile_spec(settings)
        self._trainer = Trainer(
            self._spec, settings.model, named_playbook(settings.playbook, self._spec)
        )
        self._names = kafka.topics(settings.namespace)
        self._evidence = TopicPartition(self._names.evidence, 0)
        self._active: asyncio.Task[None] | None = None
        self._outages = Outages(LOG)
        self._fitter = ChildFitter()
        self._keys: list[bytes] = []
        self._again_s = math.inf
        self.models_published = 0

    @property
    def needs(self) -> Needs:
        """What it must be allowed on the brokers."""
        return trainer_needs(self._kafka, self._settings.namespace)

    async def start(self) -> None:
        """Join the group."""
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        group = f"{self._settings.namespace}-trainer"
        for attempt in itertools.count():
            self._member = new_consumer(self._kafka, group, self._instance)
            try:
                await self._member.start()
                await check_permissions(self._kafka, self.needs)
                break
            except AWAY as error:
                self._outages.failed("trainer", error)
                await self._member.stop()
                await asyncio.sleep(pause_s(attempt))
            except BaseException:
                await self._member.stop()
                raise
        # One that stands by has nothing else to do that would say so.
        self._outages.works("trainer")
        self._member.subscribe([self._names.evidence], listener=self)
        self._joined = True
        self._heart = asyncio.create_task(self._stay())

    def lacks(self) -> list[str]:
        """What is missing until it is ready; one that stands by is."""
        starts = [] if self._joined else ["trainer: starts"]
        return [*starts, *(f"{who}: is away" for who in self._outages.failing)]

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
        """Leave the group; what hangs is left behind."""
        self._fitter.close()
        closing = asyncio.create_task(self._close_member())
        await asyncio.wait([closing], timeout=_STOP_S)

    async def _close_member(self) -> None:
        for task in (self._active, self._heart):
            if task is not None:
                await ended(task)
        await self._member.stop()

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Stand by."""
        del revoked
        if self._active is not None:
            await ended(self._active)
            self._active = None
            clear_state(self._metrics)

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Become active where the evidence partition is mine."""
        if self._evidence in assigned:
            self._active = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            try:
                await self._work()
            except AWAY as error:
                self._outages.failed("trainer", error)
                await asyncio.sleep(_BACKOFF_S)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is handed to `wait`
                self._failed.set_exception(error)
                return

    async def _work(self) -> None:
        """Fence the former trainer, read what it left, then go on day by day."""
        producer = new_producer(self._kafka, f"{self._settings.namespace}-trainer")
        try:
            async with asyncio.timeout(_START_S):
                await producer.start()
            async with running(new_reader(self._kafka)) as reader:
                await self._follow(producer, reader)
        finally:
            await abandon(producer)

    async def _follow(self, producer: AIOKafkaProducer, reader: AIOKafkaConsumer) -> None:
        life = await self._read_life(reader)
        set_state(self._metrics, self._spec, life.state, life.day)
        partitions, n_features = self._kafka.partitions, self._spec.n_features
        book = EvidenceBook(partitions, n_features, life.day)
        orders = CommandBook()
        # Of a transaction that failed nothing is said again: the next start settles it.
        self._keys, self._again_s = [], time.monotonic() + AGAIN_S
        reader.assign([self._evidence])
        await reader.seek_to_beginning(self._evidence)
        self._outages.works("trainer")
        while True:
            await follow_topic(reader, self._names.evidence, lambda r: _note(book, orders, r))
            for day in book.closed_after(life.day):
                life = await self._close(producer, life, day, book, orders)
            await self._tell_again(producer, life, book)

    async def _read_life(self, reader: AIOKafkaConsumer) -> TrainerLife:
        found = [TrainerLife()]

        def note(record: Record) -> None:
            if record.key == STATE_KEY and record.value is not None:
                found[0] = msgspec.msgpack.decode(record.value, type=TrainerLife)

        await read_topic(reader, self._names.models, note)
        return found[0]

    async def _close(
        self, producer: AIOKafkaProducer, life: TrainerLife, day: int, book: EvidenceBook,
        orders: CommandBook,
    ) -> TrainerLife:  # fmt: skip
        """Step one day; publish model and state, drop evidence and commands, in one transaction."""
        number = life.state.model.number if life.state.model else 0
        totals, panel, first_ms = merge_days(book.take(day), number, self._spec.n_features)
        before = changed(life.state, commands=(*life.state.commands, *orders.take()))
        state = await asyncio.to_thread(self._stepped, before, totals, panel, first_ms)
        new = TrainerLife(day, state)
        model = state.model if state.model is not life.state.model else None
        keys = [*book.spent(), *orders.spent()]
        await self._publish(producer, new, model, keys)
        self._keys, self._again_s = keys, time.monotonic() + AGAIN_S
        self.models_published += model is not None
        count_day(self._metrics, life.state, state, day)
        set_state(self._metrics, self._spec, state, day)
        return new

    async def _publish(
        self, producer: AIOKafkaProducer, life: TrainerLife, model: Model | None,
        keys: Sequence[bytes],
    ) -> None:  # fmt: skip
        """Send a state, and tombstones of what it makes needless, in one transaction."""
        async with asyncio.timeout(_PUBLISH_S):
            # Never aborted here: the next start settles what became of it.
            await producer.begin_transaction()
            if model is not None:
                body = msgspec.json.encode(model)
                await producer.send(self._names.models, body, key=model_key(model.number))
            await producer.send(self._names.models, msgspec.msgpack.encode(life), key=STATE_KEY)
            for key in keys:
                await producer.send(self._names.evidence, None, key=key, partition=0)
            await producer.commit_transaction()

    async def _tell_again(
        self, producer: AIOKafkaProducer, life: TrainerLife, book: EvidenceBook
    ) -> None:
        """Publish the last state once more, as workers do their evidence: see `Told`."""
        now_s = time.monotonic()
        if life.day < 0 or now_s < self._again_s:
            if book.has_spent:  # a repeat that came after its day was closed
                self._again_s = min(self._again_s, now_s + AGAIN_S)
            return
        await self._publish(producer, life, None, [*self._keys, *book.spent()])
        self._keys, self._again_s = [], math.inf

    def _stepped(
        self, state: TrainerState, totals: DayTotals, panel: PanelRows, first_ms: int
    ) -> TrainerState:
        """Step one day, and have a check answered at once: its panel is too large to publish."""
        state = self._trainer.close_day(state, totals, panel, first_ms)
        if state.asked is None:
            return state
        began = time.monotonic()
        self._fitter.begin(state.asked)
        proposal = self._fitter.result(state.asked)
        self._metrics.observe("segstream_refit_seconds", time.monotonic() - began)
        return self._trainer.settle(state, proposal)


def _note(book: EvidenceBook, orders: CommandBook, record: Record) -> None:
    if orders.note(record):
        return
    if record.value is not None:
        book.add(record.value)
    elif record.key is not None:
        book.dropped(record.key)
