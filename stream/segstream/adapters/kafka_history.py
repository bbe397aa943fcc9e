"""The models of a namespace on Kafka, and commands to its trainer."""

import asyncio
import secrets

import msgspec
from aiokafka import AIOKafkaConsumer

from segstream.adapters.kafka_clients import new_reader, new_sender, running
from segstream.adapters.kafka_commands import CommandBook, command_key
from segstream.adapters.kafka_models import STATE_KEY, Record, read_topic
from segstream.adapters.outages import AWAY
from segstream.core.model import Model
from segstream.core.trainer_state import Command, TrainerLife, changed
from segstream.errors import SourceError, StateError
from segstream.ports import Standing
from segstream.settings import Settings


class KafkaModels:
    """`segstream.ports.ModelHistory` of a namespace, as it stands when this is made.

    Raises
    ------
    StateError
        The namespace has no topics.
    SourceError
        The brokers do not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        self._names = settings.kafka.topics(settings.namespace)
        self._models: dict[int, Model] = {}
        self._life = TrainerLife()
        self._orders = CommandBook()
        try:
            asyncio.run(self._read())
        except AWAY as error:
            raise self._away(error) from error

    def models(self) -> list[Model]:
        """See `segstream.ports.ModelHistory.models`."""
        return [self._models[number] for number in sorted(self._models)]

    def standing(self) -> Standing:
        """See `segstream.ports.ModelHistory.standing`; commands on their way are among its own."""
        state = self._life.state
        state = changed(state, commands=(*state.commands, *self._orders.waiting))
        return Standing(state, self._life.day + 1 if self._life.day >= 0 else -1)

    def give(self, command: Command) -> None:
        """Publish the command.

        Raises
        ------
        SourceError
            The brokers do not answer: it may or may not be there, see `standing` of a new one.
        """
        try:
            asyncio.run(self._send(command))
        except AWAY as error:
            raise self._away(error) from error

    def close(self) -> None:
        """See `segstream.ports.ModelHistory.close`."""

    async def _read(self) -> None:
        async with running(new_reader(self._kafka)) as reader:
            await self._check_topics(reader)
            await read_topic(reader, self._names.models, self._note)
            await read_topic(reader, self._names.evidence, self._listen)

    async def _check_topics(self, reader: AIOKafkaConsumer) -> None:
        found = await reader.topics()
        absent = {self._names.models, self._names.evidence} - set(found)
        if absent:
            raise StateError(
                f"kafka: expected the topics {', '.join(sorted(absent))} on "
                f"{self._kafka.bootstrap}, got none of the name; check --namespace, or run "
                "`segstream topics create`"
            )

    def _note(self, record: Record) -> None:
        if record.value is None:
            return
        if record.key == STATE_KEY:
            self._life = msgspec.msgpack.decode(record.value, type=TrainerLife)
        else:
            model = msgspec.json.decode(record.value, type=Model)
            self._models[model.number] = model

    def _listen(self, record: Record) -> None:
        self._orders.note(record)

    async def _send(self, command: Command) -> None:
        sender = new_sender(self._kafka)
        try:
            await sender.start()
            body = msgspec.msgpack.encode(command)
            key = command_key(secrets.token_hex(8))
            await sender.send_and_wait(self._names.evidence, body, key=key, partition=0)
        finally:
            await sender.stop()

    def _away(self, error: BaseException) -> SourceError:
        return SourceError(
            f"kafka: expected brokers at {self._kafka.bootstrap}, got "
            f"{error or type(error).__name__}; check --bootstrap, and see with "
            "`segstream models list` whether the command is noted"
        )
