"""Publishing one partition's batches, each in one Kafka transaction with its offset."""

import asyncio
from collections.abc import Sequence
from typing import Final

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
        evidence: list[Message] = [(evidence_key(body), body, []) for body in outbox.evidence]
        await self._send(self._names.evidence, 0, evidence)

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
    names = DeadLetterHeaders.__struct_fields__
    headers = [(name, str(letter[name]).encode()) for name in names]
    return letter["key"], letter["value"], headers
