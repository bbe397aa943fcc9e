"""The source topic at the start of a role: waited for a little, then missed."""

import asyncio
import logging
import uuid
from collections.abc import Callable

import pytest
from deploy.local.local_stack import LocalStack

from segstream.adapters.kafka_source import SourceTopic
from segstream.adapters.outages import Outages
from segstream.errors import SourceError
from segstream.kafka_settings import KafkaSettings

pytestmark = pytest.mark.slow


def source_topic(stack: LocalStack, name: str) -> SourceTopic:
    """A topic of the stack's broker, there or not."""
    return SourceTopic(
        KafkaSettings(bootstrap=stack.kafka), name, Outages(logging.getLogger("segstream.test"))
    )


def test_a_topic_that_the_broker_knows_only_in_a_second(
    stack: LocalStack, namespace: str, make_topic: Callable[..., str]
) -> None:
    """A broker that has just started may say that there is none: a role asks again."""

    async def start() -> int:
        source = source_topic(stack, f"{namespace}.late")
        waiting = asyncio.create_task(source.remember())
        await asyncio.sleep(1.0)
        assert not waiting.done()
        await asyncio.to_thread(make_topic, "late", 2)
        await waiting
        return source.n_partitions

    assert asyncio.run(start()) == 2


def test_a_topic_that_is_not_there(stack: LocalStack) -> None:
    """A topic that nobody made is named, with the command that makes it."""
    name = uuid.uuid4().hex
    with pytest.raises(SourceError, match=f"expected topic {name}, got none.*topics create"):
        asyncio.run(source_topic(stack, name).remember())
