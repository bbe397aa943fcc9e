"""Clients of a broker that is away can be closed."""

import asyncio
import uuid
from collections.abc import Callable

import pytest
from aiokafka import TopicPartition
from deploy.local.local_stack import LocalStack

from segstream.adapters.kafka_clients import abandon, new_producer, new_reader
from segstream.adapters.outages import AWAY
from segstream.kafka_settings import KafkaSettings

pytestmark = pytest.mark.slow

# A fetch that failed pauses for 0.1 s: some of these readers are closed within.
READERS = 8
APART_S = 0.07


def test_closing_a_reader_ends_nobody_else(
    stack: LocalStack, make_topic: Callable[..., str]
) -> None:
    """Whoever closes a reader whose fetches fail goes on, and nothing of it is left."""
    topic = make_topic(uuid.uuid4().hex, 1)
    asyncio.run(_close_while_away(stack, topic))


async def _close_while_away(stack: LocalStack, topic: str) -> None:
    readers = [new_reader(KafkaSettings(bootstrap=stack.kafka)) for _ in range(READERS)]
    for reader in readers:
        await reader.start()
        reader.assign([TopicPartition(topic, 0)])
        await reader.seek_to_beginning()
        await reader.getmany(timeout_ms=0)
    stack.kill("kafka")
    try:
        for reader in readers:
            await asyncio.sleep(APART_S)
            await reader.stop()
    finally:
        await asyncio.to_thread(stack.restart, "kafka")
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_fenced_producer_raises_what_is_tried_again(
    stack: LocalStack, make_topic: Callable[..., str]
) -> None:
    """At whichever call it finds out: of none of them does a role end."""
    topic = make_topic(uuid.uuid4().hex, 2)
    for error in asyncio.run(_fenced(stack, topic)):
        assert isinstance(error, AWAY), repr(error)


async def _fenced(stack: LocalStack, topic: str) -> list[BaseException | None]:
    settings, name = KafkaSettings(bootstrap=stack.kafka), uuid.uuid4().hex
    first, second = new_producer(settings, name), new_producer(settings, name)
    await first.start()
    await first.begin_transaction()
    await first.send_and_wait(topic, b"before", partition=0)
    await second.start()
    found: list[BaseException | None] = []
    for _ in range(3):
        try:
            batch = first.create_batch()
            batch.append(key=None, value=b"after", timestamp=None)
            await (await first.send_batch(batch, topic, partition=1))
            found.append(None)
        except Exception as error:  # noqa: BLE001 - whichever it is
            found.append(error)
        await asyncio.sleep(APART_S)
    await abandon(first)
    await abandon(second)
    return found
