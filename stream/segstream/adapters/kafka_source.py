"""The source topic: whether it is there, which one it is, and how many partitions it has."""

import asyncio
import time
from typing import Any, Final

from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError, for_code
from kafka import KafkaAdminClient
from kafka.errors import KafkaError as KafkaPythonError

from segstream.adapters.kafka_clients import connection
from segstream.adapters.outages import AWAY, Outages
from segstream.errors import SourceError, StateError
from segstream.kafka_settings import KafkaSettings

# A broker that has just started may not know a topic yet. Who starts a role waits at the screen;
# a role that runs has time.
_GONE_AT_START_S: Final = 5.0
_GONE_S: Final = 15.0
_TOPIC_EVERY_S: Final = 10.0
# Of a broker that was away: how soon it is said that it is back.
_AWAY_EVERY_S: Final = 1.0


class SourceTopic:
    """The topic of transactions, asked with kafka-python: aiokafka's answer has no topic id.

    Attributes
    ----------
    n_partitions
        As last asked; 0 before.
    """

    def __init__(self, settings: KafkaSettings, name: str, outages: Outages) -> None:
        self._settings, self._name, self._outages = settings, name, outages
        self._id = ""
        self.n_partitions = 0

    async def topic_id(self) -> str:
        """Ask for the id, and note how many partitions there are."""
        found = await asyncio.to_thread(self._described)
        if code := found.get("error_code"):
            raise for_code(code)(f"describing {self._name}")
        self.n_partitions = len(found["partitions"])
        return str(found.get("topic_id") or "")

    def _described(self) -> dict[str, Any]:
        try:
            admin = KafkaAdminClient(**connection(self._settings), bootstrap_timeout_ms=5_000)
            try:
                found: dict[str, Any] = admin.describe_topics([self._name])[0]
            finally:
                admin.close()
        except KafkaPythonError as error:
            raise KafkaError(str(error)) from error
        return found

    async def remember(self) -> None:
        """Note which topic this is.

        Raises
        ------
        SourceError
            There is none.
        """
        until = time.monotonic() + _GONE_AT_START_S
        while True:
            try:
                self._id = await self.topic_id()
            except UnknownTopicOrPartitionError as error:
                if time.monotonic() > until:
                    raise self._gone() from error
                await asyncio.sleep(_AWAY_EVERY_S)
            else:
                return

    async def watch(self) -> None:
        """Stop where the topic is gone or another one; the consumer would just have no work."""
        seen, pause_s = time.monotonic(), _TOPIC_EVERY_S
        while True:
            await asyncio.sleep(pause_s)
            try:
                found = await self.topic_id()
            except UnknownTopicOrPartitionError as error:
                if time.monotonic() - seen > _GONE_S:
                    raise self._gone() from error
                continue
            except AWAY as error:
                # Of a broker that is away a consumer with nothing to fetch says nothing.
                self._outages.failed("topic", error)
                seen, pause_s = time.monotonic(), _AWAY_EVERY_S
                continue
            self._outages.works("topic")
            seen, pause_s = time.monotonic(), _TOPIC_EVERY_S
            if found != self._id:
                raise StateError(
                    f"kafka: expected topic id {self._id} of {self._name}, got {found}: the topic "
                    "was made anew and offsets mean nothing; rebuild into a new namespace"
                )

    def _gone(self) -> SourceError:
        return SourceError(
            f"kafka: expected topic {self._name}, got none; make it with: segstream topics create"
        )
