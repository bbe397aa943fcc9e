"""A replay with a trainer that learns gets each model on the day it was made for."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from deploy.local.local_stack import LocalStack
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import Roles, end
from tests.live.chaos.shop import BASE, Expected, Row, expected, rows
from tests.live.messages import check_messages

from segstream.adapters.kafka_clients import new_producer
from segstream.adapters.kafka_models import STATE_KEY
from segstream.kafka_settings import KafkaSettings

pytestmark = pytest.mark.slow

PATIENCE_S = 120.0
EARLY = msgspec.structs.replace(BASE.model, k=3, start="early", min_panel=40)
TOML = '[model]\nk = 3\nstart = "early"\nmin_panel = 40\n'
WAIT_S = 4.0
KINDS = (
    "event", "change", "current-segment", "tombstone", "dead-letter-headers", "model",
    "trainer-state", "evidence",
)  # fmt: skip


def make(stack: LocalStack, namespace: str, partitions: int) -> Place:
    """A namespace whose partitions are empty."""
    kafka = KafkaSettings(
        bootstrap=stack.kafka, partitions=partitions, retention_days="forever",
        session_timeout_ms=4_000,
    )  # fmt: skip
    settings = msgspec.structs.replace(BASE, namespace=namespace, batch_bytes=20_000, model=EARLY)
    made = Place(settings, kafka, stack.redis)
    made.create()
    return made


@pytest.fixture
def place(stack: LocalStack, namespace: str) -> Place:
    """Three partitions."""
    return make(stack, namespace, 3)


@pytest.fixture
def roles(place: Place, tmp_path: Path) -> Iterator[Roles]:
    made = Roles(place, tmp_path, None, f"trainer_wait_s = {WAIT_S}\n" + TOML)
    yield made
    made.close()


@pytest.fixture
def patient(place: Place, tmp_path: Path) -> Iterator[Roles]:
    """Roles that wait for the trainer for as long as the test lasts."""
    made = Roles(place, tmp_path, None, f"trainer_wait_s = {PATIENCE_S}\n" + TOML)
    yield made
    made.close()


def shop() -> list[Row]:
    """Returns, duplicates, late and bad events, erasures, over seven weeks."""
    return rows(150, 50, seed=31)


def learned(place: Place, log: list[Row]) -> Expected:
    """What the embedded engine comes to, with a trainer of its own."""
    return expected(place.settings, log, None)


def published(place: Place) -> list[int]:
    """Minutes of all models, in order."""
    found = [r for r in place.read(place.names.models) if r.key != STATE_KEY]
    return [msgspec.json.decode(r.value)["minute"] for r in found]


def seconds_a_day(place: Place) -> float:
    """Between the trainer's answers."""
    times = [r.timestamp for r in place.read(place.names.models) if r.key == STATE_KEY]
    return float(times[-1] - times[0]) / 1000 / (len(times) - 1)


def finish(place: Place, roles: Roles, told: Expected) -> None:
    place.wait(told.clock_minute, PATIENCE_S, roles.check)
    assert place.outcome().differences(told) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_equal_to_the_embedded_run(place: Place, roles: Roles, workers: int) -> None:
    """At full speed, with models made on the way, the bytes are those of the embedded engine.

    Each message on the way is what its contract says.
    """
    told = learned(place, shop())
    place.send(shop())
    roles.add_trainer()
    for number in range(workers):
        roles.add(f"w{number}")
    finish(place, roles, told)
    print(f"{seconds_a_day(place):.2f} s a day")
    assert len(published(place)) > 20
    assert len(told.changes) > 100
    if workers == 1:
        kinds = check_messages(place)
        assert all(kinds[name] > 0 for name in KINDS), kinds
        assert kinds["change"] == len(told.changes)
    assert "trainer: no progress" not in roles.log()


def test_idle_partitions(place: Place, roles: Roles) -> None:
    """Partitions without an event, or none any more, hold up no day."""
    early = min(row.time_ms for row in shop()) + 20 * 86_400_000
    log = [r for r in shop() if place.partition_of(r) == 0]
    log += [r for r in shop() if place.partition_of(r) == 1 and r.time_ms < early]
    log.sort(key=lambda row: row.time_ms)
    told = learned(place, log)
    place.send(log)
    roles.add_trainer()
    roles.add("w")
    finish(place, roles, told)
    assert len(published(place)) > 20


def test_killed_in_a_wait(place: Place, roles: Roles) -> None:
    """A worker and a trainer that die and come back change nothing in the end."""
    told = learned(place, shop())
    place.send(shop())
    roles.add_trainer()
    roles.add("w")
    for count in (3, 8, 15):
        until(lambda n=count: len(published(place)) > n, PATIENCE_S, roles.check)  # type: ignore[misc]
        end(roles.workers.pop("w"), signal.SIGKILL)
        end(roles.trainers.pop(), signal.SIGKILL)
        roles.add_trainer()
        roles.add("w")
    finish(place, roles, told)


def learning(place: Place, roles: Roles, counts: tuple[int, ...]) -> Iterator[int]:
    """Begin a replay with a trainer; yields whenever more than so many models are published."""
    place.send(shop())
    roles.add_trainer()
    roles.add("w")
    for count in counts:
        until(lambda n=count: len(published(place)) > n, PATIENCE_S, roles.check)  # type: ignore[misc]
        yield count


def test_broker_killed_on_the_way(stack: LocalStack, place: Place, patient: Roles) -> None:
    """A broker that dies in the middle, whatever it had promised, changes nothing in the end."""
    told = learned(place, shop())
    for _ in learning(place, patient, (3, 15)):
        stack.kill("kafka")
        stack.restart("kafka")
    finish(place, patient, told)


def test_evidence_refused(place: Place, patient: Roles) -> None:
    """A partition whose evidence the broker refuses claims again: no trainer could answer."""
    told = learned(place, shop())
    for _ in learning(place, patient, (3, 8)):
        asyncio.run(fence(place, 0))
    finish(place, patient, told)


async def fence(place: Place, partition: int) -> None:
    """Make the worker's producer of a partition an old one."""
    producer = new_producer(place.kafka, f"{place.namespace}-worker-{partition}")
    await producer.start()
    await producer.stop()


def test_without_a_trainer(place: Place, roles: Roles) -> None:
    """Without a trainer a replay waits once, says so once, and ends; one that comes is followed."""
    log = shop()
    place.send(log[: len(log) // 2])
    roles.add("w")
    place.wait(log[len(log) // 2 - 1].time_ms // 60_000, PATIENCE_S, roles.check)
    assert roles.log().count("trainer: no progress") == 1
    assert not place.read(place.names.changes)
    roles.add_trainer()
    until(lambda: len(published(place)) > 0, PATIENCE_S, roles.check)
    place.send(log[len(log) // 2 :])
    place.wait(log[-1].time_ms // 60_000, PATIENCE_S, roles.check)
    assert len(place.read(place.names.changes)) > 20
