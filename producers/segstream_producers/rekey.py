"""An exactly-once copy of a topic, keyed by customer.

One transaction holds some messages and the positions behind them, so that whatever stops the copy,
the next start goes on behind the last message that counts. One process copies: a second one of
the same pair of topics fences the first.

::

    SRC ─ poll, read_committed ─► Backlog ─ in the order of time ─► key, partition ─► DST
                                                         └─► positions ─ same transaction
"""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Final

import msgspec
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, ProducerFencedError

from segstream.adapters.kafka_clients import connection
from segstream.adapters.kafka_topics import BOOTSTRAP_MS, TopicAdmin, broker_errors
from segstream.adapters.mapping_files import named_mapping
from segstream.core.events import Event, Id
from segstream.core.rows import compile_mapping, parse_row
from segstream.errors import ConfigError, OutputError, StateError
from segstream.kafka_settings import KafkaSettings
from segstream_producers.sender import customer_key, partition_of

# A transaction costs a few milliseconds whatever is in it.
PER_TRANSACTION: Final = 2_000
MOST_FAILURES: Final = 5
# Of one partition, while another one's next message is waited for.
_MOST_BUFFERED: Final = 8_000
_POLL_MS: Final = 200
# kafka-python pauses up to 30 s, in each client, before it tries a broker that was away again.
_RECONNECT_MS: Final = 1_000
_REQUEST_BYTES: Final = 16 << 20
_FETCH_BYTES: Final = 4 << 20

Reader = Callable[[bytes], str | None]
"""The customer of a message; None where it cannot be read."""


@dataclass
class Copied:
    """What became of the messages.

    Attributes
    ----------
    unreadable
        Copied with the key they had: no customer could be read.
    empty
        Without key and value: nothing there to copy.
    left
        Messages of the source that are not copied yet, at the last look.
    """

    copied: int = 0
    unreadable: int = 0
    empty: int = 0
    left: int = 0


class UnsettledError(Exception):
    """It is not known whether a transaction committed; a new producer settles it."""


@dataclass
class Ledger:
    """What is copied, across producers.

    Attributes
    ----------
    pending
        Positions behind the transaction under way, and what counts if it committed.
    """

    copied: Copied = field(default_factory=Copied)
    pending: tuple[dict[TopicPartition, int], Copied] | None = None

    def settle(self, positions: dict[TopicPartition, int]) -> None:
        """Count the transaction under way, if these positions say that it committed."""
        if self.pending is not None:
            behind, counted = self.pending
            if all(positions[one] == offset for one, offset in behind.items()):
                self.copied.copied += counted.copied
                self.copied.unreadable += counted.unreadable
                self.copied.empty += counted.empty
        self.pending = None


class Backlog:
    """Records of several partitions, given out in the order of their time.

    Within a partition the order is that of the log, so times are compared at the heads only.
    """

    def __init__(self) -> None:
        self._queues: dict[TopicPartition, deque[Any]] = {}

    def put(self, polled: dict[TopicPartition, list[Any]]) -> None:
        """Add what was polled."""
        for one, records in polled.items():
            self._queues.setdefault(one, deque()).extend(records)

    def size(self, one: TopicPartition) -> int:
        """Records of a partition that are not given out yet."""
        return len(self._queues.get(one, ()))

    def take(self, most: int, expected: set[TopicPartition]) -> list[Any]:
        """Take the earliest records.

        Parameters
        ----------
        expected
            Partitions with more to come: nothing later than that may be taken before it is here.
        """
        if not all(self.size(one) for one in expected):
            return []
        heads = [(queue[0].timestamp, one) for one, queue in self._queues.items() if queue]
        heapq.heapify(heads)
        taken: list[Any] = []
        while heads and len(taken) < most:
            one = heads[0][1]
            queue = self._queues[one]
            taken.append(queue.popleft())
            if queue:
                heapq.heapreplace(heads, (queue[0].timestamp, one))
            elif one in expected:
                break
            else:
                heapq.heappop(heads)
        return taken


class _Keyed(msgspec.Struct):
    customer_id: Id


def customer_reader(mapping_name: str) -> Reader:
    """Return how to read the customer of a message under a mapping.

    Raises
    ------
    ConfigError
        The mapping is of CSV rows, or not usable.
    """
    mapping = named_mapping(mapping_name)
    if mapping.declared.contract:
        return _plain_customer
    if mapping.declared.format == "csv":
        raise ConfigError(
            f"--mapping: expected one of JSON messages, got {mapping_name}, of CSV rows; name"
            " another"
        )
    if mapping.declared.lookup:
        raise ConfigError(f"--mapping: expected one without lookup files, got {mapping_name}")
    reader = compile_mapping(mapping)

    def read(payload: bytes) -> str | None:
        events = [one for one in parse_row(reader, payload, 1) if isinstance(one, Event)]
        return events[0].customer_id if events else None

    return read


_KEYED: Final = msgspec.json.Decoder(_Keyed)


def _plain_customer(payload: bytes) -> str | None:
    try:
        return _KEYED.decode(payload).customer_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


@dataclass(frozen=True)
class Rekey:
    """What to copy.

    Attributes
    ----------
    until_end
        Stop at what is the end now; else go on with what arrives.
    append
        Whether the target may hold messages already at the first start.
    patience_s
        For one transaction; after that its producer is given up for a new one.
    """

    brokers: KafkaSettings
    source: str
    target: str
    read_customer: Reader
    until_end: bool = True
    append: bool = False
    per_transaction: int = PER_TRANSACTION
    patience_s: float = 30.0

    @property
    def identity(self) -> str:
        """Consumer group and transactional id: the same pair continues, another begins."""
        return f"segstream-rekey-{self.source}-{self.target}"


def rekey(
    plan: Rekey, report: Callable[[Copied], None], asked_to_stop: Callable[[], bool]
) -> Copied:
    """Copy until the end or a stop.

    Parameters
    ----------
    report
        Called after each transaction.

    Raises
    ------
    SegstreamError
        With the remedy; what is copied by then counts, and the next start goes on behind it.
    """
    with broker_errors(plan.brokers.bootstrap):
        partitions = _check(plan)
    ledger = Ledger()
    failures, before = 0, -1
    while True:
        try:
            with broker_errors(plan.brokers.bootstrap), _Copier(plan, partitions, ledger) as copier:
                copier.run(report, asked_to_stop)
                return ledger.copied
        except UnsettledError as error:
            failures = failures + 1 if ledger.copied.copied == before else 1
            before = ledger.copied.copied
            if failures == MOST_FAILURES or asked_to_stop():
                raise OutputError(
                    f"{plan.target}: expected a transaction to end within {plan.patience_s:g} s,"
                    f" got none in {failures} attempts; run the same command again when the"
                    " brokers are well: it goes on where it was"
                ) from error


def _check(plan: Rekey) -> tuple[int, int]:
    """Return the partitions of source and target."""
    if plan.source == plan.target:
        raise ConfigError(f"expected two topics, got {plan.source} twice; name a new target")
    with TopicAdmin(plan.brokers) as admin:
        found = admin.describe([plan.source, plan.target])
    for name in (plan.source, plan.target):
        if name not in found:
            raise ConfigError(f"expected the topic {name}, found none; create it first")
    return found[plan.source].partitions, found[plan.target].partitions


class _Copier:
    """Consumer, backlog and transactional producer of one copy."""

    def __init__(self, plan: Rekey, partitions: tuple[int, int], ledger: Ledger) -> None:
        self._plan, self._target_partitions = plan, partitions[1]
        self._each = [TopicPartition(plan.source, p) for p in range(partitions[0])]
        self._backlog = Backlog()
        self._ledger = ledger
        reached = connection(plan.brokers)
        self._producer = KafkaProducer(
            **reached, transactional_id=plan.identity, compression_type="lz4",
            linger_ms=5, batch_size=128 * 1024, max_request_size=_REQUEST_BYTES,
            retry_backoff_ms=20, reconnect_backoff_max_ms=_RECONNECT_MS,
            bootstrap_timeout_ms=BOOTSTRAP_MS,
        )  # fmt: skip
        self._consumer = KafkaConsumer(
            **reached, group_id=plan.identity, enable_auto_commit=False,
            isolation_level="read_committed", auto_offset_reset="none",
            max_partition_fetch_bytes=_FETCH_BYTES, max_poll_records=plan.per_transaction,
            reconnect_backoff_max_ms=_RECONNECT_MS, bootstrap_timeout_ms=BOOTSTRAP_MS,
        )  # fmt: skip

    def __enter__(self) -> "_Copier":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close(autocommit=False)
        with suppress(KafkaError):  # what is not settled now is settled by the next producer
            self._producer.close(timeout=1)

    def run(self, report: Callable[[Copied], None], asked_to_stop: Callable[[], bool]) -> None:
        """Copy; see `rekey`."""
        try:
            ends = self._begin()
            while not asked_to_stop():
                expected = self._poll(ends)
                records = self._backlog.take(self._plan.per_transaction, expected)
                if records:
                    self._copy(records)
                elif not expected:
                    if self._plan.until_end:
                        break
                    ends = self._consumer.end_offsets(self._each)
                self._ledger.copied.left = self._left(ends)
                report(self._ledger.copied)
        except ProducerFencedError as error:
            raise OutputError(
                f"expected to be the only copy of {self._plan.source} to {self._plan.target}, got"
                " another one that has started since; this one stops"
            ) from error

    def _begin(self) -> dict[TopicPartition, int]:
        """Settle what a killed copy left open, then go where the last transaction ended."""
        self._producer.init_transactions()
        self._consumer.assign(self._each)
        starts = self._consumer.beginning_offsets(self._each)
        ends: dict[TopicPartition, int] = self._consumer.end_offsets(self._each)
        known = {one: self._consumer.committed(one) for one in self._each}
        if all(offset is None for offset in known.values()):
            self._refuse_filled()
        positions = {one: starts[one] if known[one] is None else known[one] for one in self._each}
        self._ledger.settle(positions)
        for one, offset in positions.items():
            if not starts[one] <= offset <= ends[one]:
                raise StateError(
                    f"{one.topic}/{one.partition}: expected to go on at offset {offset}, the log"
                    f" goes from {starts[one]} to {ends[one]}: messages are gone, or it is another"
                    f" topic; copy into a new topic, or delete the group {self._plan.identity}"
                )
            self._consumer.seek(one, offset)
        # From here on the target may hold messages, also aborted ones, without being a stranger's.
        self._transact([], positions)
        return ends

    def _refuse_filled(self) -> None:
        target = [TopicPartition(self._plan.target, p) for p in range(self._target_partitions)]
        starts, ends = (
            self._consumer.beginning_offsets(target),
            self._consumer.end_offsets(target),
        )
        held = sum(ends[one] - starts[one] for one in target)
        if held and not self._plan.append:
            raise ConfigError(
                f"expected {self._plan.target} to be empty at the first start of a copy, it holds"
                f" {held:,} messages; name a new topic, or use --append"
            )

    def _poll(self, ends: dict[TopicPartition, int]) -> set[TopicPartition]:
        """Poll; returns the partitions of which more is to come before their ends."""
        full = [one for one in self._each if self._backlog.size(one) > _MOST_BUFFERED]
        self._consumer.pause(*full)
        self._backlog.put(self._consumer.poll(timeout_ms=_POLL_MS))
        self._consumer.resume(*full)
        return {one for one in self._each if self._consumer.position(one) < ends[one]}

    def _copy(self, records: Sequence[Any]) -> None:
        positions = {TopicPartition(r.topic, r.partition): r.offset + 1 for r in records}
        self._transact(records, positions)
        self._ledger.settle(positions)

    def _transact(self, records: Sequence[Any], positions: dict[TopicPartition, int]) -> None:
        """Send records and positions in one transaction, within the plan's patience."""
        counted = Copied()
        self._ledger.pending = positions, counted
        ended: list[Exception | None] = []

        def act() -> None:
            try:
                self._producer.begin_transaction()
                sent = [self._send(record, counted) for record in records]
                # A batch that fails while a commit is under way would leave kafka-python's
                # commit waiting forever: look at every message first.
                for future in sent:
                    if future is not None:
                        future.get()
                self._commit(positions)
                ended.append(None)
            except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
                with suppress(KafkaError):
                    self._producer.abort_transaction()
                ended.append(error)

        # When its coordinator goes away kafka-python 3.0 can wait forever, in calls that take no
        # timeout: so in a thread that can be left behind.
        thread = Thread(target=act, daemon=True)
        thread.start()
        thread.join(self._plan.patience_s)
        if not ended:
            raise UnsettledError
        if ended[0] is not None:
            self._failed(ended[0])

    def _failed(self, error: Exception) -> None:
        """Raise what a failed transaction means."""
        if any(isinstance(part, ProducerFencedError) for part in (error, *error.args)):
            raise ProducerFencedError from error
        if not isinstance(error, KafkaError):
            raise error
        if error.retriable:
            raise UnsettledError from error
        raise OutputError(
            f"{self._plan.target}: expected a transaction to commit, got {error}; mend that and"
            " run the same command again: it goes on where it was"
        ) from error

    def _send(self, record: Any, counted: Copied) -> Any:
        """Hand a message to the client; returns its future, None for one without anything."""
        customer = None if record.value is None else self._plan.read_customer(record.value)
        counted.unreadable += customer is None
        key = record.key if customer is None else customer_key(customer)
        if key is None and record.value is None:
            counted.empty += 1
            return None
        counted.copied += 1
        partition = None if key is None else partition_of(key, self._target_partitions)
        return self._producer.send(
            self._plan.target, record.value, key, list(record.headers), partition, record.timestamp
        )

    def _commit(self, positions: dict[TopicPartition, int]) -> None:
        offsets = {one: OffsetAndMetadata(offset, "", -1) for one, offset in positions.items()}
        self._producer.send_offsets_to_transaction(offsets, self._consumer.group_metadata())
        self._producer.commit_transaction()

    def _left(self, ends: dict[TopicPartition, int]) -> int:
        """Messages between what is copied and the ends."""
        return sum(
            max(0, ends[one] - self._consumer.position(one)) + self._backlog.size(one)
            for one in self._each
        )
