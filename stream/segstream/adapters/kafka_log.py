"""Reading and publishing one partition of a Kafka log with aiokafka."""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from segstream.adapters.redis_store import LogOutbox
from segstream.kafka_settings import KafkaSettings

# A partition that is this far ahead of its task is paused, and resumed below half of it.
_BUFFER_BYTES: Final = 8 * 1024 * 1024
# One message of the log is at most a megabyte; evidence of a day may be eight.
_MAX_REQUEST_BYTES: Final = 16 * 1024 * 1024
_BATCH_BYTES: Final = 512 * 1024
# A broker that restarts takes a few seconds. After these the partition is claimed again, which
# settles whatever became of the transaction.
_START_S: Final = 30.0
_PUBLISH_S: Final = 30.0
_STOP_S: Final = 5.0
# Between attempts after a failure, doubling, with jitter: nobody is hammered while it is away.
_BACKOFF_S: Final = (0.1, 5.0)
_RECONNECT_S: Final = 0.5
_CLOSING: Final[set[asyncio.Task[None]]] = set()

Message = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]
"""Key, value and headers."""


@dataclass(slots=True)
class PartitionBuffer:
    """Records of one partition that its task has not taken yet."""

    records: deque[ConsumerRecord[bytes, bytes]] = field(default_factory=deque)
    size: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
        """Add what was polled."""
        self.records.extend(records)
        self.size += sum(len(r.value or b"") for r in records)
        self.arrived.set()

    def take(self, max_bytes: int) -> list[ConsumerRecord[bytes, bytes]]:
        """Take records of about `max_bytes`, at least one where there is one."""
        taken: list[ConsumerRecord[bytes, bytes]] = []
        size = 0
        while self.records and (not taken or size < max_bytes):
            record = self.records.popleft()
            size += len(record.value or b"")
            taken.append(record)
        self.size -= size
        if not self.records:
            self.arrived.clear()
        return taken

    def clear(self) -> None:
        """Drop what was polled."""
        self.records.clear()
        self.size = 0
        self.arrived.clear()

    @property
    def full(self) -> bool:
        """Whether the partition should be paused."""
        return self.size > _BUFFER_BYTES

    @property
    def drained(self) -> bool:
        """Whether a paused partition should go on."""
        return self.size < _BUFFER_BYTES // 2


def new_consumer(settings: KafkaSettings, group: str, instance: str | None) -> AIOKafkaConsumer:
    """A consumer that commits nothing by itself; offsets go through the producers."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap,
        group_id=group,
        group_instance_id=instance,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=settings.session_timeout_ms // 4,
        rebalance_timeout_ms=settings.session_timeout_ms,
        max_partition_fetch_bytes=4 * 1024 * 1024,
        fetch_max_wait_ms=20,
        retry_backoff_ms=50,
    )
    _gently(consumer._client)
    return consumer


def new_producer(settings: KafkaSettings, transactional_id: str) -> AIOKafkaProducer:
    """A transactional producer; starting it settles or aborts a zombie's transaction."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap,
        transactional_id=transactional_id,
        compression_type="lz4",
        max_batch_size=_BATCH_BYTES,
        max_request_size=_MAX_REQUEST_BYTES,
        retry_backoff_ms=10,
        linger_ms=0,
    )
    _gently(producer.client)
    return producer


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has ended, whatever became of it."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # seen


class Outages:
    """Says a failure once, however many meet it and however often, and its end once."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._failing: set[str] = set()

    def failed(self, who: str, error: BaseException) -> None:
        """Note a failure that will be tried again."""
        if not self._failing:
            text = str(error) or type(error).__name__
            self._log.warning("%s: %s; trying again until it works", who, text)
        self._failing.add(who)

    def works(self, who: str) -> None:
        """Note that it works."""
        if who in self._failing:
            self._failing.discard(who)
            if not self._failing:
                self._log.warning("%s: works again", who)


def pause_s(attempt: int) -> float:
    """Seconds before the next attempt, the first being 0."""
    least, most = _BACKOFF_S
    return min(most, least * 2.0 ** min(attempt, 16)) * (0.5 + random.random())  # noqa: S311


async def abandon(producer: AIOKafkaProducer) -> None:
    """Close a producer without waiting for what it still holds.

    aiokafka's own `stop` flushes first, which lasts for as long as the broker is away.
    """
    # In a task of its own: aiokafka swallows a cancellation that comes while it closes.
    closing = asyncio.create_task(_close(producer))
    _CLOSING.add(closing)
    closing.add_done_callback(_CLOSING.discard)
    await asyncio.wait([closing], timeout=_STOP_S)


async def _close(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(KafkaError, OSError, asyncio.CancelledError):
        await producer._sender.close()
    with contextlib.suppress(KafkaError, OSError):
        await producer.stop()


def _gently(client: Any) -> None:
    """Pause after a connection that failed.

    A producer looks for its coordinator again and again with the backoff that suits a broker
    that is there: while it is away, six of them made 700 attempts a second.
    """
    attempt = client._get_conn

    async def get_conn(*args: Any, **options: Any) -> Any:
        connection = await attempt(*args, **options)
        if connection is None:
            await asyncio.sleep(_RECONNECT_S)
        return connection

    client._get_conn = get_conn


class PartitionPublisher:
    """Publishes batches of one partition, each in one Kafka transaction with its offset."""

    def __init__(self, settings: KafkaSettings, namespace: str, group: str, partition: int) -> None:
        self._settings, self._group, self._partition = settings, group, partition
        self._names = settings.topics(namespace)
        self._source = TopicPartition(self._names.transactions, partition)
        self._producer = new_producer(settings, f"{namespace}-worker-{partition}")

    async def start(self) -> None:
        """Fence every earlier producer of the partition."""
        async with asyncio.timeout(_START_S):
            await self._producer.start()

    async def stop(self) -> None:
        """Close the producer; a transaction under way is left to the next one's start."""
        await abandon(self._producer)

    async def publish(self, n: int, offset: int, minute: int, outbox: LogOutbox) -> None:
        """Publish changes, dead letters and evidence with the partition's offset.

        The offset's metadata is "n minute": the next claim compares n with the outbox.
        """
        async with asyncio.timeout(_PUBLISH_S):
            # Never aborted here: after a failure the next claim's producer settles it.
            await self._producer.begin_transaction()
            await self._send_all(outbox)
            position = OffsetAndMetadata(offset, f"{n} {minute}")
            await self._producer.send_offsets_to_transaction({self._source: position}, self._group)
            await self._producer.commit_transaction()

    async def _send_all(self, outbox: LogOutbox) -> None:
        changes: list[Message] = [(_key(c), body, []) for c, body in outbox.out.changes]
        await self._send(self._names.changes, self._partition, changes)
        dead = [_dead(body) for body in outbox.out.dead_letters]
        await self._send(self._names.dead_letters, self._partition, dead)
        own = str(self._partition).encode()
        await self._send(self._names.evidence, 0, [(own, body, []) for body in outbox.evidence])

    async def _send(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        if not messages:
            return
        waiting = []
        batch = self._producer.create_batch()
        for key, value, headers in messages:
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                batch.close()
                waiting.append(await self._producer.send_batch(batch, topic, partition=partition))
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=headers)
        batch.close()
        waiting.append(await self._producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*waiting)


def _key(customer_id: str) -> bytes:
    return customer_id.encode("utf-8", "surrogatepass")


def _dead(body: bytes) -> Message:
    """Unpack a dead letter: the original key and bytes, with code, message and place as headers."""
    letter = msgspec.msgpack.decode(body)
    headers = [(name, str(letter[name]).encode()) for name in ("code", "message", "place")]
    return letter["key"], letter["value"], headers
