"""Publishing one partition's batches, each in one Kafka transaction with its offset.

The compacted current-segment topic takes each customer's last change in the same transaction: it
is never behind, and costs no second reader (docs/adr/0015).
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from segstream.adapters.evidence import evidence_key
from segstream.adapters.kafka_clients import abandon, new_producer
from segstream.adapters.redis_store import LogOutbox
from segstream.core.dead_letters import DeadLetterHeaders
from segstream.kafka_settings import KafkaSettings

# A broker that restarts takes a few seconds. After these the partition is claimed again, which
# settles whatever became of the transaction.
_START_S: Final = 30.0
_PUBLISH_S: Final = 30.0

Message = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]
"""Key, value and headers."""


class _Data(msgspec.Struct):
    reason: str


class _Change(msgspec.Struct):
    data: _Data


_DECODER: Final = msgspec.json.Decoder(_Change)
_ERASED: Final = b'"erased"'


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
            sent = await self._send_all(outbox)
            # The brokers take the batches meanwhile.
            position = OffsetAndMetadata(offset, f"{n} {minute}")
            await self._producer.send_offsets_to_transaction({self._source: position}, self._group)
            await asyncio.gather(*sent)
            await self._producer.commit_transaction()

    async def _send_all(self, outbox: LogOutbox) -> list[asyncio.Future[Any]]:
        """Hand everything over; what is returned ends when the brokers have it."""
        names, changes = self._names, outbox.out.changes
        last = current_of(changes)
        dead = [_dead(body) for body in outbox.out.dead_letters]
        evidence: list[Message] = [(evidence_key(body), body, []) for body in outbox.evidence]
        return [
            *await self._send(
                names.changes, self._partition, [(_key(c), b, []) for c, b in changes]
            ),
            *await self._send(names.current_segment, self._partition, last),
            *await self._send(names.dead_letters, self._partition, dead),
            *await self._send(names.evidence, 0, evidence),
        ]

    async def _send(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> list[asyncio.Future[Any]]:
        sent = []
        for batch in _batches(self._producer.create_batch, messages):
            future = await self._producer.send_batch(batch, topic, partition=partition)
            future.add_done_callback(_seen)
            sent.append(future)
        return sent


def _batches(create: Callable[[], Any], messages: Sequence[Message]) -> Iterator[Any]:
    """Messages as Kafka's batches, in order."""
    if not messages:
        return
    now_ms, batch = int(time.time() * 1000), create()
    for key, value, headers in messages:
        if batch.append(key=key, value=value, timestamp=now_ms, headers=headers) is None:
            batch.close()
            yield batch
            batch = create()
            batch.append(key=key, value=value, timestamp=now_ms, headers=headers)
    batch.close()
    yield batch


def _seen(sent: asyncio.Future[Any]) -> None:
    """Of a batch that failed the claim finds out more, but asyncio would complain."""
    if not sent.cancelled():
        sent.exception()


def current_of(changes: Sequence[tuple[str, bytes]]) -> list[Message]:
    """What the compacted topic keeps: each customer's last change, a tombstone of an erased one."""
    return [(_key(c), None if _erased(b) else b, []) for c, b in dict(changes).items()]


def _erased(change: bytes) -> bool:
    # A quote within a text is escaped: this is no customer's id, and seldom anything at all.
    return _ERASED in change and _DECODER.decode(change).data.reason == "erased"


def _key(customer_id: str) -> bytes:
    return customer_id.encode("utf-8", "surrogatepass")


def _dead(body: bytes) -> Message:
    """Unpack a dead letter: the original key and bytes, with code, message and place as headers."""
    letter = msgspec.msgpack.decode(body)
    names = DeadLetterHeaders.__struct_fields__
    headers = [(name, str(letter[name]).encode()) for name in names]
    return letter["key"], letter["value"], headers
