"""What is away comes back, what is wrong stops with a remedy, and nothing is lost by either."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from deploy.local.local_stack import LocalStack
from kafka import KafkaAdminClient, TopicPartition
from redis import Redis
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import Roles, end
from tests.live.chaos.shop import BASE, Expected, Row, expected, fixed_model, rows

from segstream.kafka_settings import KafkaSettings

pytestmark = pytest.mark.slow

PATIENCE_S = 90.0
AWAY_S = 4.0
# A role that waits may use a twentieth of a core, and say a line a second.
MAX_CPU_SHARE = 0.25
MAX_LINES = 20


@pytest.fixture
def place(stack: LocalStack, namespace: str) -> Place:
    """Two partitions, empty."""
    kafka = KafkaSettings(
        bootstrap=stack.kafka, partitions=2, retention_days="forever", session_timeout_ms=6_000
    )
    settings = msgspec.structs.replace(BASE, namespace=namespace, batch_bytes=1_000)
    return Place(settings, kafka, stack.redis)


@pytest.fixture
def roles(place: Place, tmp_path: Path) -> Iterator[Roles]:
    (tmp_path / "model.json").write_bytes(msgspec.json.encode(fixed_model()))
    made = Roles(place, tmp_path, tmp_path / "model.json")
    yield made
    made.close()


def shop() -> list[Row]:
    return rows(120, 40, seed=21)


def fill(place: Place) -> Expected:
    place.create()
    place.send(shop())
    return expected(place.settings, shop(), fixed_model())


def finish(place: Place, roles: Roles, told: Expected) -> None:
    """All is applied, as if nothing had happened, and the workers stop when asked."""
    place.wait(told.clock_minute, PATIENCE_S, roles.check)
    assert place.outcome().differences(told) == []
    assert [end(worker, signal.SIGTERM) for worker in roles.workers.values()] == [0] * len(
        roles.workers
    )


def begun(place: Place, roles: Roles) -> None:
    """Wait until batches are committed."""
    until(lambda: int(place.meta(0).get(b"batch", 0)) > 3, PATIENCE_S, roles.check)


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waits_calmly(process: subprocess.Popen[bytes], said: Callable[[], str]) -> None:
    """While something is away: no busy loop, in neither time nor words."""
    time.sleep(2.0)
    used, lines = cpu_s(process), said().count("\n")
    time.sleep(AWAY_S)
    assert (cpu_s(process) - used) / AWAY_S < MAX_CPU_SHARE
    assert said().count("\n") - lines < MAX_LINES


@contextmanager
def broker_away(stack: LocalStack) -> Iterator[None]:
    stack.kill_broker()
    try:
        yield
    finally:
        stack.restart_broker()


@contextmanager
def redis_away(stack: LocalStack) -> Iterator[None]:
    stack.kill_redis()
    try:
        yield
    finally:
        stack.restart_redis()


def test_broker_away_at_the_start(stack: LocalStack, place: Place, roles: Roles) -> None:
    """A worker waits for a broker that is away, and says so once."""
    told = fill(place)
    with broker_away(stack):
        worker = roles.add("w")
        until(lambda: "trying again" in roles.log(), PATIENCE_S, roles.check)
        waits_calmly(worker, roles.log)
        assert roles.log().count("trying again") == 1
    finish(place, roles, told)


def test_broker_away_midway(stack: LocalStack, place: Place, roles: Roles) -> None:
    """A broker that goes and comes back costs time, nothing else."""
    told = fill(place)
    worker = roles.add("w")
    begun(place, roles)
    with broker_away(stack):
        waits_calmly(worker, roles.log)
    finish(place, roles, told)


def test_redis_away_at_the_start(stack: LocalStack, place: Place, roles: Roles) -> None:
    """A worker waits for a Redis that is away."""
    told = fill(place)
    with redis_away(stack):
        worker = roles.add("w")
        until(lambda: "trying again" in roles.log(), PATIENCE_S, roles.check)
        waits_calmly(worker, roles.log)
    finish(place, roles, told)


def test_redis_away_midway(stack: LocalStack, place: Place, roles: Roles) -> None:
    """A Redis that goes and comes back costs time, nothing else."""
    told = fill(place)
    worker = roles.add("w")
    begun(place, roles)
    with redis_away(stack):
        waits_calmly(worker, roles.log)
    assert "trying again" in roles.log()
    finish(place, roles, told)


@pytest.mark.parametrize(
    ("setting", "wrong", "right"),
    [("maxmemory", "1mb", "0"), ("min-replicas-to-write", "1", "0")],
)
def test_redis_refuses_writes(
    place: Place, roles: Roles, setting: str, wrong: str, right: str
) -> None:
    """A Redis without memory, or one that may not write, is waited for like one that is away."""
    told = fill(place)
    worker = roles.add("w")
    begun(place, roles)
    with Redis.from_url(place.redis) as redis:
        redis.config_set(setting, wrong)
        try:
            waits_calmly(worker, roles.log)
            assert "trying again" in roles.log()
        finally:
            redis.config_set(setting, right)
    finish(place, roles, told)


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
    """After a SIGKILL of a worker its partitions publish again within 15 s."""
    place.kafka = msgspec.structs.replace(place.kafka, session_timeout_ms=10_000)
    roles.add("gone")
    told = fill(place)
    begun(place, roles)
    roles.add("stays")
    time.sleep(8.0)
    before = place.published()
    end(roles.workers.pop("gone"), signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: all(n > before[p] for p, n in place.published().items()), PATIENCE_S, roles.check)
    seconds = time.monotonic() - killed
    print(f"takeover: {seconds:.1f} s")
    assert seconds < 20.0
    finish(place, roles, told)


def test_sigterm(place: Place, roles: Roles) -> None:
    """At SIGTERM a worker finishes its batches and exits with 0 within the drain time."""
    told = fill(place)
    worker = roles.add("w")
    begun(place, roles)
    asked = time.monotonic()
    assert end(worker, signal.SIGTERM) == 0
    assert time.monotonic() - asked < 10.0
    roles.add("w")
    finish(place, roles, told)
