"""A namespace on the local stack for measuring: feeds, workers as processes, progress, CPU.

The broker, Redis and the workers share the machine's cores, as they do on a small server.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, cast

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer
from deploy.local.local_stack import LocalStack
from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError
from kafka.partitioner.default import murmur2
from redis import Redis
from tests.live.chaos.place import Place
from tests.live.chaos.roles import Roles, end

from benchmarks import synthetic
from segstream.adapters import redis_keys
from segstream.adapters.kafka_topics import Topic, TopicAdmin
from segstream.adapters.memory import MemorySink, MemoryStore
from segstream.core.model import Model
from segstream.engine import Engine
from segstream.kafka_settings import KafkaSettings
from segstream.settings import Settings

PARTITIONS: Final = 6
# A worker is held with SIGSTOP while its backlog is written, and must stay a member meanwhile.
HELD_SESSION_MS: Final = 60_000
PATIENCE_S: Final = 300.0
_POLL_S: Final = 0.02
_TICKS: Final = os.sysconf("SC_CLK_TCK")
# Twenty segments and no margin: about one change for five events (the rows say how many).
SEGMENTS: Final = 20
SETTINGS: Final = msgspec.structs.replace(
    synthetic.STEADY, policy=msgspec.structs.replace(synthetic.STEADY.policy, margin=0.0)
)
_MODEL_DAYS: Final = 10.0

Message = tuple[int, bytes, bytes, int]
"""Partition, key, value, epoch ms."""


@cache
def fixed_model() -> Model:
    """A model of `SEGMENTS` segments, from ten days of five thousand shoppers."""
    early = msgspec.structs.replace(
        SETTINGS.model, k=SEGMENTS, start="early", min_panel=synthetic.SHAPES * 4 // 5
    )
    engine = Engine(msgspec.structs.replace(SETTINGS, model=early), MemoryStore(), MemorySink())
    n = synthetic.SHAPES * 12
    found = synthetic.orders(n, synthetic.SHAPES, synthetic.START_MS, _MODEL_DAYS, synthetic.SEED)
    engine.run(synthetic.replay_of(synthetic.events(found, "model"), "model"))
    model = engine.partition.model
    assert model is not None
    return model


def partition_of(key: bytes) -> int:
    """Where the Java client and kafka-python put a key."""
    return int(murmur2(key) & 0x7FFFFFFF) % PARTITIONS


def messages(found: synthetic.Orders, label: str) -> list[Message]:
    """Orders as messages, by time."""
    names = [synthetic.customer_id(who).encode() for who in range(int(found.customer.max()) + 1)]
    places = np.array([partition_of(name) for name in names])[found.customer].tolist()
    lines = synthetic.lines(found, label)
    columns = (places, found.customer.tolist(), lines, found.time_ms.tolist())
    return [(p, names[who], line, ms) for p, who, line, ms in zip(*columns, strict=True)]


def fill(bootstrap: str, topic: str, feed: Sequence[Message]) -> None:
    """Write messages, each partition in order; returns when the broker has them."""
    asyncio.run(_fill(bootstrap, topic, feed))


async def _fill(bootstrap: str, topic: str, feed: Sequence[Message]) -> None:
    # Whole batches: 4 us a message instead of 12 to 17 for `send`.
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=256 * 1024)
    await producer.start()
    try:
        open_batches = {p: producer.create_batch() for p in range(PARTITIONS)}
        waiting = []
        for p, key, value, ms in feed:
            batch = open_batches[p]
            if batch.append(key=key, value=value, timestamp=ms) is None:
                waiting.append(await producer.send_batch(batch, topic, partition=p))
                open_batches[p] = batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=ms)
        for p, batch in open_batches.items():
            if batch.record_count():
                waiting.append(await producer.send_batch(batch, topic, partition=p))
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()


def redis_version() -> str:
    """Version of the Redis server that the stack starts."""
    told = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True)
    return told.stdout.partition("v=")[2].split()[0]


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def family_cpu_s(pid: int) -> float:
    """CPU seconds so far of a process and of the processes that it has started and keeps."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return cpu_s(pid) + sum(map(cpu_s, children))


@dataclass(frozen=True)
class Bench:
    """A stack, and a folder for what its roles say."""

    stack: LocalStack
    folder: Path

    def shop(self, settings: Settings = SETTINGS, session_ms: int = HELD_SESSION_MS) -> "Shop":
        """Make a new namespace with its topics."""
        settings = msgspec.structs.replace(settings, namespace=f"bench{uuid.uuid4().hex[:8]}")
        kafka = KafkaSettings(
            bootstrap=self.stack.kafka, partitions=PARTITIONS, retention_days="forever",
            session_timeout_ms=session_ms,
        )  # fmt: skip
        place = Place(settings, kafka, self.stack.redis)
        place.create()
        return Shop(self, place)


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    """Start the stack; gone after."""
    with tempfile.TemporaryDirectory(prefix="segstream-bench-") as name:
        folder = Path(name)
        with LocalStack(folder / "stack") as stack:
            yield Bench(stack, folder)


class Shop:
    """One namespace: its feed, its workers and how far they are."""

    def __init__(self, made: Bench, place: Place) -> None:
        self._bench, self.place = made, place
        self.redis = Redis.from_url(place.redis)
        self.redis.flushall()  # the sizes that are measured are of this namespace alone
        self._admin = KafkaAdminClient(bootstrap_servers=place.kafka.bootstrap)
        self._ends = dict.fromkeys(place.partitions, 0)
        model = made.folder / "model.json"
        model.write_bytes(msgspec.json.encode(fixed_model()))
        extra = f"[policy]\nmargin = {place.settings.policy.margin}\n"
        self.roles = Roles(place, made.folder, model, extra)

    @property
    def topic(self) -> str:
        """The topic of transactions."""
        return self.place.names.transactions

    def send(self, feed: Sequence[Message]) -> None:
        """Write messages to the topic."""
        fill(self.place.kafka.bootstrap, self.topic, feed)
        for p, _, _, _ in feed:
            self._ends[p] += 1

    def create(self, topic: str) -> None:
        """Create one more topic, with as many partitions."""
        with TopicAdmin(self.place.kafka.bootstrap) as admin:
            admin.create([Topic(topic, PARTITIONS, 1, {"retention.ms": "-1"})])

    def start(self, workers: int) -> None:
        """Start workers and wait until all of them have partitions."""
        for number in range(workers):
            self.roles.add(f"w{number}")
        self.until(lambda: len(self.place.holders()) == workers)

    def tell(self, number: signal.Signals) -> None:
        """Signal all workers."""
        for process in self.roles.workers.values():
            process.send_signal(number)

    def restart(self, name: str) -> None:
        """Start a worker that has ended, under its name."""
        self.roles.add(name)

    def end(self, name: str, number: signal.Signals) -> None:
        """End a worker with a signal."""
        end(self.roles.workers.pop(name), number)

    # ---- how far -----------------------------------------------------------------------

    def offsets(self) -> dict[int, int]:
        """Position of each partition in Redis."""
        pipe = self.redis.pipeline(transaction=False)
        for p in self.place.partitions:
            pipe.hget(redis_keys.meta(self.place.namespace, p), redis_keys.OFFSET.decode())
        return {p: int(held or 0) for p, held in enumerate(pipe.execute())}

    def published(self) -> dict[int, int]:
        """Offset of each partition in its last published transaction."""
        group = self.place.kafka.workers_group(self.place.namespace)
        each = [TopicPartition(self.topic, p) for p in self.place.partitions]
        found = self._admin.list_group_offsets({group: each})[group]
        return {tp.partition: held.offset for tp, held in found.items()}

    def epochs(self) -> dict[int, bytes | None]:
        """Epoch of each partition: another one after every claim."""
        keys = [redis_keys.meta(self.place.namespace, p) for p in self.place.partitions]
        held = (self.redis.hget(key, redis_keys.EPOCH.decode()) for key in keys)
        return {p: cast("bytes | None", epoch) for p, epoch in enumerate(held)}

    def drained(self) -> bool:
        """Whether everything sent is committed in Redis and published in Kafka."""
        return self.offsets() == self._ends and self.published() == self._ends

    def until(self, fact: Callable[[], bool], poll_s: float = _POLL_S) -> float:
        """Wait until something is so; returns when."""
        deadline = time.monotonic() + PATIENCE_S
        for count in itertools.count():
            with contextlib.suppress(KafkaError):  # a coordinator that is still loading
                if fact():
                    return time.monotonic()
            if count % 50 == 0:
                self.roles.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"not after {PATIENCE_S} s: {self.offsets()} of {self._ends}")
            time.sleep(poll_s)
        raise AssertionError

    def changes(self) -> int:
        """Changes published so far; offsets of a transaction's markers are not counted."""
        return len(self.place.read(self.place.names.changes))

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far by role."""
        workers = sum(cpu_s(process.pid) for process in self.roles.workers.values())
        stack = self._bench.stack
        redis, broker = cpu_s(stack.pid("redis")), cpu_s(stack.pid("kafka"))
        return {"worker": workers, "redis": redis, "broker": broker}

    def close(self) -> None:
        """End the workers; a killed one would leave Faust's folder behind."""
        self.tell(signal.SIGCONT)
        try:
            for name in list(self.roles.workers):
                self.end(name, signal.SIGTERM)
        finally:
            self.roles.close()
        self._admin.close()
        self.redis.close()


def peer(module: str, *arguments: str) -> dict[str, float]:
    """Run a peer to its end; returns what it counted."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.peers.{module}", *arguments],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, float] = msgspec.json.decode(done.stdout.splitlines()[-1])
    return found
