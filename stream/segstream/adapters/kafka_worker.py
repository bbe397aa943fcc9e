"""All partitions of one worker: consumer, models, clock hints, and a task per partition."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalStateError, KafkaError
from kafka.partitioner.default import murmur2
from redis.asyncio import Redis
from redis.exceptions import WatchError

from segstream.adapters.clock_board import ClockBoard
from segstream.adapters.kafka_clients import (
    connection,
    new_consumer,
    new_reader,
    running,
    take_records_as_they_are,
)
from segstream.adapters.kafka_log import PartitionLog
from segstream.adapters.kafka_models import ModelBoard, follow_topic, read_topic
from segstream.adapters.kafka_publisher import PartitionPublisher
from segstream.adapters.kafka_source import SourceTopic
from segstream.adapters.outages import AWAY, Outages, ended, pause_s
from segstream.adapters.permissions import Needs, worker_needs
from segstream.adapters.redis_store import RedisStore, check_server, connect, erase_key
from segstream.adapters.worker_gauges import (
    GAUGES_EVERY_S,
    SEGMENTS_EVERY,
    Look,
    set_gauges,
    set_memory,
    set_segments,
)
from segstream.collector import keep_what_is_loaded, look_less_often
from segstream.core.model import Model
from segstream.errors import FencedError, SourceError
from segstream.kafka_settings import KafkaSettings
from segstream.metering import PartitionMeter
from segstream.metrics import Metrics
from segstream.pace import Pace, Patience
from segstream.settings import Settings, compile_spec
from segstream.tempo import Tempo
from segstream.worker import PartitionWorker
from segstream.worker_parts import Tasks

LOG: Final = logging.getLogger("segstream.worker")
# After the batches under way had their time nothing is worth waiting for longer.
_STOP_S: Final = 5.0
# Every read costs a fetch of each partition that was read: of a trickle, one every so often.
_READ_EVERY_S: Final = 0.005
# To ask for no partition at all: an empty list stands for every one.
_NOBODY: Final = TopicPartition("", -1)


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What a worker is told besides the settings.

    Attributes
    ----------
    redis
        ``redis://host:port/db``.
    instance
        Name of this member; with it a restart within the session timeout moves no partition.
    model
        A model to use and keep; the models topic is not read then.
    relaxed
        Accept a Redis with ``appendfsync everysec``.
    drain_s
        How long a stop may take to finish the batches under way.
    erase_key
        Key of the HMAC that remembers erased ids; empty for one that is kept in Redis.
    """

    kafka: KafkaSettings
    redis: str
    instance: str | None = None
    model: Model | None = None
    relaxed: bool = False
    drain_s: float = 10.0
    erase_key: bytes = b""


class KafkaWorker(ConsumerRebalanceListener):  # type: ignore[misc]
    """A member of the worker group."""

    def __init__(
        self, settings: Settings, options: WorkerOptions, metrics: Metrics | None = None
    ) -> None:
        self.settings, self.options = settings, options
        self._metrics = metrics or Metrics("worker")
        self._joined = self._assigned = self._loaded = False
        self.spec = compile_spec(settings)
        self.names = options.kafka.topics(settings.namespace)
        self.group = options.kafka.workers_group(settings.namespace)
        self.models = ModelBoard(options.model)
        self._patience = Patience(self.models, options.kafka.trainer_wait_s)
        self._outages = Outages(LOG)
        self._source = SourceTopic(options.kafka, self.names.transactions, self._outages)
        self._clocks = ClockBoard(settings, self._claimed)
        self._running: dict[TopicPartition, asyncio.Task[None]] = {}
        self._workers: dict[TopicPartition, PartitionWorker] = {}
        self._logs: dict[TopicPartition, PartitionLog] = {}
        self._stores: dict[TopicPartition, RedisStore] = {}
        self._meters: dict[TopicPartition, PartitionMeter] = {}
        self._failed: asyncio.Future[None] | None = None
        self._stopping = False
        self._parts = contextlib.AsyncExitStack()

    @property
    def needs(self) -> Needs:
        """What it must be allowed on the brokers."""
        return worker_needs(self.options.kafka, self.settings.namespace)

    # ---- life --------------------------------------------------------------------------

    async def start(self) -> None:
        """Check the parts, read the models, join the group; waits for what is away."""
        try:
            await self._start()
        except BaseException:
            await self._parts.aclose()
            raise

    async def _start(self) -> None:
        self._failed = asyncio.get_running_loop().create_future()
        self._redis = connect(self.options.redis)
        self._parts.push_async_callback(self._redis.aclose)
        await self._until_there("redis", self._check_redis)
        await self._until_there("kafka", self._start_admin)
        self._parts.push_async_callback(self.admin.close)
        await self._start_models()
        await self._until_there("kafka", self._start_consumer)
        self._parts.push_async_callback(self.consumer.stop)
        self.consumer.subscribe([self.names.transactions], listener=self)
        self._joined = True
        works = (self._poll(), self._clocks.share(self._redis), self._source.watch(), self._gauge())
        for work in works:
            self._parts.push_async_callback(ended, asyncio.create_task(self._guard(work)))

    async def _start_models(self) -> None:
        """Read the models topic to its end now, and follow it."""
        if self.options.model is not None:
            return
        read = asyncio.Event()
        following = asyncio.create_task(self._guard(self._follow_models(read)))
        self._parts.push_async_callback(ended, following)
        ready = asyncio.create_task(read.wait())
        waits: list[asyncio.Future[Any]] = [ready, cast("Any", self._failed)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._failed is not None and self._failed.done():
            await self._failed

    async def _until_there(self, part: str, attempt: Callable[[], Awaitable[None]]) -> None:
        for count in itertools.count():
            try:
                await attempt()
            except AWAY as error:
                self._outages.failed(part, error)
                await asyncio.sleep(pause_s(count))
            else:
                self._outages.works(part)
                return

    async def _check_redis(self) -> None:
        await check_server(self._redis, self.options.relaxed)
        given, namespace = self.options.erase_key, self.settings.namespace
        self._erase_key = given or await erase_key(self._redis, namespace)

    async def _start_admin(self) -> None:
        self.admin = AIOKafkaAdminClient(**connection(self.options.kafka))
        try:
            await self.admin.start()
            await self._source.remember()
        except BaseException:
            await self.admin.close()
            raise

    async def _start_consumer(self) -> None:
        self.consumer = new_consumer(self.options.kafka, self.group, self.options.instance)
        try:
            await self.consumer.start()
            take_records_as_they_are()
        except BaseException:
            await self.consumer.stop()
            raise

    async def topic_id(self) -> str:
        """Ask for the id of the source topic."""
        return await self._source.topic_id()

    async def wait(self) -> None:
        """Wait until something fails for good.

        Raises
        ------
        SegstreamError
        """
        if self._failed is not None:
            await self._failed

    async def stop(self) -> None:
        """Finish the batches under way, then leave the group; what hangs is left behind."""
        self._stopping = True
        for tp, worker in self._workers.items():
            worker.stop()
            # A claim may wait for a model, a failed one for its next attempt: both are free to end.
            if not worker.claimed and tp in self._running:
                self._running[tp].cancel()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=self.options.drain_s)
        closing = asyncio.create_task(self._close())
        await asyncio.wait([closing], timeout=_STOP_S)

    async def _close(self) -> None:
        if self._running:
            await asyncio.gather(*map(ended, self._running.values()))
        await self._parts.aclose()

    async def _guard(self, work: Any) -> None:
        """Run until it fails; what fails for good ends the worker."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is handed to `wait`
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    # ---- group -------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Abandon what is under way: it is free, the position tells.

        All at once: until the last has ended this member does not join the others again.
        """
        for tp in revoked:
            self._logs.pop(tp, None)
            worker = self._workers.pop(tp, None)
            if worker is not None:  # it ends with its batch where its cancellation is swallowed
                worker.stop()
        tasks = [self._running.pop(tp) for tp in revoked if tp in self._running]
        await asyncio.gather(*map(ended, tasks))

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Start a task per partition; nothing is polled for it before its claim."""
        self._assigned = True
        for tp in assigned:
            self.consumer.pause(tp)
            log = self._logs[tp] = PartitionLog(self, tp)
            self._running[tp] = asyncio.create_task(self._guard(self._serve(tp, log)))

    # ---- metrics -----------------------------------------------------------------------

    def lacks(self) -> list[str]:
        """What is missing until it is ready: servers, and claims of what it was assigned."""
        if not self._joined:
            return ["worker: starts", *(f"{who}: is away" for who in self._outages.failing)]
        waits = [] if self._assigned else ["worker: waits for its partitions"]
        claims = [
            f"partition {tp.partition}: not claimed"
            for tp in list(self._logs)
            if (worker := self._workers.get(tp)) is None or not worker.claimed
        ]
        return [*(f"{who}: is away" for who in self._outages.failing), *waits, *claims]

    async def _gauge(self) -> None:
        for count in itertools.count():
            looks = [
                Look(worker, self._meters[tp], self._stores[tp], self.consumer.highwater(tp))
                for tp, worker in list(self._workers.items())
                if worker.claimed and tp in self.consumer.assignment()
            ]
            set_gauges(self._metrics, self.settings, looks, self._target_ms(), self._clocks)
            if count % SEGMENTS_EVERY == 0:
                partitions = [look.worker.partition for look in looks]
                await set_segments(self._metrics, partitions)
            # What Redis says of itself is not needed; that it is away is said elsewhere.
            with contextlib.suppress(*AWAY):
                await set_memory(self._metrics, self._redis)
            await asyncio.sleep(GAUGES_EVERY_S)

    def _target_ms(self) -> int:
        return self._clocks.target_ms(self._source.n_partitions)

    @property
    def generation(self) -> int:
        """The group's generation; aiokafka keeps it to itself."""
        return int(self.consumer._coordinator.generation)

    async def _serve(self, tp: TopicPartition, log: PartitionLog) -> None:
        """Claim and apply a partition again and again while it is assigned."""
        who, attempt = f"partition {tp.partition}", 0
        # A library may swallow a cancellation: a log that was revoked is not served again.
        while not self._stopping and self._logs.get(tp) is log:
            redis = connect(self.options.redis)
            worker = self._workers[tp] = self._new_worker(tp, log, redis)
            worker.on_claim = lambda: self._on_claim(who)
            try:
                await worker.run()
            except (FencedError, *AWAY) as error:
                self._outages.failed(who, error)
                self._metrics.add("segstream_claims_lost_total", cause=_cause(error))
                attempt = 0 if worker.applied else attempt + 1
                await asyncio.sleep(pause_s(attempt))
            finally:
                worker.claimed = False
                if tp in self.consumer.assignment():
                    self.consumer.pause(tp)
                await redis.aclose()

    def _on_claim(self, who: str) -> None:
        self._outages.works(who)
        if not self._loaded:
            self._loaded = True
            keep_what_is_loaded()
            look_less_often()

    def _claimed(self) -> dict[int, PartitionWorker]:
        """The partitions this worker owns now."""
        return {tp.partition: worker for tp, worker in self._workers.items() if worker.claimed}

    def _new_worker(self, tp: TopicPartition, log: PartitionLog, redis: Redis) -> PartitionWorker:
        settings = self.settings
        turns = 60 * settings.policy.sweep_hours
        store = RedisStore(redis, settings.namespace, tp.partition, self.spec.spec.digest, turns)
        self._stores[tp] = store
        meter = self._meters[tp] = PartitionMeter(self._metrics)
        publisher = PartitionPublisher(
            self.options.kafka, settings.namespace, self.group, tp.partition
        )
        tasks = Tasks(
            store=store,
            publisher=publisher,
            log=log,
            models=self.models,
            pace=Pace(self._patience, self._clocks.clocks_ms, lambda: bool(self._outages.failing)),
            tempo=Tempo(lambda: len(self._running)),
            target_ms=self._target_ms,
            generation=lambda: self.generation,
            owner=lambda key: self._check_owner(key, tp.partition),
            erase_key=self._erase_key,
            meter=meter,
        )
        return PartitionWorker(tp.partition, settings, self.spec, tasks)

    def _check_owner(self, key: bytes, partition: int) -> None:
        if self.options.kafka.partitioner == "any":
            return
        expected = (murmur2(key) & 0x7FFFFFFF) % self._source.n_partitions
        if expected != partition:
            raise SourceError(
                f"kafka: expected key {key!r} on partition {expected} (murmur2), got it on "
                f"{partition}: librdkafka's default is crc32, set partitioner=murmur2_random "
                "there. Copy the topic with: segstream-producers rekey SRC DST"
            )

    # ---- log ---------------------------------------------------------------------------

    async def _poll(self) -> None:
        for attempt in itertools.count():
            try:
                while True:
                    await self._poll_once()
            except KafkaError as error:
                self._outages.failed("kafka", error)
                await asyncio.sleep(pause_s(min(attempt, 3)))

    async def _poll_once(self) -> None:
        # Not `pause`: it drops what was fetched already, to be fetched again.
        wanted = [tp for tp, log in self._logs.items() if not log.buffer.full]
        found = await self.consumer.getmany(_NOBODY, *wanted, timeout_ms=200)
        for tp, records in found.items():
            log = self._logs.get(tp)
            if log is not None:
                log.buffer.put(records)
        self._outages.works("kafka")
        for tp, log in list(self._logs.items()):
            if log.sought and tp in self.consumer.assignment():
                with contextlib.suppress(IllegalStateError):  # revoked meanwhile
                    log.polled(await self.consumer.position(tp))
        if found:
            await asyncio.sleep(_READ_EVERY_S)

    # ---- models ------------------------------------------------------------------------

    async def _follow_models(self, read: asyncio.Event) -> None:
        for attempt in itertools.count():
            try:
                await self._read_models(read)
            except AWAY as error:
                self._outages.failed("models", error)
                await asyncio.sleep(pause_s(min(attempt, 3)))

    async def _read_models(self, read: asyncio.Event) -> None:
        async with running(new_reader(self.options.kafka)) as reader:
            await read_topic(reader, self.names.models, self.models.note)
            self._outages.works("models")
            read.set()
            while True:
                await follow_topic(reader, self.names.models, self.models.note)


def _cause(error: BaseException) -> str:
    """Why a claim was lost, as a label: a commit that met a server that is away is no fence."""
    away = isinstance(error.__cause__, AWAY) and not isinstance(error.__cause__, WatchError)
    return "fenced" if isinstance(error, FencedError) and not away else "away"
