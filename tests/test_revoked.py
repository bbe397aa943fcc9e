"""A partition that is revoked is let go of, whatever a library does with the cancellation."""

import asyncio

import pytest
from aiokafka import TopicPartition

from segstream.adapters.kafka_log import PartitionLog
from segstream.adapters.kafka_worker import KafkaWorker, WorkerOptions
from segstream.adapters.outages import ended
from segstream.kafka_settings import KafkaSettings
from segstream.settings import Settings

EACH = [TopicPartition("transactions", number) for number in range(3)]
PATIENCE_S = 30.0


async def deaf_once() -> None:
    """Like a library that swallows the first cancellation and goes on."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()


class Consumer:
    """As much of a consumer as an assignment needs."""

    def __init__(self) -> None:
        self._coordinator = self
        self.generation = 1

    def pause(self, tp: TopicPartition) -> None:
        """Nothing is polled before the claim."""


class Deaf(KafkaWorker):
    """Serves partitions that do not hear their first cancellation."""

    def __init__(self) -> None:
        super().__init__(Settings(currency="USD"), WorkerOptions(KafkaSettings(), "redis://none"))
        self.consumer = Consumer()
        self.serving = 0

    async def _serve(self, tp: TopicPartition, log: PartitionLog) -> None:
        del tp, log
        self.serving += 1
        try:
            await deaf_once()
        finally:
            self.serving -= 1


def test_a_swallowed_cancellation_comes_again() -> None:
    async def scenario() -> None:
        task = asyncio.create_task(deaf_once())
        await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            await ended(task)
        assert task.cancelled()

    asyncio.run(scenario())


def test_revoked_partitions_end_though_their_cancellation_is_swallowed() -> None:
    """Or this member would go on with them, and join the group again only once it is fenced."""

    async def scenario() -> None:
        worker = Deaf()
        await worker.on_partitions_assigned(EACH)
        await asyncio.sleep(0)
        assert worker.serving == len(EACH)
        async with asyncio.timeout(PATIENCE_S):
            await worker.on_partitions_revoked(EACH)
        assert worker.serving == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [None, RuntimeError("of its own")])
def test_what_ended_by_itself_is_seen(error: Exception | None) -> None:
    async def ends() -> None:
        if error is not None:
            raise error

    async def scenario() -> None:
        task = asyncio.create_task(ends())
        await asyncio.wait([task])
        await ended(task)

    asyncio.run(scenario())
