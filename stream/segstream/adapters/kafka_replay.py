"""Dead letters sent again: each into the partition it came from, exactly once for each code.

For one code, by whoever holds its transactional id:

1. start the producer: what a killed replay left open is settled, and another one is fenced
2. only then read how far this code was replayed: the committed offsets of its group
3. read the dead letters from there to what is the end now
4. one Kafka transaction: original keys and bytes into `transactions`, and the position behind them

A crash leaves a transaction that counts whole or not at all, so a letter is sent again once,
however often the command is started. What becomes a dead letter anew lies behind the end of step 3:
it waits for the next replay.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalOperation, ProducerFenced

from segstream.adapters.kafka_clients import abandon, connection, new_producer, new_reader, running
from segstream.adapters.kafka_models import Record
from segstream.adapters.outages import AWAY
from segstream.errors import OutputError, SourceError, StateError
from segstream.settings import Settings

_READ_MS: Final = 500
# A transaction costs milliseconds whatever is in it.
_PER_TRANSACTION: Final = 2_000


@dataclass
class Letters:
    """Dead letters of one code.

    Attributes
    ----------
    waiting
        Not replayed yet.
    example
        Message and place of the newest.
    """

    waiting: int = 0
    replayed: int = 0
    example: str = ""


class DeadLetterTopic:
    """The dead letters of a namespace: looked at, and sent again."""

    def __init__(self, settings: Settings) -> None:
        self._kafka, self._namespace = settings.kafka, settings.namespace
        self._names = settings.kafka.topics(settings.namespace)

    async def by_code(self) -> dict[str, Letters]:
        """Every dead letter that the topic still holds, by code.

        Raises
        ------
        SourceError
            The brokers do not answer.
        StateError
            There is no such topic.
        """
        found: dict[str, Letters] = {}
        async with self._reader() as (reader, each):
            done: dict[str, dict[TopicPartition, int]] = {}
            for tp in each:
                async for record in _records(reader, tp, 0, await _end(reader, tp)):
                    code = code_of(record)
                    if code not in done:
                        done[code] = await self._positions(code, each)
                    letters = found.setdefault(code, Letters())
                    if record.offset < done[code].get(tp, 0):
                        letters.replayed += 1
                    else:
                        letters.waiting += 1
                    letters.example = _told(record)
        return found

    async def replay(self, code: str) -> int:
        """Send the letters of a code again; returns how many.

        Raises
        ------
        SourceError
            The brokers do not answer: the same command goes on where it was.
        OutputError
            Another replay of this code has begun since.
        """
        producer = new_producer(self._kafka, self._identity(code))
        async with self._reader() as (reader, each):
            try:
                await producer.start()  # 1.
                positions = await self._positions(code, each)  # 2.
                return sum([
                    await self._replay(
                        producer, reader, code, tp, positions.get(tp, 0), await _end(reader, tp)
                    )
                    for tp in each
                ])  # fmt: skip
            except (ProducerFenced, IllegalOperation) as error:
                raise OutputError(
                    f"expected to be the only replay of `{code}`, got another one that has started"
                    " since; this one stops"
                ) from error
            finally:
                await abandon(producer)

    async def _replay(
        self, producer: AIOKafkaProducer, reader: AIOKafkaConsumer, code: str, tp: TopicPartition,
        begin: int, end: int,
    ) -> int:  # fmt: skip
        """Steps 3 and 4 for one partition."""
        sent, chosen = 0, list[Record]()
        async for record in _records(reader, tp, begin, end):  # 3.
            if code_of(record) == code:
                chosen.append(record)
            if len(chosen) == _PER_TRANSACTION:
                await self._transact(producer, code, tp, record.offset + 1, chosen)
                sent, chosen = sent + len(chosen), []
        if end > begin:
            await self._transact(producer, code, tp, end, chosen)
        return sent + len(chosen)

    async def _transact(
        self, producer: AIOKafkaProducer, code: str, tp: TopicPartition, position: int,
        chosen: Sequence[Record],
    ) -> None:  # fmt: skip
        async with producer.transaction():  # 4.
            for record in chosen:
                await producer.send(
                    self._names.transactions, record.value, key=record.key, partition=tp.partition
                )
            await producer.send_offsets_to_transaction({tp: position}, self._identity(code))

    def _identity(self, code: str) -> str:
        """Group and transactional id: one position for each code."""
        return f"{self._namespace}-replay-{code}"

    async def _positions(
        self, code: str, each: Sequence[TopicPartition]
    ) -> dict[TopicPartition, int]:
        admin = AIOKafkaAdminClient(**connection(self._kafka))
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(
                self._identity(code), partitions=list(each)
            )
        finally:
            await admin.close()
        return {tp: held.offset for tp, held in found.items() if held.offset >= 0}

    @asynccontextmanager
    async def _reader(
        self,
    ) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
        """A reader of committed letters, and the topic's partitions."""
        topic = self._names.dead_letters
        try:
            async with running(new_reader(self._kafka)) as reader:
                cluster = await reader._client.fetch_all_metadata()
                numbers = cluster.partitions_for_topic(topic)
                if not numbers:
                    raise StateError(
                        f"expected the topic {topic}, found none; run `segstream topics create`"
                        " with the same --namespace"
                    )
                yield reader, [TopicPartition(topic, p) for p in sorted(numbers)]
        except AWAY as error:
            raise SourceError(
                f"expected Kafka to answer at {self._kafka.bootstrap}, got {error!r}; run the same"
                " command again when it does: it goes on where it was"
            ) from error


def code_of(record: Any) -> str:
    """Code of a dead letter; empty for what is none of the worker's."""
    found = dict(record.headers).get("code", b"")
    return bytes(found).decode("utf-8", "replace")


def _told(record: Record) -> str:
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    return f"{headers.get('place', '?')}: {headers.get('message', '')}"


async def _end(reader: AIOKafkaConsumer, tp: TopicPartition) -> int:
    return int((await reader.end_offsets([tp]))[tp])


async def _records(
    reader: AIOKafkaConsumer, tp: TopicPartition, begin: int, end: int
) -> AsyncIterator[Record]:
    """Committed records of a partition from one offset to another."""
    reader.assign([tp])
    first = (await reader.beginning_offsets([tp]))[tp]
    reader.seek(tp, max(begin, first))
    while await reader.position(tp) < end:
        for record in (await reader.getmany(tp, timeout_ms=_READ_MS)).get(tp, []):
            if record.offset < end:
                yield record
