"""The reader of Kafka and Redis: a customer straight from its packed record, the rest swept."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar, cast

import msgspec
from kafka.partitioner.default import murmur2
from redis.asyncio import Redis
from redis.exceptions import RedisError

from segstream.adapters import redis_keys as keys
from segstream.adapters.kafka_clients import new_sender
from segstream.adapters.kafka_history import KafkaModels
from segstream.adapters.outages import AWAY, Outages, pause_s
from segstream.adapters.redis_store import Adoption
from segstream.api.board import Board
from segstream.api.desks import Models, erase_event, erase_moment_ms
from segstream.api.lens import Lens
from segstream.api.looks import HISTORY, Look, Texts
from segstream.api.lookups import Found, Lookups
from segstream.api.problems import ProblemError
from segstream.api.records import Bench
from segstream.api.sweep import SweptView
from segstream.api.sweeper import Sweeper
from segstream.api.tail import Tail
from segstream.api.topics import ChangeTopic, CommandTopic, ModelTopic, WholeTopic
from segstream.core.insights_answer import InsightsTable
from segstream.core.spec import CompiledSpec
from segstream.core.trainer_state import Command, changed
from segstream.errors import SegstreamError
from segstream.report.retrospect import Retrospect
from segstream.settings import Settings, compile_spec, policy_of

LOG: Final = logging.getLogger("segstream.serve")
_T = TypeVar("_T")
# Changes held for pages, streams and histories: what is older is in the topic.
_TAIL: Final = 200_000
# Between two sweeps at least, and nine times as long as one took: a tenth of a core. But a minute
# at most: one that had functions to compile says nothing of the next.
_SWEEP_S: Final = 10.0
_REST_PER_SWEEP: Final = 9.0
_REST_MOST_S: Final = 60.0
_TIMEOUT_S: Final = 5.0
_WAIT_S: Final = 0.1


class _Clock(msgspec.Struct):
    """The part of `PartitionMeta` that a look needs."""

    clock_ms: int = -1
    clock_minute: int = -1


_CLOCKS: Final = msgspec.msgpack.Decoder(_Clock)
_ADOPTIONS: Final = msgspec.msgpack.Decoder(Adoption)


def rest_s(took_s: float) -> float:
    """Seconds from the end of a sweep to the next.

    >>> rest_s(0.2), rest_s(3.0), rest_s(40.0)
    (10.0, 27.0, 60.0)
    """
    return min(max(_SWEEP_S, _REST_PER_SWEEP * took_s), _REST_MOST_S)


class LiveReader:
    """`segstream.api.reader.Reader` of a namespace on Kafka and Redis."""

    def __init__(self, settings: Settings, redis_url: str, customer_word: str | None) -> None:
        self._settings, self._url = settings, redis_url
        self._word = customer_word or "customer"
        self._spec: CompiledSpec = compile_spec(settings)
        self._bench = Bench(self._spec, policy_of(settings))
        self.tail = Tail(_TAIL)
        self._board: Board | None = None
        self._lenses: dict[int, Lens] = {0: Lens(self._spec, None)}
        self._outages = Outages(LOG)
        self._names = settings.kafka.topics(settings.namespace)
        self._missing = {"models", "commands", "changes", "sweep"}
        self._commands: tuple[Command, ...] = ()
        self.redis: Redis
        self._sweeper: Sweeper
        self.models = ModelTopic(settings.kafka, self._names)

    @contextlib.asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """See `segstream.api.reader.Reader.living`; readiness says what is still missing."""
        self.redis = Redis.from_url(
            self._url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        )
        self._lookups = Lookups(self.redis)
        self._sweeper = Sweeper(self._settings, self._url)
        await asyncio.to_thread(self._sweeper.start)
        followed = {
            "models": self._models, "commands": self._orders, "changes": self._changes,
            "sweep": self._sweeps,
        }  # fmt: skip
        tasks = [
            asyncio.create_task(self._for_ever(name, follow)) for name, follow in followed.items()
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.to_thread(self._sweeper.close)
            await asyncio.wait(tasks)
            await self.redis.aclose()

    async def _for_ever(self, name: str, follow: Callable[[], Awaitable[None]]) -> None:
        """Begin anew after what was away has come back."""
        for attempt in itertools.count():
            try:
                await follow()
            except (*AWAY, SegstreamError) as error:
                self._missing.add(name)
                self._outages.failed(name, error)
                await asyncio.sleep(pause_s(attempt))

    def _works(self, name: str) -> None:
        self._missing.discard(name)
        self._outages.works(name)

    async def _models(self) -> None:
        topic = ModelTopic(self._settings.kafka, self._names)

        def read() -> None:
            self.models = topic

        await self._followed("models", topic, read)

    async def _orders(self) -> None:
        topic = CommandTopic(self._settings.kafka, self._names)

        def read() -> None:
            self._commands = topic.waiting

        await self._followed("commands", topic, read)

    async def _changes(self) -> None:
        self.tail.clear()
        topic = ChangeTopic(self._settings.kafka, self._names, self.tail, _TAIL)
        await self._followed("changes", topic, lambda: None)

    async def _followed(
        self, name: str, topic: WholeTopic | ChangeTopic, read: Callable[[], None]
    ) -> None:
        """Read a topic and go on; `read` takes what is there, again and again."""
        try:
            await topic.start()
            while True:
                read()
                self._works(name)
                await topic.follow()
        finally:
            await topic.stop()

    # ---- the population ----------------------------------------------------------------

    async def _sweeps(self) -> None:
        while self._missing & {"models", "commands", "changes"}:
            await asyncio.sleep(_WAIT_S)
        while True:
            began = time.monotonic()
            self._board = await self.sweep()
            self._works("sweep")
            await asyncio.sleep(rest_s(time.monotonic() - began))

    async def sweep(self) -> Board:
        """Read everybody."""
        settings, spec = self._settings, self._spec
        table = await self._told(keys.insights(settings.namespace), InsightsTable)
        past = await self._told(keys.retrospect(settings.namespace), Retrospect)
        models, trainer = self.models.models, self.models.trainer
        trainer = changed(trainer, commands=(*trainer.commands, *self._commands))
        history = self.tail.page(None, _TAIL, newest=False)[0]

        def made() -> Board:
            parts = self._sweeper.sweep(models)
            view = SweptView(settings, spec, parts, trainer, models, list(history), table)
            return Board(view, self._word, lambda: table, past)

        return await asyncio.to_thread(made)

    async def _told(self, key: str, kind: type[_T]) -> _T | None:
        """What the role `insights` has put there; None where it is of another version of it."""
        raw = await self.redis.get(key)
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(cast("bytes", raw), type=kind) if raw else None
        return None

    def board(self) -> Board:
        """See `segstream.api.reader.Reader.board`."""
        if self._board is None:
            raise ProblemError(
                503, "not-ready", "expected a first sweep over Redis, it is not done; try again",
                Retry_After="5",
            )  # fmt: skip
        return self._board

    def means(self) -> Texts:
        """See `segstream.api.reader.Reader.means`."""
        return self._board.mean_texts if self._board else {}

    # ---- one customer ------------------------------------------------------------------

    async def look(self, customer_id: str) -> Look | None:
        """See `segstream.api.reader.Reader.look`."""
        for partition in self._partitions_of(customer_id):
            blob, state, model = await self._read(partition, customer_id)
            if blob is not None:
                clock = _CLOCKS.decode(state) if state else _Clock()
                number = _ADOPTIONS.decode(model).number if model else 0
                at_clock = (clock.clock_ms, clock.clock_minute)
                return self._bench.look(customer_id, blob, at_clock, self._lens(number))
        return None

    def _partitions_of(self, customer_id: str) -> range:
        """Where the customer's record can be."""
        n = self._settings.kafka.partitions
        if self._settings.kafka.partitioner != "murmur2":
            return range(n)
        number = partition_of(customer_id, n)
        return range(number, number + 1)

    async def _read(self, partition: int, customer_id: str) -> Found:
        """Record, clock and adopted model, of one moment.

        Raises
        ------
        ProblemError
            503 where Redis does not answer.
        """
        try:
            return await self._lookups.read(self._settings.namespace, partition, customer_id)
        except (RedisError, OSError, TimeoutError) as error:
            raise ProblemError(
                503, "away", f"expected Redis to answer, got {type(error).__name__}; try again",
                Retry_After="2",
            ) from error  # fmt: skip

    def _lens(self, number: int) -> Lens:
        """Lens of a model by its number."""
        lens = self._lenses.get(number)
        if lens is None:
            model = self.models.get(number)
            if model is None:
                raise ProblemError(503, "not-ready", "expected the model that the customer's "
                                   "partition uses, it is not read yet; try again")  # fmt: skip
            lens = self._lenses[number] = Lens(self._spec, model)
        return lens

    async def history(self, customer_id: str) -> list[bytes]:
        """See `segstream.api.reader.Reader.history`."""
        return self.tail.of(customer_id, HISTORY)

    async def refresh(self) -> None:
        """See `segstream.api.reader.Reader.refresh`; workers write in their own time."""

    def lacks(self) -> list[str]:
        """See `segstream.api.reader.Reader.lacks`."""
        failing = self._outages.failing
        return [
            f"{name}: {'does not answer' if name in failing else 'not read yet'}"
            for name in sorted(self._missing)
        ]


def partition_of(customer_id: str, n_partitions: int) -> int:
    """Kafka's murmur2 of the key."""
    key = customer_id.encode("utf-8", "surrogatepass")
    return int(murmur2(key) & 0x7FFFFFFF) % n_partitions


class LiveDesk(Models):
    """`segstream.api.reader.Desk` of a namespace on Kafka and Redis."""

    def __init__(self, settings: Settings, redis_url: str) -> None:
        super().__init__(lambda: KafkaModels(settings))
        self._settings, self._url = settings, redis_url

    async def erase(self, customer_id: str) -> str:
        """Send an `erase` event to the transactions, keyed by the customer.

        Raises
        ------
        ProblemError
            503 where Kafka or Redis does not answer: it may or may not be there.
        """
        try:
            return await self._send(customer_id)
        except AWAY as error:
            raise ProblemError(
                503, "away", f"expected Kafka and Redis to answer, got {type(error).__name__}; "
                "send it again: an erasure sent twice is one",
            ) from error  # fmt: skip

    async def _send(self, customer_id: str) -> str:
        settings = self._settings
        partition = partition_of(customer_id, settings.kafka.partitions)
        redis = Redis.from_url(self._url, socket_timeout=_TIMEOUT_S)
        try:
            state = await redis.hget(keys.meta(settings.namespace, partition), keys.STATE.decode())
        finally:
            await redis.aclose()
        clock_ms = _CLOCKS.decode(cast("bytes", state)).clock_ms if state else -1
        moment = erase_moment_ms(clock_ms, settings.clock.max_silence_hours)
        event = erase_event(customer_id, moment)
        sender = new_sender(settings.kafka)
        try:
            await sender.start()
            await sender.send_and_wait(
                settings.kafka.topics(settings.namespace).transactions, event.line,
                key=customer_id.encode("utf-8", "surrogatepass"), partition=partition,
            )  # fmt: skip
        finally:
            await sender.stop()
        return event.event_id
