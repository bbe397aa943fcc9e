"""Events of a feed become Kafka messages, keyed by customer, and every one is accounted for."""

import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, MessageSizeTooLargeError
from kafka.partitioner.default import murmur2

from segstream.adapters.kafka_clients import connection
from segstream.adapters.kafka_topics import BOOTSTRAP_MS, Topic, TopicAdmin, broker_errors
from segstream.core.events import Event, epoch_ms
from segstream.errors import BadEventError, ConfigError, OutputError
from segstream.kafka_settings import DAY_MS, KafkaSettings
from segstream.ports import Chunk, Source
from segstream_producers.pacing import Pacer, Replayer

CHUNK_BYTES: Final = 1 << 20
# The client has no limit of its own: this bounds its memory while a broker is slow or away.
MAX_WAITING: Final = 20_000
# A broker may be away for as long as it takes; the client goes on trying, in order, without
# writing anything twice.
_DELIVERY_MS: Final = DAY_MS
_STALL_S: Final = 5.0
# The broker's limit applies, not the client's.
_REQUEST_BYTES: Final = 16 << 20
_KNOWN_KEYS: Final = 1 << 20
_EXAMPLES: Final = 5
# How long a replay sleeps at most before it looks whether to stop.
_LOOK_S: Final = 0.25


class Message(NamedTuple):
    """What goes to Kafka."""

    key: bytes
    value: bytes
    timestamp_ms: int
    place: str
    entry: int


@dataclass(frozen=True)
class SendPlan:
    """How a feed is sent.

    Attributes
    ----------
    as_is
        Whether the feed's own bytes are events already and pass unchanged.
    rate
        Events per second; None is as fast as possible.
    skip, limit
        Entries to leave out at the beginning, and to read after that.
    speed
        Seconds of event time per second; None for no schedule by event time.
    shift_ms
        Added to every event's time.
    """

    as_is: bool
    rate: float | None
    skip: int
    limit: int
    asked_to_stop: Callable[[], bool]
    speed: float | None = None
    shift_ms: int = 0


@dataclass
class Tally:
    """What became of a feed's entries.

    Attributes
    ----------
    entries
        Read so far, those left out included.
    dead
        Dead letters of the mapping by code: counted, not sent.
    too_large
        Events that the broker's limit refuses.
    """

    entries: int = 0
    sent: int = 0
    skipped: int = 0
    dead: Counter[str] = field(default_factory=Counter)
    too_large: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, place: str, message: str) -> None:
        """Keep the first few for people."""
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{place}: {message}")


def customer_key(customer_id: str) -> bytes:
    """Return the key of a customer's messages."""
    return customer_id.encode("utf-8", "surrogatepass")


def partition_of(key: bytes, partitions: int) -> int:
    """Partition of a key by murmur2, as the Java client and kafka-python choose it.

    >>> partition_of(b"21", 6)
    1
    """
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def messages_of(
    chunk: Chunk, as_is: bool, now_ms: int, tally: Tally, shift_ms: int = 0
) -> list[Message]:
    """Return the messages of a chunk; what is none is counted.

    Parameters
    ----------
    as_is
        Whether the feed's own bytes are events already and pass unchanged.
    now_ms
        A message is never dated later: the broker refuses a future, and the worker judges an
        event's time against the message's.
    shift_ms
        Added to every event's time.
    """
    found = []
    each = zip(chunk.payloads, chunk.parsed, chunk.places, strict=True)
    for entry, (payload, parsed, place) in enumerate(each, chunk.position):
        if parsed is None:
            tally.skipped += 1
        elif isinstance(parsed, BadEventError):
            tally.dead[parsed.code] += 1
            tally.note(place, parsed.message)
        elif (at := epoch_ms(parsed.ts)) < 0:
            tally.dead["time_before_1970"] += 1
            tally.note(place, f"expected ts in 1970 or later, got {parsed.ts}")
        else:
            key = customer_key(parsed.customer_id)
            if shift_ms:
                parsed.ts = at + shift_ms
            value = payload if as_is and not shift_ms else _encode(parsed)
            found.append(Message(key, value, min(at + shift_ms, now_ms), place, entry))
    return found


_encode: Final[Callable[[Event], bytes]] = msgspec.json.Encoder().encode


class Sender:
    """Sends to one topic: idempotent, acknowledged by all copies, keyed, lz4.

    Parameters
    ----------
    tally
        Gets what is acknowledged and what is refused.
    notice
        Told, in a line, when the broker has been silent for a while.
    asked_to_stop
        Looked at while waiting for a broker that is away.

    Raises
    ------
    SourceError
        No broker answers.
    ConfigError
        The topic does not exist.
    """

    def __init__(
        self,
        brokers: KafkaSettings,
        topic: str,
        tally: Tally,
        notice: Callable[[str], None],
        asked_to_stop: Callable[[], bool],
    ) -> None:
        self._brokers, self._bootstrap = brokers, brokers.bootstrap
        self._topic, self._tally = topic, tally
        self._notice, self._asked_to_stop = notice, asked_to_stop
        self._found = _topic(brokers, topic)
        self._partitions = self._found.partitions
        self._begin = self._ends()
        self._waiting: deque[Any] = deque()
        self._known: dict[bytes, int] = {}
        self._noticed = False
        with broker_errors(self._bootstrap):
            self._connect()

    def _connect(self) -> None:
        self._producer = KafkaProducer(
            **connection(self._brokers), acks="all", enable_idempotence=True,
            compression_type="lz4", linger_ms=20, batch_size=128 * 1024,
            delivery_timeout_ms=_DELIVERY_MS, max_request_size=_REQUEST_BYTES,
            retry_backoff_ms=50, reconnect_backoff_max_ms=1_000,
            bootstrap_timeout_ms=BOOTSTRAP_MS,
        )  # fmt: skip

    def send(self, messages: Sequence[Message]) -> None:
        """Hand messages to the client; waits while too many are under way."""
        send, waiting = self._producer.send, self._waiting
        for message in messages:
            if len(waiting) >= MAX_WAITING:
                self._settle(MAX_WAITING // 2)
            key = message.key
            partition = self._known.get(key)
            if partition is None:
                partition = self._partition(key)
            sent = send(self._topic, message.value, key, None, partition, message.timestamp_ms)
            waiting.append((sent, message))

    def flush(self) -> None:
        """Wait until everything is acknowledged, or a stop is asked for and nothing moves."""
        self._settle(0)

    def close(self) -> None:
        """Close the connections; what is not acknowledged by now is not waited for."""
        self._producer.close(timeout=1)

    @property
    def unknown(self) -> int:
        """Messages handed over and not acknowledged."""
        return len(self._waiting)

    @property
    def resume_at(self) -> int:
        """The first entry that is not acknowledged: where `--skip` would go on."""
        return self._waiting[0][1].entry if self._waiting else self._tally.entries

    def refuse_expired(self, first_ms: int, now_ms: int) -> None:
        """Refuse a feed whose beginning the broker would delete as soon as it looked.

        Raises
        ------
        ConfigError
            The first event is older than the topic's retention.
        """
        stays_ms = int(self._found.configs.get("retention.ms", "-1"))
        deletes = "delete" in self._found.configs.get("cleanup.policy", "")
        if not deletes or stays_ms < 0 or first_ms >= now_ms - stays_ms:
            return
        raise ConfigError(
            f"{self._topic}: expected events of the last {stays_ms / DAY_MS:g} days, got some of"
            f" {(now_ms - first_ms) / DAY_MS:,.0f} days ago: retention goes by the events' time,"
            " so the broker would delete them within minutes; for a replay, create the topics with"
            " --retention-days forever, or send with --expired"
        )

    def grown(self) -> int:
        """Messages the topic has gained since the beginning, by the brokers' end offsets."""
        ends = self._ends()
        return sum(end - self._begin[one] for one, end in ends.items())

    def _partition(self, key: bytes) -> int:
        if len(self._known) >= _KNOWN_KEYS:
            self._known.clear()
        return self._known.setdefault(key, partition_of(key, self._partitions))

    def _settle(self, most: int) -> None:
        """Take what is acknowledged off the list until at most so many are under way."""
        waiting = self._waiting
        since = time.monotonic()
        while waiting:
            if waiting[0][0].is_done:
                self._settled(*waiting.popleft())
                since = time.monotonic()
            elif len(waiting) <= most or not self._wait(since):
                return

    def _wait(self, since: float) -> bool:
        """Wait a little for the oldest; False where a stop is asked for and the broker silent."""
        silent_s = time.monotonic() - since
        if silent_s > _STALL_S:
            if self._asked_to_stop():
                return False
            if not self._noticed:
                self._notice(
                    f"no answer from {self._bootstrap}, {len(self._waiting):,} messages waiting;"
                    " trying until it comes back or a Ctrl-C"
                )
            self._noticed = True
        with suppress(KafkaError):  # of a timeout; a failure is looked at when it is settled
            self._waiting[0][0].get(timeout=0.5)
        return True

    def _settled(self, future: Any, message: Message) -> None:
        self._noticed = False
        if future.succeeded():
            self._tally.sent += 1
            return
        error = future.exception
        if isinstance(error, MessageSizeTooLargeError):
            self._tally.too_large += 1
            self._tally.note(message.place, f"larger than {self._topic} takes (max.message.bytes)")
            return
        raise OutputError(
            f"{self._topic}: expected the broker to take an event, got {error}; mend that and send"
            " again: events that are repeated within 48 hours of event time count once"
        ) from error

    def _ends(self) -> dict[TopicPartition, int]:
        with broker_errors(self._bootstrap):
            consumer = KafkaConsumer(**connection(self._brokers), bootstrap_timeout_ms=BOOTSTRAP_MS)
            try:
                each = [TopicPartition(self._topic, p) for p in range(self._partitions)]
                found: dict[TopicPartition, int] = consumer.end_offsets(each)
            finally:
                consumer.close()
        return found


def _topic(brokers: KafkaSettings, topic: str) -> Topic:
    with TopicAdmin(brokers) as admin:
        found = admin.describe([topic]).get(topic)
    if found is None:
        hidden = f", or {brokers.sasl_username} may not see it" if brokers.authenticated else ""
        raise ConfigError(
            f"expected the topic {topic} at {brokers.bootstrap}, found none{hidden}; run"
            " `segstream topics create` with the same --namespace"
        )
    return found


Part = tuple[int, list[Message]]
"""The position behind a slice of a feed, and its messages."""


def file_parts(source: Source, tally: Tally, plan: SendPlan, size: int) -> Iterator[Part]:
    """Yield the messages of files or a pipe, `size` entries at a time, from the plan's first on."""
    position, last = plan.skip, plan.skip + plan.limit
    while position < last and (chunk := source.read(position, CHUNK_BYTES)):
        for part in _slices(_head(chunk, last - position), size):
            now_ms = time.time_ns() // 1_000_000
            messages = messages_of(part, plan.as_is, now_ms, tally, plan.shift_ms)
            position += len(part.payloads)
            yield position, messages


def send_feed(
    parts: Iterator[Part], sender: Sender, tally: Tally, plan: SendPlan, report: Callable[[], None]
) -> None:
    """Send a feed at its pace, until its end, its limit or a stop.

    Parameters
    ----------
    parts
        In the order in which they go out.
    report
        Called after each slice.
    """
    tally.entries = plan.skip
    send = _in_event_time if plan.speed else _at_rate
    send(parts, sender, tally, plan, report)
    sender.flush()


def _at_rate(
    parts: Iterator[Part], sender: Sender, tally: Tally, plan: SendPlan, report: Callable[[], None]
) -> None:
    pacer = Pacer(plan.rate, time.monotonic())
    handed = 0
    while not plan.asked_to_stop() and (part := next(parts, None)):
        position, messages = part
        time.sleep(pacer.wait_s(handed, time.monotonic()))
        sender.send(messages)
        handed += len(messages)
        tally.entries = position
        report()


def _in_event_time(
    parts: Iterator[Part], sender: Sender, tally: Tally, plan: SendPlan, report: Callable[[], None]
) -> None:
    replayer: Replayer | None = None
    for position, messages in parts:
        while messages:
            if plan.asked_to_stop():
                tally.entries = messages[0].entry
                return
            first_ms = messages[0].timestamp_ms
            if replayer is None:
                replayer = Replayer(plan.speed or 1.0, first_ms, time.monotonic())
            time.sleep(min(_LOOK_S, replayer.wait_s(first_ms, time.monotonic())))
            reached = replayer.reached_ms(time.monotonic())
            due = bisect_right(messages, reached, key=lambda one: one.timestamp_ms)
            sender.send(messages[:due])
            messages = messages[due:]
            report()
        tally.entries = position


def _slices(chunk: Chunk, size: int) -> Iterator[Chunk]:
    """Cut a chunk into smaller ones."""
    for at in range(0, len(chunk.payloads), size):
        own = slice(at, at + size)
        yield Chunk(chunk.position + at, chunk.payloads[own], chunk.parsed[own], chunk.places[own])


def _head(chunk: Chunk, most: int) -> Chunk:
    return next(_slices(chunk, most))
