"""Real Kafka and Redis: one stack a session, topics of their own for each test."""

import gc
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from deploy.local.local_stack import LocalStack
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from tests.needed import running

from segstream.adapters.kafka_topics import Topic, TopicAdmin

Records = list[Any]
_HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Kafka and Redis; skips where one is not installed, fails in CI."""
    with running(LocalStack(tmp_path_factory.mktemp("live") / "stack")) as local:
        yield local


@pytest.fixture(autouse=True)
def _leaked_sockets() -> Iterator[None]:
    """kafka-python 3.0 leaves sockets that could not connect to the garbage collector."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The same while a test runs."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


@pytest.fixture
def namespace() -> str:
    """A namespace nobody else uses."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def make_topic(stack: LocalStack, namespace: str) -> Callable[..., str]:
    """Create a topic, and return its full name."""

    def make(name: str, partitions: int = 3, **configs: str) -> str:
        full = f"{namespace}.{name}"
        dotted = {key.replace("_", "."): value for key, value in configs.items()}
        with TopicAdmin(stack.kafka) as admin:
            admin.create([Topic(full, partitions, 1, {"retention.ms": "-1"} | dotted)])
        return full

    return make


@pytest.fixture
def read_topic(stack: LocalStack) -> Callable[[str], Records]:
    """Read all committed records of a topic, partition by partition."""

    def read(topic: str) -> Records:
        consumer = KafkaConsumer(
            bootstrap_servers=stack.kafka, isolation_level="read_committed",
            auto_offset_reset="earliest", enable_auto_commit=False,
        )  # fmt: skip
        try:
            each = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
            consumer.assign(each)
            ends = consumer.end_offsets(each)
            found: Records = []
            while any(consumer.position(one) < ends[one] for one in each):
                for records in consumer.poll(timeout_ms=200).values():
                    found += records
        finally:
            consumer.close()
        return sorted(found, key=lambda r: (r.partition, r.offset))

    return read


@pytest.fixture
def fill_topic(stack: LocalStack) -> Callable[..., None]:
    """Send (key, value, epoch ms) to a topic."""

    def fill(topic: str, messages: Sequence[tuple[bytes | None, bytes | None, int]]) -> None:
        producer = KafkaProducer(bootstrap_servers=stack.kafka, linger_ms=5)
        try:
            sent = [
                producer.send(topic, value, key, timestamp_ms=at) for key, value, at in messages
            ]
            for one in sent:
                one.get(timeout=30)
        finally:
            producer.close()

    return fill
