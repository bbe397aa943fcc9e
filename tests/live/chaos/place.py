"""A namespace of its own on a real broker and a real Redis: filled, awaited, looked at."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.partitioner.default import murmur2
from redis import Redis
from redis.exceptions import RedisError
from tests.live.chaos.shop import Expected, Row

from segstream.adapters import redis_keys
from segstream.adapters.kafka_topics import TopicAdmin, wanted_topics
from segstream.adapters.redis_store import LogOutbox
from segstream.core.partition import PartitionMeta
from segstream.kafka_settings import KafkaSettings
from segstream.settings import Settings

POLL_S: Final = 0.2


@dataclass(frozen=True)
class Sent:
    """A message where it came to stand."""

    partition: int
    offset: int
    row: Row


@dataclass
class Outcome:
    """What a run left behind."""

    records: dict[str, bytes] = field(default_factory=dict)
    changes: list[Any] = field(default_factory=list)
    dead: list[Any] = field(default_factory=list)
    metas: dict[int, PartitionMeta] = field(default_factory=dict)

    def total(self, name: str) -> int:
        """Sum of a counter over all partitions."""
        return sum(getattr(meta, name) for meta in self.metas.values())

    def differences(self, expected: Expected) -> list[str]:
        """In what it is not the undisturbed run; empty where it is."""
        bodies = sorted(record.value for record in self.changes)
        ids = Counter(json.loads(body)["id"] for body in bodies)
        places = Counter(dict(r.headers)["place"] for r in self.dead)
        found = {
            "duplicate ids": sum(n - 1 for n in ids.values()),
            "duplicate dead letters": sum(n - 1 for n in places.values()),
            "lost changes": len(set(expected.changes) - set(bodies)),
            "invented changes": len(set(bodies) - set(expected.changes)),
            "lost records": len(expected.records.keys() - self.records.keys()),
            "invented records": len(self.records.keys() - expected.records.keys()),
            "other records": sum(
                expected.records[c] != blob
                for c, blob in self.records.items()
                if c in expected.records
            ),
            "gaps in sequences": gaps(bodies),
            "dead letters": len(self.dead) - expected.counts["dead"],
        }
        found |= {name: self.total(name) - n for name, n in expected.counts.items()}
        return [f"{name}: {n}" for name, n in found.items() if n]


def gaps(bodies: Sequence[bytes]) -> int:
    """How many changes lack the one before it; after an erasure a customer begins anew."""
    seen = Counter((c["subject"], int(c["data"]["sequence"])) for c in map(json.loads, bodies))
    return sum(n > 1 and not seen[customer, n - 1] for customer, n in seen)


class Place:
    """Topics, keys and group of one namespace."""

    def __init__(self, settings: Settings, kafka: KafkaSettings, redis: str) -> None:
        self.settings, self.kafka, self.redis = settings, kafka, redis
        self.namespace = settings.namespace
        self.names = kafka.topics(self.namespace)
        self.partitions = range(kafka.partitions)
        self.sent: list[Sent] = []

    def create(self) -> None:
        """Create the topics."""
        with TopicAdmin(self.kafka.bootstrap) as admin:
            admin.create(wanted_topics(self.kafka, self.namespace, 91.0))

    def send(
        self, rows: Sequence[Row], partition_of: Callable[[Row], int] | None = None
    ) -> list[Sent]:
        """Send rows in order, each to the partition of its key unless told otherwise."""
        place = partition_of or self.partition_of
        producer = KafkaProducer(
            bootstrap_servers=self.kafka.bootstrap, linger_ms=5, max_request_size=4 << 20
        )
        try:
            futures = [
                producer.send(
                    self.names.transactions, row.value, row.key, partition=place(row),
                    timestamp_ms=row.time_ms,
                )
                for row in rows
            ]  # fmt: skip
            found = [f.get(timeout=60) for f in futures]
        finally:
            producer.close()
        sent = [Sent(f.partition, f.offset, r) for f, r in zip(found, rows, strict=True)]
        self.sent += sent
        return sent

    def partition_of(self, row: Row) -> int:
        """Where the Java client and kafka-python put a key."""
        return int(murmur2(row.key) & 0x7FFFFFFF) % self.kafka.partitions

    # ---- waiting -----------------------------------------------------------------------

    def wait(
        self, clock_minute: int, patience_s: float, alive: Callable[[], None] = lambda: None
    ) -> None:
        """Wait until everything sent is applied and published, and all clocks are there."""
        until(lambda: not self.missing(clock_minute), patience_s, alive, self.where)

    def missing(self, clock_minute: int) -> list[int]:
        """Partitions that are not done; all of them while Redis or the broker does not answer."""
        ends = Counter(dict.fromkeys(self.partitions, 0))
        for sent in self.sent:
            ends[sent.partition] = max(ends[sent.partition], sent.offset + 1)
        try:
            metas = {p: self.meta(p) for p in self.partitions}
        except (RedisError, OSError):
            return list(self.partitions)
        waiting = [p for p in self.partitions if not _done(metas[p], ends[p], clock_minute)]
        if waiting:
            return waiting
        try:
            published = self.published()
        except KafkaError:
            return list(self.partitions)
        return [
            p for p in self.partitions
            if _outbox(metas[p]) != LogOutbox() and published[p] < int(metas[p][redis_keys.BATCH])
        ]  # fmt: skip

    def meta(self, partition: int) -> dict[bytes, bytes]:
        """The meta hash of a partition."""
        with Redis.from_url(self.redis) as redis:
            found: dict[bytes, bytes] = redis.hgetall(redis_keys.meta(self.namespace, partition))
        return found

    def published(self) -> dict[int, int]:
        """Number of the last published batch of each partition."""
        group = self.kafka.workers_group(self.namespace)
        each = [TopicPartition(self.names.transactions, p) for p in self.partitions]
        admin = KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        try:
            found = admin.list_group_offsets({group: each})[group]
        finally:
            admin.close()
        return {
            tp.partition: int(held.metadata.split()[0]) if held.offset >= 0 else 0
            for tp, held in found.items()
        }

    def members(self) -> set[str]:
        """Instance names of the workers' group."""
        return {str(member["group_instance_id"]) for member in self._described()["members"]}

    def holders(self) -> set[str]:
        """Instance names of the workers that hold partitions; nobody while they are shared out."""
        found = self._described()
        if found["group_state"] != "Stable":
            return set()
        return {str(m["group_instance_id"]) for m in found["members"] if m["member_assignment"]}

    def _described(self) -> dict[str, Any]:
        group = self.kafka.workers_group(self.namespace)
        admin = KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        try:
            found: dict[str, Any] = admin.describe_groups([group])[group]
        finally:
            admin.close()
        return found

    def where(self) -> str:
        """Where each partition stands, for messages."""
        metas = {p: self.meta(p) for p in self.partitions}
        return str({p: (m.get(b"offset"), _state(m).clock_minute) for p, m in metas.items()})

    # ---- looking -----------------------------------------------------------------------

    def outcome(self) -> Outcome:
        """Read everything that is there."""
        found = Outcome(
            changes=self.read(self.names.changes), dead=self.read(self.names.dead_letters)
        )
        with Redis.from_url(self.redis) as redis:
            for p in self.partitions:
                found.metas[p] = _state(self.meta(p))
                head = redis_keys.record(self.namespace, p, "").encode()
                for key in redis.scan_iter(match=head + b"*", count=1000):
                    customer = key[len(head) :].decode()
                    assert customer not in found.records
                    found.records[customer] = redis.get(key)
        return found

    def read(self, topic: str) -> list[Any]:
        """All committed records of a topic."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap, isolation_level="read_committed",
            auto_offset_reset="earliest", enable_auto_commit=False,
        )  # fmt: skip
        try:
            each = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
            consumer.assign(each)
            ends = consumer.end_offsets(each)
            found: list[Any] = []
            while any(consumer.position(one) < ends[one] for one in each):
                for records in consumer.poll(timeout_ms=200).values():
                    found += records
        finally:
            consumer.close()
        return found


def until(
    fact: Callable[[], bool],
    patience_s: float,
    alive: Callable[[], None] = lambda: None,
    where: Callable[[], str] = lambda: "",
) -> None:
    """Poll until something is so."""
    deadline = time.monotonic() + patience_s
    while not fact():
        alive()
        assert time.monotonic() < deadline, f"not after {patience_s} s: {where()}"
        time.sleep(POLL_S)


def _done(meta: dict[bytes, bytes], end: int, clock_minute: int) -> bool:
    return int(meta.get(redis_keys.OFFSET, 0)) >= end and _state(meta).clock_minute >= clock_minute


def _state(meta: dict[bytes, bytes]) -> PartitionMeta:
    held = meta.get(redis_keys.STATE)
    return PartitionMeta() if held is None else msgspec.msgpack.decode(held, type=PartitionMeta)


def _outbox(meta: dict[bytes, bytes]) -> LogOutbox:
    held = meta.get(redis_keys.OUTBOX)
    return LogOutbox() if held is None else msgspec.msgpack.decode(held, type=LogOutbox)
