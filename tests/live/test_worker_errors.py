"""What is wrong stops a worker with the remedy, and nothing is lost by it."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from deploy.local.local_stack import LocalStack
from kafka import KafkaAdminClient, TopicPartition
from redis import Redis
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import Roles, end
from tests.live.chaos.shop import Expected, Row, expected, fixed_model
from tests.live.small_shop import PATIENCE_S, begun, fill, finish, place_of, roles_of, shop

pytestmark = pytest.mark.slow


@pytest.fixture
def place(stack: LocalStack, namespace: str) -> Place:
    """Two partitions, empty."""
    return place_of(stack.kafka, stack.redis, namespace)


@pytest.fixture
def roles(place: Place, tmp_path: Path) -> Iterator[Roles]:
    made = roles_of(place, tmp_path)
    yield made
    made.close()


def test_relaxed_redis(place: Place, roles: Roles) -> None:
    """A Redis that may lose a second is refused, unless asked for by name."""
    told = fill(place)
    with Redis.from_url(place.redis) as redis:
        redis.config_set("appendfsync", "everysec")
        try:
            refused = roles.add("w")
            assert refused.wait(PATIENCE_S) == 5
            assert "expected appendfsync always, got everysec" in roles.log()
            assert "Traceback" not in roles.log()
            roles.add("w", "--relaxed")
            finish(place, roles, told)
        finally:
            redis.config_set("appendfsync", "always")


def test_wrong_key(place: Place, roles: Roles) -> None:
    """A message whose key is not its customer stops the worker with the remedy."""
    place.create()
    row = shop()[0]
    place.send([Row(b"somebody", row.value, row.time_ms)])
    assert roles.add("w").wait(PATIENCE_S) == 4
    assert re.search("expected the customer id as the.*segstream-producers rekey", roles.log())


def test_wrong_partitioner(place: Place, roles: Roles) -> None:
    """A key on a partition that is not murmur2's stops the worker with the remedy."""
    place.create()
    place.send(shop()[:5], lambda row: 1 - place.partition_of(row))
    assert roles.add("w").wait(PATIENCE_S) == 4
    assert re.search("murmur2.*segstream-producers rekey", roles.log())


def test_any_partitioner(place: Place, tmp_path: Path) -> None:
    """Where the partitioner is `any`, a key may be anywhere."""
    told = fill_elsewhere(place)
    (tmp_path / "model.json").write_bytes(msgspec.json.encode(fixed_model()))
    roles = Roles(place, tmp_path, tmp_path / "model.json", 'partitioner = "any"\n')
    try:
        roles.add("w")
        finish(place, roles, told)
    finally:
        roles.close()


def fill_elsewhere(place: Place) -> Expected:
    place.create()
    place.send(shop(), lambda row: 1 - place.partition_of(row))
    return expected(place.settings, shop(), fixed_model())


def test_topic_made_anew(place: Place, roles: Roles) -> None:
    """A topic that was deleted and made anew stops the worker: its offsets mean nothing."""
    told = fill(place)
    roles.add("w")
    place.wait(told.clock_minute, PATIENCE_S, roles.check)
    admin = KafkaAdminClient(bootstrap_servers=place.kafka.bootstrap)
    admin.delete_topics([place.names.transactions])
    admin.close()
    time.sleep(1.0)
    place.create()
    place.send(shop()[:50])
    assert roles.workers["w"].wait(PATIENCE_S) == 5
    assert "the topic was made anew" in roles.log()


def test_log_cut(place: Place, roles: Roles) -> None:
    """A log that was cut beyond the stored offset stops the worker: events are missing."""
    fill(place)
    roles.add("w")
    begun(place, roles)
    roles.close()
    admin = KafkaAdminClient(bootstrap_servers=place.kafka.bootstrap)
    ends = {p: max(s.offset for s in place.sent if s.partition == p) for p in place.partitions}
    admin.delete_records({TopicPartition(place.names.transactions, p): n for p, n in ends.items()})
    admin.close()
    assert roles.add("w").wait(PATIENCE_S) == 5
    assert "a log that was cut or deleted" in roles.log()


def test_big_and_poison_messages(place: Place, roles: Roles) -> None:
    """An event of nearly a megabyte is applied; rubbish of that size is a dead letter, whole."""
    log = shop()
    event = msgspec.json.decode(log[-1].value) | {"event_id": "big", "city": "x" * 1_000_000}
    log.append(Row(log[-1].key, msgspec.json.encode(event), log[-1].time_ms))
    log.append(Row(log[-1].key, os.urandom(1_000_000), log[-1].time_ms))
    log.append(Row(log[-1].key, b"\x00\xff", log[-1].time_ms))
    place.create()
    place.send(log)
    told = expected(place.settings, log, fixed_model())
    roles.add("w")
    finish(place, roles, told)
    values = [letter.value for letter in place.outcome().dead]
    assert log[-1].value in values
    assert log[-2].value in values


def test_takeover(place: Place, roles: Roles) -> None:
    """After a SIGKILL of a worker its partitions publish again."""
    place.kafka = msgspec.structs.replace(place.kafka, session_timeout_ms=10_000)
    roles.add("gone")
    told = fill(place)
    begun(place, roles)
    roles.add("stays")
    until(lambda: place.members() == {"gone", "stays"}, PATIENCE_S, roles.check)
    before = place.published()
    end(roles.workers.pop("gone"), signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: all(n > before[p] for p, n in place.published().items()), PATIENCE_S, roles.check)
    print(f"takeover: {time.monotonic() - killed:.1f} s")
    finish(place, roles, told)


def test_sigterm(place: Place, roles: Roles) -> None:
    """At SIGTERM a worker finishes its batches and exits with 0."""
    told = fill(place)
    worker = roles.add("w")
    begun(place, roles)
    assert end(worker, signal.SIGTERM) == 0
    roles.add("w")
    finish(place, roles, told)
