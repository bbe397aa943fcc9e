"""The trainer on a real broker: one works, the others stand by and go on where it was killed."""

import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from deploy.local.local_stack import LocalStack
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import Roles, end
from tests.live.chaos.shop import BASE, Row, rows

from segstream.adapters.kafka_models import STATE_KEY
from segstream.adapters.memory import MemorySink, MemorySource, MemoryStore
from segstream.core.events import parse_json_lines
from segstream.core.model import Model
from segstream.engine import Engine
from segstream.kafka_settings import KafkaSettings

pytestmark = pytest.mark.slow

PATIENCE_S = 90.0
EARLY = msgspec.structs.replace(BASE.model, k=3, start="early", min_panel=40)
TOML = '[model]\nk = 3\nstart = "early"\nmin_panel = 40\n'


@pytest.fixture
def place(stack: LocalStack, namespace: str) -> Place:
    """Two partitions with the first twenty days of a shop."""
    kafka = KafkaSettings(
        bootstrap=stack.kafka, partitions=2, retention_days="forever", session_timeout_ms=4_000
    )
    settings = msgspec.structs.replace(BASE, namespace=namespace, batch_bytes=20_000, model=EARLY)
    made = Place(settings, kafka, stack.redis)
    made.create()
    made.send(days(0, 20))
    return made


@pytest.fixture
def roles(place: Place, tmp_path: Path) -> Iterator[Roles]:
    made = Roles(place, tmp_path, None, TOML)
    yield made
    made.close()


def days(start: int, stop: int) -> list[Row]:
    """Some days of a shop, all on time."""
    log = rows(150, 30, seed=31)
    began = log[0].time_ms
    return [row for row in log if start <= (row.time_ms - began) / 86_400_000 < stop]


def models(place: Place) -> list[Model]:
    """Every model that was published, in order."""
    found = [r for r in place.read(place.names.models) if r.key != STATE_KEY]
    for record in found:
        assert record.key == f"model:{msgspec.json.decode(record.value)['number']}".encode()
    return [msgspec.json.decode(record.value, type=Model) for record in found]


def steady(place: Place, roles: Roles) -> list[Model]:
    """The models, once no more have come for three seconds."""
    until(lambda: len(models(place)) > 0, PATIENCE_S, roles.check, place.where)
    while True:
        before = models(place)
        time.sleep(3.0)
        if len(models(place)) == len(before):
            return before


def embedded(log: list[Row], place: Place) -> list[Model]:
    """The models of the embedded engine over the same log."""
    store = MemoryStore()
    payloads = [row.value for row in log]
    engine = Engine(place.settings, store, MemorySink())
    engine.run(MemorySource(payloads, parse_json_lines(payloads), "shop"))
    return store.models()


def test_first_model(place: Place, roles: Roles) -> None:
    """The first model is the embedded engine's: evidence of all partitions adds up to its day."""
    roles.add_trainer()
    roles.add("w")
    first = steady(place, roles)[0]
    own = embedded(days(0, 20), place)[0]
    assert first.minute == own.minute
    assert msgspec.to_builtins(first) == msgspec.to_builtins(own)


def test_takeover(place: Place, roles: Roles) -> None:
    """After a SIGKILL of the active trainer another goes on with the next number, none twice."""
    trainers = [roles.add_trainer(), roles.add_trainer()]
    roles.add("w")
    before = steady(place, roles)
    assert before
    killed = time.monotonic()
    place.send(days(20, 25))
    end(trainers[0], signal.SIGKILL)
    roles.trainers.remove(trainers[0])
    until(lambda: len(models(place)) > len(before), PATIENCE_S, roles.check)
    print(f"a model {time.monotonic() - killed:.1f} s after the kill")
    end(trainers[1], signal.SIGKILL)
    roles.trainers.remove(trainers[1])
    place.send(days(25, 30))
    roles.add_trainer()
    between = len(models(place))
    until(lambda: len(models(place)) > between, PATIENCE_S, roles.check)
    numbers = [model.number for model in steady(place, roles)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert end(roles.trainers[0], signal.SIGTERM) == 0


def test_adoption(place: Place, roles: Roles) -> None:
    """Workers adopt a model at an instant, and say its number in the changes it makes."""
    roles.add_trainer()
    roles.add("w")
    steady(place, roles)
    place.send(days(20, 30))
    until(lambda: len(place.read(place.names.changes)) > 20, PATIENCE_S, roles.check)
    versions = {model.version for model in steady(place, roles)}
    changes = [msgspec.json.decode(r.value) for r in place.read(place.names.changes)]
    assert {change["data"]["model"] for change in changes} <= versions
    assert "first" in {change["data"]["reason"] for change in changes}


def kept(place: Place) -> dict[bytes, bytes]:
    """What compaction leaves of the evidence, sooner or later."""
    last = {r.key: r.value for r in place.read(place.names.evidence)}
    return {key: value for key, value in last.items() if value is not None}


def days_of(keys: Iterable[bytes], partition: int) -> list[int]:
    """Days of a partition's messages."""
    split = [key.decode().split(":") for key in keys]
    return sorted(int(day) for p, day in split if int(p) == partition)


def test_trainer_away(place: Place, tmp_path: Path) -> None:
    """Each day of each partition is kept until a trainer has closed it, and no longer."""
    roles = Roles(place, tmp_path, None, "trainer_wait_s = 0.5\n" + TOML)
    try:
        roles.add("w")
        place.wait(days(0, 20)[-1].time_ms // 60_000, PATIENCE_S, roles.check)
        waiting = kept(place)
        begun, stands = (days(0, 20)[i].time_ms // 86_400_000 for i in (0, -1))
        for partition in place.partitions:
            assert days_of(waiting, partition) == list(range(begun - 1, stands))
        roles.add_trainer()
        until(lambda: not kept(place), PATIENCE_S, roles.check)
        end(roles.trainers.pop(), signal.SIGKILL)
        own = embedded(days(0, 20), place)[0]
        assert msgspec.to_builtins(models(place)[0]) == msgspec.to_builtins(own)
        place.send(days(20, 22))
        until(lambda: bool(kept(place)), PATIENCE_S, roles.check)
        roles.add_trainer()
        until(lambda: not kept(place), PATIENCE_S, roles.check)
    finally:
        roles.close()


def test_evidence_is_told_again(place: Place, tmp_path: Path) -> None:
    """A trainer whom nothing reaches hears it again, and says its own last word once more.

    A broker that is killed may forget to mark a transaction that it has answered for: what is in
    it, and behind it, can be read when its producer has committed there again.
    """
    roles = Roles(place, tmp_path, None, "trainer_wait_s = 60.0\n" + TOML)
    with closing(roles):
        roles.add("w")

        def told() -> list[bytes]:
            return [r.key for r in place.read(place.names.evidence) if r.value is not None]

        # Nobody answers: each partition waits at its first day, and says it again and again.
        until(lambda: min(Counter(told()).values(), default=0) >= 2, PATIENCE_S, roles.check)
        assert not place.read(place.names.changes)
        roles.add_trainer()
        place.wait(days(0, 20)[-1].time_ms // 60_000, PATIENCE_S, roles.check)

        def states() -> list[bytes]:
            return [r.value for r in place.read(place.names.models) if r.key == STATE_KEY]

        # At the end: the last state twice, and of all evidence, the repeats too, nothing is left.
        until(lambda: states()[-2:] == states()[-1:] * 2, PATIENCE_S, roles.check)
        until(lambda: not kept(place), PATIENCE_S, roles.check)
        own = embedded(days(0, 20), place)
        assert msgspec.to_builtins(models(place)[0]) == msgspec.to_builtins(own[0])
        assert [m.number for m in models(place)] == list(range(1, len(models(place)) + 1))
