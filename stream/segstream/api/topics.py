"""What the API follows on Kafka: models with the trainer's state, its commands, the changes."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.adapters.kafka_clients import new_reader
from segstream.adapters.kafka_commands import CommandBook
from segstream.adapters.kafka_models import STATE_KEY, Record, follow_topic, read_topic
from segstream.api.tail import Tail
from segstream.core.model import Model
from segstream.core.trainer_state import Command, TrainerLife, TrainerState
from segstream.errors import StateError
from segstream.kafka_settings import KafkaSettings, TopicNames

_POLL_MS: Final = 500
# Workers publish up to 200 times a second each, and to fetch every time costs broker and API more
# than the changes do. Nobody who reads changes here misses a tenth of a second.
_GATHERED_BYTES: Final = 1024 * 1024
_GATHER_MS: Final = 100
# Decoded in a millisecond or two: requests wait meanwhile.
_AT_ONCE: Final = 50


class WholeTopic:
    """A topic that is read from its beginning, and followed."""

    def __init__(self, settings: KafkaSettings, topic: str, note: Callable[[Record], None]) -> None:
        self._settings, self._topic, self._note = settings, topic, note
        self._reader: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Read to the end."""
        self._reader = new_reader(self._settings)
        await self._reader.start()
        await check_topic(self._reader, self._topic)
        await read_topic(self._reader, self._topic, self._note)

    async def follow(self) -> None:
        """Take what has come since."""
        await follow_topic(self._reader, self._topic, self._note)

    async def stop(self) -> None:
        """Close the reader."""
        if self._reader is not None:
            await self._reader.stop()


class ModelTopic(WholeTopic):
    """Every model, and what the trainer knows."""

    def __init__(self, settings: KafkaSettings, names: TopicNames) -> None:
        super().__init__(settings, names.models, self._keep)
        self._models: dict[int, Model] = {}
        self.trainer = TrainerState()

    @property
    def models(self) -> list[Model]:
        """The oldest first."""
        return [self._models[number] for number in sorted(self._models)]

    def get(self, number: int) -> Model | None:
        """A model by its number; None where it was not read."""
        return self._models.get(number)

    def _keep(self, record: Record) -> None:
        if record.key is None or record.value is None:
            return
        if record.key == STATE_KEY:
            self.trainer = msgspec.msgpack.decode(record.value, type=TrainerLife).state
        else:
            model = msgspec.json.decode(record.value, type=Model)
            self._models[model.number] = model


class CommandTopic(WholeTopic):
    """Commands on their way to the trainer; those it has taken are in its state."""

    def __init__(self, settings: KafkaSettings, names: TopicNames) -> None:
        self._book = CommandBook()
        super().__init__(settings, names.evidence, self._take)

    @property
    def waiting(self) -> tuple[Command, ...]:
        """The oldest first."""
        return self._book.waiting

    def _take(self, record: Record) -> None:
        self._book.note(record)


class ChangeTopic:
    """The last changes of every partition, and what comes."""

    def __init__(self, settings: KafkaSettings, names: TopicNames, tail: Tail, most: int) -> None:
        self._reader = new_reader(settings, _GATHERED_BYTES, _GATHER_MS)
        self._topic, self._partitions = names.changes, settings.partitions
        self._tail, self._most = tail, most

    async def start(self) -> None:
        """Read the last changes, in the order of their time.

        Raises
        ------
        StateError
            The topic is not there.
        """
        await self._reader.start()
        await check_topic(self._reader, self._topic)
        partitions = [TopicPartition(self._topic, p) for p in range(self._partitions)]
        self._reader.assign(partitions)
        ends = await self._reader.end_offsets(partitions)
        begins = await self._reader.beginning_offsets(partitions)
        for tp in partitions:
            start = max(begins[tp], ends[tp] - self._most // len(partitions))
            self._reader.seek(tp, start)
            if start > 0:
                self._tail.begins_late()
        records: list[Record] = []
        while [tp for tp in partitions if await self._reader.position(tp) < ends[tp]]:
            await self._take(records.append)
        records.sort(key=lambda record: record.timestamp)
        self._tail.add(record.value for record in records if record.value is not None)

    async def follow(self) -> None:
        """Take what comes."""
        # What was fetched already is given without a pause: requests would wait for all of it.
        await asyncio.sleep(0)
        found: list[Record] = []
        await self._take(found.append)
        if found:
            self._tail.add(record.value for record in found if record.value is not None)

    async def stop(self) -> None:
        """Close the reader."""
        await self._reader.stop()

    async def _take(self, take: Callable[[Record], Any]) -> None:
        found = await self._reader.getmany(timeout_ms=_POLL_MS, max_records=_AT_ONCE)
        for records in found.values():
            for record in records:
                take(record)


async def check_topic(reader: AIOKafkaConsumer, topic: str) -> None:
    """Refuse a namespace that has no topics.

    Raises
    ------
    StateError
    """
    if topic not in await reader.topics():
        raise StateError(
            f"kafka: expected the topic {topic}, got none of the name; check --namespace, or run "
            "`segstream topics create`"
        )
