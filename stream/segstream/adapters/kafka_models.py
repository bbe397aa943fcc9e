"""The models topic: what the trainer keeps there, and who reads it.

Key `model:<number>` is a model as JSON, key `state` the trainer's life after a day. Both come in
one transaction, the model first: who has read the state of a day has its model too.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from segstream.core.model import Model
from segstream.errors import SegstreamError

STATE_KEY: Final = b"state"
_MODEL_PREFIX: Final = b"model:"
# What another worker has read already cannot be far away.
_MODEL_S: Final = 10.0

Record: TypeAlias = ConsumerRecord[bytes, bytes]


class _Answered(msgspec.Struct, frozen=True):
    """The part of `TrainerLife` that workers read."""

    day: int = -1


def model_key(number: int) -> bytes:
    """Key of a model in the topic."""
    return _MODEL_PREFIX + str(number).encode()


async def read_topic(reader: AIOKafkaConsumer, topic: str, take: Callable[[Record], None]) -> None:
    """Give every record of a one-partition topic up to its end now."""
    tp = TopicPartition(topic, 0)
    reader.assign([tp])
    await reader.seek_to_beginning(tp)
    end = (await reader.end_offsets([tp]))[tp]
    while await reader.position(tp) < end:
        await follow_topic(reader, topic, take)


async def follow_topic(
    reader: AIOKafkaConsumer, topic: str, take: Callable[[Record], None]
) -> None:
    """Give what has come since."""
    tp = TopicPartition(topic, 0)
    for record in (await reader.getmany(tp, timeout_ms=200)).get(tp, []):
        take(record)


class ModelBoard:
    """The models topic, read to its end and followed; or one model that stays.

    Attributes
    ----------
    fixed
        The model to use from the start and keep; None where the topic is followed.
    day
        The last day (since 1970) the trainer has closed; -1 before the first.
    """

    def __init__(self, fixed: Model | None) -> None:
        self.fixed = fixed
        self.day = -1
        self._models: dict[int, Model] = {}
        self._newest: list[Model] = []
        self._news = asyncio.Event()
        if fixed is not None:
            self.add(fixed)

    def note(self, record: Record) -> None:
        """Read one record of the topic."""
        key, value = record.key, record.value
        if key is None or value is None:
            return
        if key.startswith(_MODEL_PREFIX):
            self.add(msgspec.json.decode(value, type=Model))
        elif key == STATE_KEY:
            self.day = msgspec.msgpack.decode(value, type=_Answered).day
            self._tell()

    def add(self, model: Model) -> None:
        """Note a model."""
        self._models[model.number] = model
        self._newest = [self._models[number] for number in sorted(self._models, reverse=True)]
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def news(self, patience_s: float) -> None:
        """Wait until something comes, or so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._news.wait()

    def at(self, minute: int) -> Model | None:
        """The model to use from an instant on: the newest that was made for it or an earlier one.

        A log that is read again from its beginning so meets the models where they were made.
        """
        if self.fixed is not None:
            return self.fixed
        return next((model for model in self._newest if model.minute <= minute), None)

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
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MODEL_S):
                while number not in self._models:
                    await self.news(_MODEL_S)
