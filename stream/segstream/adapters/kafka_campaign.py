"""The campaign role: committed segment changes in, messages out; several members share the work.

It is a service with a consumer of its own and not a Faust agent: Faust 0.15.3 reads uncommitted
changes outside its own transactions, and acknowledges a change whose handling was cut short.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from segstream.adapters.campaign_files import (
    DeadLetterFile,
    FileSender,
    LineFile,
    SuppressionFile,
    as_line,
)
from segstream.adapters.campaign_store import RedisCampaignStore
from segstream.adapters.kafka_clients import abandon, new_consumer, new_reader, new_sender, running
from segstream.adapters.kafka_models import STATE_KEY, Record, read_topic
from segstream.adapters.outages import AWAY, Outages, ended, pause_s
from segstream.adapters.permissions import Needs, campaign_needs, check_permissions
from segstream.adapters.redis_store import check_server, connect
from segstream.adapters.webhook import Webhook, secret_of
from segstream.campaign import Campaigner, Parts, Seen
from segstream.campaign_ports import DeadLetters, Sender
from segstream.core.campaign_file import resolve_segments
from segstream.core.campaign_messages import CampaignDeadLetter
from segstream.core.campaigns import Campaigns, Standing, standing_of
from segstream.core.changes import Change
from segstream.core.model import Model
from segstream.kafka_settings import KafkaSettings
from segstream.metrics import Metrics
from segstream.settings import Settings

LOG: Final = logging.getLogger("segstream.campaign")
# A run is whole before its offset moves; small enough to be done soon, and again after a crash.
_RUN_RECORDS: Final = 500
_POLL_MS: Final = 500
# Beyond the longest outage that is waited for, a member that reads nothing is stuck.
_SPARE_S: Final = 600.0


class CampaignOptions(msgspec.Struct, frozen=True):
    """What a campaign role is started with.

    Attributes
    ----------
    where
        The campaign file, for messages.
    """

    rules: Campaigns
    where: str
    redis: str
    instance: str | None = None
    model: Model | None = None
    relaxed: bool = False


class KafkaCampaign:
    """A member of the campaign's group."""

    store_type: Callable[..., RedisCampaignStore] = RedisCampaignStore
    campaigner_type: Callable[..., Campaigner] = Campaigner

    def __init__(
        self, settings: Settings, options: CampaignOptions, metrics: Metrics | None = None
    ) -> None:
        self._metrics = metrics or Metrics("campaign")
        self._joined = False
        self._settings, self._options = settings, options
        self._kafka, self._rules = settings.kafka, options.rules
        self._names = self._kafka.topics(settings.namespace)
        self._outages = Outages(LOG)
        self._life: asyncio.Task[None] | None = None
        self._newest_ms = 0
        self._attempt = 0

    @property
    def needs(self) -> Needs:
        """What it must be allowed on the brokers."""
        topic = self._rules.dead_letters.topic
        return campaign_needs(self._kafka, self._settings.namespace, topic)

    def lacks(self) -> list[str]:
        """What is missing until it is ready; one whose webhook fails is."""
        starts = [] if self._joined else ["campaign: starts"]
        return [*starts, *(f"{who}: is away" for who in self._outages.failing)]

    async def start(self) -> None:
        """Open the files, and begin in the background: a signal is heard while it waits.

        Raises
        ------
        SegstreamError
            A file cannot be written, or the secret is missing.
        """
        rules = self._rules
        suppressed = SuppressionFile(Path(rules.suppress) if rules.suppress else None)
        self._log = LineFile(Path(rules.log))
        self._senders: dict[str, Sender] = {}
        sinks = {campaign.sink for campaign in rules.campaign}
        if "file" in sinks:
            self._senders["file"] = FileSender(Path(rules.file))
        if "webhook" in sinks and rules.webhook is not None:
            self._senders["webhook"] = Webhook(rules.webhook, secret_of(rules.webhook))
        self._dead = _dead_letters(rules, self._kafka)
        store = self.store_type(connect(self._options.redis), self._settings.namespace, rules)
        self._parts = Parts(
            store, self._senders, self._dead, self._log, suppressed.ids, self._metrics
        )
        self._life = asyncio.create_task(self._serve())

    async def wait(self) -> None:
        """Wait until something fails for good.

        Raises
        ------
        SegstreamError
        """
        if self._life is not None:
            await asyncio.shield(self._life)

    async def stop(self) -> None:
        """Leave the group; what was under way is sent by the next start, under the same key."""
        if self._life is None:
            return
        await ended(self._life)
        closes = [sender.close for sender in self._senders.values()]
        for close in (*closes, self._dead.close, self._parts.store.close):
            with contextlib.suppress(*AWAY):
                await close()
        self._log.close()

    async def _serve(self) -> None:
        while True:
            try:
                await self._work()
            except AWAY as error:
                self._outages.failed("campaign", error)
                await asyncio.sleep(pause_s(self._attempt))
                self._attempt += 1

    async def _work(self) -> None:
        """Join the group and handle runs of changes, from the committed offsets on."""
        redis = connect(self._options.redis)
        try:
            await check_server(redis, self._options.relaxed)
        finally:
            await redis.aclose()
        await check_permissions(self._kafka, self.needs)
        web = self._rules.webhook
        patience_s = (web.give_up_after_s if web else 0.0) + _SPARE_S
        group = f"{self._settings.namespace}-campaign"
        async with running(new_reader(self._kafka)) as reader:
            campaigner = self._new_campaigner(await self._newest_model(reader))
            current = CurrentSegments(reader, self._names.current_segment)
            await current.follow()
            campaigner.newest_ms = max(self._newest_ms, current.newest_ms)
            member = new_consumer(self._kafka, group, self._options.instance, patience_s)
            async with running(member) as consumer:
                consumer.subscribe([self._names.changes])
                self._joined = True
                self._outages.works("campaign")
                await self._follow(consumer, campaigner, current)

    def _new_campaigner(self, model: Model | None) -> Campaigner:
        rules = self._rules
        if model is not None:
            rules = resolve_segments(rules, model, self._options.where)
        return self.campaigner_type(rules, self._parts)

    async def _newest_model(self, reader: AIOKafkaConsumer) -> Model | None:
        """Read the newest model, to know the segments by name; None before the first."""
        if self._options.model is not None:
            return self._options.model
        found: list[bytes] = []

        def note(record: Record) -> None:
            if record.key != STATE_KEY and record.value is not None:
                found[:] = [record.value]

        if await _partitions(reader, self._names.models):
            await read_topic(reader, self._names.models, note)
        return msgspec.json.decode(found[0], type=Model) if found else None

    async def _follow(
        self, consumer: AIOKafkaConsumer, campaigner: Campaigner, current: "CurrentSegments"
    ) -> None:
        while True:
            runs = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_RUN_RECORDS)  # 1.
            self._set_lag(consumer, {tp: run[0].offset for tp, run in runs.items()})
            if not runs:
                continue
            await current.follow()
            seen = [one for run in runs.values() for one in await self._decoded(run)]
            await campaigner.handle(seen, current.standings)  # 2. to 5.
            self._newest_ms = campaigner.newest_ms
            await self._commit(consumer, {tp: run[-1].offset + 1 for tp, run in runs.items()})  # 6.
            self._attempt = 0
            self._outages.works("campaign")

    def _set_lag(self, consumer: AIOKafkaConsumer, unsettled: dict[TopicPartition, int]) -> None:
        """Set how far each partition is behind, from the first change that is not settled."""
        self._metrics.forget("segstream_campaign_lag_messages")
        for tp in consumer.assignment():
            end, at = consumer.highwater(tp), unsettled.get(tp)
            lag = 0 if end is None or at is None else max(0, end - at)
            where = str(tp.partition)
            self._metrics.set("segstream_campaign_lag_messages", lag, partition=where)

    async def _commit(self, consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        mine = consumer.assignment()
        held = {tp: offset for tp, offset in offsets.items() if tp in mine}
        if held:
            await consumer.commit(held)

    async def _decoded(self, run: Sequence[Record]) -> list[Seen]:
        """Decode changes; what is none becomes a dead letter, and the rest goes on."""
        found = []
        for record in run:
            body = record.value or b""
            try:
                found.append(Seen(msgspec.json.decode(body, type=Change), body))
            except msgspec.DecodeError as error:
                place = f"{record.topic}:{record.partition}:{record.offset}"
                LOG.warning("%s: expected a segment change, got %s; a dead letter", place, error)
                told = CampaignDeadLetter(place, str(error), body.decode("utf-8", "replace"))
                await self._dead.write(place, "", as_line(told))
                self._metrics.add("segstream_campaign_unreadable_total")
        return found


class CurrentSegments:
    """Where each customer stands, by the compacted topic; about 200 bytes of memory each.

    Attributes
    ----------
    newest_ms
        Time of the newest change in it.
    """

    def __init__(self, reader: AIOKafkaConsumer, topic: str) -> None:
        self._reader, self._topic = reader, topic
        self._parts: list[TopicPartition] = []
        self.standings: dict[str, Standing | None] = {}
        self.newest_ms = 0

    async def follow(self) -> None:
        """Read to the end as it is now; a topic that does not exist says nothing."""
        if not self._parts and not await self._begin():
            return
        ends = await self._reader.end_offsets(self._parts)
        while [tp for tp in self._parts if await self._reader.position(tp) < ends[tp]]:
            for records in (await self._reader.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    self._note(record)

    async def _begin(self) -> bool:
        self._parts = await _partitions(self._reader, self._topic)
        if self._parts:
            self._reader.assign(self._parts)
            await self._reader.seek_to_beginning(*self._parts)
        return bool(self._parts)

    def _note(self, record: Record) -> None:
        customer = (record.key or b"").decode("utf-8", "surrogatepass")
        if record.value is None:
            self.standings.pop(customer, None)
            return
        # What is no change is met, and said, on the topic of changes.
        with contextlib.suppress(msgspec.DecodeError):
            standing = standing_of(msgspec.json.decode(record.value, type=Change))
            self.standings[customer] = standing
            self.newest_ms = max(self.newest_ms, standing.time_ms)


class DeadLetterTopic:
    """Dead letters in a topic, keyed by customer; at least once, the same key each time."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._kafka, self._topic = kafka, topic
        self._producer: AIOKafkaProducer | None = None

    async def write(self, letter_id: str, customer_id: str, line: bytes) -> None:
        """Send a dead letter; when this returns the broker has it."""
        del letter_id
        if self._producer is None:
            producer = new_sender(self._kafka)
            try:
                await producer.start()
            except BaseException:
                await abandon(producer)
                raise
            self._producer = producer
        key = customer_id.encode("utf-8", "surrogatepass")
        await self._producer.send_and_wait(self._topic, line, key=key)

    async def close(self) -> None:
        """Close the producer."""
        if self._producer is not None:
            await abandon(self._producer)


def _dead_letters(rules: Campaigns, kafka: KafkaSettings) -> DeadLetters:
    place = rules.dead_letters
    if place.topic:
        return DeadLetterTopic(kafka, place.topic)
    return DeadLetterFile(Path(place.file))


async def _partitions(reader: Any, topic: str) -> list[TopicPartition]:
    """Partitions of a topic; none where it does not exist."""
    cluster = await reader._client.fetch_all_metadata()
    return [TopicPartition(topic, p) for p in sorted(cluster.partitions_for_topic(topic) or ())]
