"""All partitions of one worker: consumer, models, clock hints, and a task per partition."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka import KafkaAdminClient
from kafka.errors import KafkaError as KafkaPythonError
from kafka.partitioner.default import murmur2
from redis.asyncio import Redis
from redis.exceptions import RedisError

from segstream.adapters import redis_keys
from segstream.adapters.kafka_log import (
    Outages,
    PartitionBuffer,
    PartitionPublisher,
    cancelled,
    new_consumer,
    pause_s,
)
from segstream.adapters.redis_store import RedisStore, check_server, connect
from segstream.core.clock import ClockHint, target_ms
from segstream.core.model import Model
from segstream.errors import FencedError, SegstreamError, SourceError, StateError
from segstream.kafka_settings import KafkaSettings
from segstream.settings import Settings, compile_spec
from segstream.worker import PartitionWorker, Tasks

LOG: Final = logging.getLogger("segstream.worker")
HINTS_EVERY_S: Final = 1.0
# What another worker has read already cannot be far away.
_MODEL_S: Final = 10.0
# A broker that has just started may not know a topic yet.
_GONE_S: Final = 15.0
_TOPIC_EVERY_S: Final = 10.0
_AWAY: Final = (KafkaError, RedisError, OSError, TimeoutError)


def _described(bootstrap: str, topic: str) -> dict[str, Any]:
    """Ask with kafka-python: aiokafka's answer has no topic id."""
    try:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","), bootstrap_timeout_ms=5_000)
        try:
            found: dict[str, Any] = admin.describe_topics([topic])[0]
        finally:
            admin.close()
    except KafkaPythonError as error:
        raise KafkaError(str(error)) from error
    return found


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
    """

    kafka: KafkaSettings
    redis: str
    instance: str | None = None
    model: Model | None = None
    relaxed: bool = False
    drain_s: float = 10.0


class ModelBoard:
    """The models topic, read to its end and followed."""

    def __init__(self, fixed: Model | None) -> None:
        self._models: dict[int, Model] = {}
        self._latest: Model | None = None
        if fixed is not None:
            self.add(fixed)

    @property
    def latest(self) -> Model | None:
        """The living model; None before the first."""
        return self._latest

    def get(self, number: int) -> Model:
        """Return a model by its number.

        Raises
        ------
        SegstreamError
            It is not in the topic.
        """
        if number not in self._models:
            raise SegstreamError(
                f"models: expected model {number}, which a partition uses, got none; was the "
                "models topic deleted or made without compaction?"
            )
        return self._models[number]

    async def read(self, number: int) -> None:
        """Wait a little for a model that another worker has read already."""
        deadline = time.monotonic() + _MODEL_S
        while number not in self._models and time.monotonic() < deadline:
            await asyncio.sleep(0.05)

    def add(self, model: Model) -> None:
        """Note a model; the highest number lives."""
        self._models[model.number] = model
        if self._latest is None or model.number > self._latest.number:
            self._latest = model


class PartitionLog:
    """`segstream.worker.Log` on the shared consumer."""

    def __init__(self, owner: "KafkaWorker", partition: TopicPartition) -> None:
        self._owner, self._tp = owner, partition
        self.buffer = PartitionBuffer()
        self._next = -1
        self._fetched = -1

    async def committed(self) -> tuple[int | None, int]:
        """Read offset and metadata; the consumer's own `committed` drops the metadata."""
        found = await self._owner.admin.list_consumer_group_offsets(
            self._owner.group, partitions=[self._tp]
        )
        held = found.get(self._tp)
        if held is None:  # a coordinator that is loading answers with nothing at all
            raise KafkaError(f"expected an offset or -1 for {self._tp}, got neither")
        if held.offset < 0:
            return None, 0
        n = held.metadata.partition(" ")[0]
        return held.offset, int(n) if n.isdigit() else 0

    async def bounds(self) -> tuple[int, int, str]:
        """Log start, log end and topic id."""
        consumer = self._owner.consumer
        start = (await consumer.beginning_offsets([self._tp]))[self._tp]
        end = (await consumer.end_offsets([self._tp]))[self._tp]
        return start, end, await self._owner.describe()

    def seek(self, offset: int) -> None:
        """Read from here on; drop what was polled."""
        self.buffer.clear()
        self._next, self._fetched = offset, -1
        self._owner.consumer.seek(self._tp, offset)
        self._owner.consumer.resume(self._tp)

    def polled(self, position: int) -> None:
        """Note where the consumer stands."""
        self._fetched = position

    @property
    def sought(self) -> bool:
        """Whether the consumer was told where to begin."""
        return self._next >= 0

    async def take(self, max_bytes: int, wait_s: float) -> Sequence[Any]:
        """Records in order; none when nothing came in time.

        Raises
        ------
        FencedError
            The log is not what it was: the claim finds out what became of it.
        """
        if not self.buffer.records:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.buffer.arrived.wait(), wait_s)
        if 0 <= self._fetched < self._next:
            raise self._changed(f"it was read up to {self._next}, now up to {self._fetched}")
        taken = [r for r in self.buffer.take(max_bytes) if r.offset >= self._next]
        if taken:
            await self._check_gap(taken[0].offset)
            self._next = taken[-1].offset + 1
        if self.buffer.drained and self._tp in self._owner.consumer.paused():
            self._owner.consumer.resume(self._tp)
        return taken

    async def _check_gap(self, offset: int) -> None:
        """Offsets may be left out, by a transaction's marker; records may not."""
        if offset == self._next:
            return
        start = (await self._owner.consumer.beginning_offsets([self._tp]))[self._tp]
        if start > self._next:
            raise self._changed(f"expected offset {self._next}, got a log that begins at {start}")

    def _changed(self, how: str) -> FencedError:
        return FencedError(f"kafka: {self._tp.topic}, partition {self._tp.partition}: {how}")

    @property
    def caught_up(self) -> bool:
        """Whether everything up to the log's end was taken."""
        if self.buffer.records:
            return False
        high = self._owner.consumer.highwater(self._tp)
        return high is not None and self._fetched >= high


class KafkaWorker(ConsumerRebalanceListener):  # type: ignore[misc]
    """A member of the worker group."""

    def __init__(self, settings: Settings, options: WorkerOptions) -> None:
        self.settings, self.options = settings, options
        self.spec = compile_spec(settings)
        self.names = options.kafka.topics(settings.namespace)
        self.group = options.kafka.workers_group(settings.namespace)
        self.models = ModelBoard(options.model)
        self._outages = Outages(LOG)
        self._hints: dict[int, ClockHint] = {}
        self._running: dict[TopicPartition, asyncio.Task[None]] = {}
        self._workers: dict[TopicPartition, PartitionWorker] = {}
        self._logs: dict[TopicPartition, PartitionLog] = {}
        self._failed: asyncio.Future[None] | None = None
        self._stopping = False
        self._parts = contextlib.AsyncExitStack()

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
        self._models_ready = asyncio.Event()
        following = asyncio.create_task(self._guard(self._follow_models()))
        self._parts.push_async_callback(cancelled, following)
        ready = asyncio.create_task(self._models_ready.wait())
        waits: list[asyncio.Future[Any]] = [ready, self._failed]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._failed.done():
            await self._failed
        await self._until_there("kafka", self._start_consumer)
        self._parts.push_async_callback(self.consumer.stop)
        self.consumer.subscribe([self.names.transactions], listener=self)
        self._poll_task = asyncio.create_task(self._guard(self._poll()))
        self._hints_task = asyncio.create_task(self._guard(self._share_clocks()))
        watching = asyncio.create_task(self._guard(self._watch_topic()))
        self._parts.push_async_callback(cancelled, watching)

    async def _until_there(self, part: str, attempt: Callable[[], Awaitable[None]]) -> None:
        for count in itertools.count():
            try:
                await attempt()
            except _AWAY as error:
                self._outages.failed(part, error)
                await asyncio.sleep(pause_s(count))
            else:
                self._outages.works(part)
                return

    async def _check_redis(self) -> None:
        await check_server(self._redis, self.options.relaxed)

    async def _start_admin(self) -> None:
        self.admin = AIOKafkaAdminClient(bootstrap_servers=self.options.kafka.bootstrap)
        try:
            await self.admin.start()
            self._topic_id = await self.describe()
        except UnknownTopicOrPartitionError as error:
            await self.admin.close()
            raise self._no_topic() from error
        except BaseException:
            await self.admin.close()
            raise

    async def _start_consumer(self) -> None:
        self.consumer = new_consumer(self.options.kafka, self.group, self.options.instance)
        try:
            await self.consumer.start()
        except BaseException:
            await self.consumer.stop()
            raise

    async def describe(self) -> str:
        """Ask for the topic's id, and note how many partitions it has."""
        bootstrap, topic = self.options.kafka.bootstrap, self.names.transactions
        found = await asyncio.to_thread(_described, bootstrap, topic)
        if code := found.get("error_code"):
            raise for_code(code)(f"describing {self.names.transactions}")
        self.n_partitions = len(found["partitions"])
        return str(found.get("topic_id") or "")

    def _no_topic(self) -> SourceError:
        return SourceError(
            f"kafka: expected topic {self.names.transactions}, got none; make it with: "
            "segstream topics create"
        )

    async def _watch_topic(self) -> None:
        """Stop where the topic is gone or another one; the consumer would just have no work."""
        seen = time.monotonic()
        while True:
            await asyncio.sleep(_TOPIC_EVERY_S)
            try:
                found = await self.describe()
            except UnknownTopicOrPartitionError as error:
                if time.monotonic() - seen > _GONE_S:
                    raise self._no_topic() from error
                continue
            except _AWAY:
                found = self._topic_id
            seen = time.monotonic()
            if found != self._topic_id:
                raise StateError(
                    f"kafka: expected topic id {self._topic_id} of {self.names.transactions}, got "
                    f"{found}: the topic was made anew and offsets mean nothing; rebuild into a "
                    "new namespace"
                )

    async def wait(self) -> None:
        """Wait until something fails for good.

        Raises
        ------
        SegstreamError
        """
        if self._failed is not None:
            await self._failed

    async def stop(self) -> None:
        """Finish the batches under way, then leave the group."""
        self._stopping = True
        for worker in self._workers.values():
            worker.stop()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=self.options.drain_s)
        for task in (*self._running.values(), self._poll_task, self._hints_task):
            await cancelled(task)
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
        """Abandon what is under way: it is free, the position tells."""
        for tp in revoked:
            task = self._running.pop(tp, None)
            self._workers.pop(tp, None)
            self._logs.pop(tp, None)
            if task is not None:
                await cancelled(task)

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Start a task per partition; nothing is polled for it before its claim."""
        for tp in assigned:
            self.consumer.pause(tp)
            log = self._logs[tp] = PartitionLog(self, tp)
            self._running[tp] = asyncio.create_task(self._guard(self._serve(tp, log)))

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
            worker.on_claim = lambda: self._outages.works(who)
            try:
                await worker.run()
            except (FencedError, *_AWAY) as error:
                self._outages.failed(who, error)
                attempt = 0 if worker.applied else attempt + 1
                await asyncio.sleep(pause_s(attempt))
            finally:
                worker.claimed = False
                if tp in self.consumer.assignment():
                    self.consumer.pause(tp)
                await redis.aclose()

    def _new_worker(self, tp: TopicPartition, log: PartitionLog, redis: Redis) -> PartitionWorker:
        settings = self.settings
        turns = 60 * settings.policy.sweep_hours
        store = RedisStore(redis, settings.namespace, tp.partition, self.spec.spec.digest, turns)
        publisher = PartitionPublisher(
            self.options.kafka, settings.namespace, self.group, tp.partition
        )
        tasks = Tasks(
            store=store,
            publisher=publisher,
            log=log,
            models=self.models,
            target_ms=self._target_ms,
            generation=lambda: self.generation,
            owner=lambda key: self._check_owner(key, tp.partition),
        )
        return PartitionWorker(
            tp.partition, settings, self.spec, tasks, settings.namespace.encode()
        )

    def _check_owner(self, key: bytes, partition: int) -> None:
        if self.options.kafka.partitioner == "any":
            return
        expected = (murmur2(key) & 0x7FFFFFFF) % self.n_partitions
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
        found = await self.consumer.getmany(timeout_ms=200)
        for tp, records in found.items():
            log = self._logs.get(tp)
            if log is not None:
                log.buffer.put(records)
                if log.buffer.full:
                    self.consumer.pause(tp)
        self._outages.works("kafka")
        for tp, log in list(self._logs.items()):
            if log.sought and tp in self.consumer.assignment():
                with contextlib.suppress(IllegalStateError):  # revoked meanwhile
                    log.polled(await self.consumer.position(tp))

    # ---- clocks ------------------------------------------------------------------------

    def _target_ms(self) -> int:
        now_ms = int(time.time() * 1000)
        silence = round(self.settings.clock.max_silence_hours * 3_600_000)
        if len(self._hints) < self.n_partitions:
            return -1
        return target_ms(self._hints, now_ms, silence)

    async def _share_clocks(self) -> None:
        """Tell and hear how far every partition is; a hint, not part of the truth."""
        key = redis_keys.clocks(self.settings.namespace)
        while True:
            own: dict[Any, Any] = {
                str(tp.partition): msgspec.msgpack.encode(worker.hint())
                for tp, worker in self._workers.items()
                if worker.claimed
            }
            with contextlib.suppress(RedisError, OSError):
                if own:
                    await self._redis.hset(key, mapping=own)
                held = await self._redis.hgetall(key)
                self._hints = {
                    int(p): msgspec.msgpack.decode(cast("bytes", hint), type=ClockHint)
                    for p, hint in held.items()
                }
            await asyncio.sleep(HINTS_EVERY_S)

    # ---- models ------------------------------------------------------------------------

    async def _follow_models(self) -> None:
        """Read the models topic to its end, then follow it."""
        if self.options.model is not None:
            self._models_ready.set()
            return
        for attempt in itertools.count():
            try:
                await self._read_models()
            except _AWAY as error:
                self._outages.failed("models", error)
                await asyncio.sleep(pause_s(min(attempt, 3)))

    async def _read_models(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.options.kafka.bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            tp = TopicPartition(self.names.models, 0)
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            while True:
                if await consumer.position(tp) >= end:
                    self._outages.works("models")
                    self._models_ready.set()
                for record in (await consumer.getmany(tp, timeout_ms=200)).get(tp, []):
                    if record.key is not None and record.key.startswith(b"model:"):
                        self.models.add(msgspec.json.decode(record.value or b"", type=Model))
        finally:
            await consumer.stop()
