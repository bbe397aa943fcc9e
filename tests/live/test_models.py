"""`segstream models` on a real broker: looked at in the topic, commanded through evidence."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord
from deploy.local.local_stack import LocalStack
from tests.cli.test_commands import answer, ask
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import Roles, end
from tests.live.chaos.shop import BASE
from tests.live.messages import check_messages
from tests.live.test_trainer import EARLY, PATIENCE_S, TOML, days, kept, models, steady

from segstream.adapters.kafka_commands import CommandBook, command_key
from segstream.adapters.kafka_models import Record
from segstream.core.trainer_state import Command
from segstream.errors import SourceError, StateError
from segstream.kafka_settings import KafkaSettings

pytestmark = pytest.mark.slow


@pytest.fixture
def place(stack: LocalStack, namespace: str) -> Place:
    """Two partitions with the first twelve days of a shop."""
    kafka = KafkaSettings(
        bootstrap=stack.kafka, partitions=2, retention_days="forever", session_timeout_ms=4_000
    )
    settings = msgspec.structs.replace(BASE, namespace=namespace, batch_bytes=20_000, model=EARLY)
    made = Place(settings, kafka, stack.redis)
    made.create()
    made.send(days(0, 12))
    return made


@pytest.fixture
def roles(place: Place, tmp_path: Path) -> Iterator[Roles]:
    made = Roles(place, tmp_path, None, TOML)
    yield made
    made.close()


def test_commands_reach_the_trainer(place: Place, roles: Roles, tmp_path: Path) -> None:
    """A re-cluster and a rollback by command; a trainer killed between does not lose the second."""
    config = tmp_path / "segstream.toml"
    config.write_text(f'namespace = "{place.namespace}"\n[kafka]\npartitions = 2\n')
    where = ("--config", config, "--bootstrap", place.kafka.bootstrap)

    def told(*words: object) -> dict[str, Any]:
        return answer("models", *words, *where)

    assert told("list") == {"serving": None, "commands": [], "models": []}
    with pytest.raises(StateError, match="expected a model, got none yet"):
        ask("models", "rollback", *where)
    roles.add_trainer()
    roles.add("w")
    first = steady(place, roles)[-1]
    assert told("recluster", "--k", 4)["serves_until_then"] == first.version
    assert told("list")["commands"] == ["recluster"]
    place.send(days(12, 20))
    until(lambda: len(models(place)[-1].segments) == 4, PATIENCE_S, roles.check)
    second = steady(place, roles)[-1]
    assert second.generation == 2
    assert told("list")["commands"] == []
    assert not [key for key in kept(place) if key.startswith(b"command:")]
    end(roles.trainers.pop(), signal.SIGKILL)
    assert told("rollback")["serves_until_then"] == second.version
    assert [c for c in told("list")["commands"] if c.startswith("rollback to 1.")]
    roles.add_trainer()
    place.send(days(20, 25))
    until(lambda: models(place)[-1].generation == 3, PATIENCE_S, roles.check)
    found = steady(place, roles)
    back = next(m for m in found if m.generation == 3)
    former = [m for m in found if m.generation == 1][-1]
    assert (back.generation_reason, back.segments) == ("rollback", former.segments)
    assert [m.number for m in found] == list(range(1, len(found) + 1))
    rows = told("list")["models"]
    assert [row["reason"] for row in rows] == ["first", "recluster", "rollback"]
    assert told("show", "1")["version"] == former.version
    assert len(told("diff", "1", "2")["segments"]) >= 4
    assert check_messages(place)["command"] == 2


def test_a_company_brings_its_segments(place: Place, roles: Roles, tmp_path: Path) -> None:
    """Labels given while the roles run serve under their names; what fits nobody is refused."""
    config = tmp_path / "segstream.toml"
    config.write_text(f'namespace = "{place.namespace}"\n[kafka]\npartitions = 2\n')
    where = ("--config", config, "--bootstrap", place.kafka.bootstrap)
    shop = sorted({row.key.decode() for row in days(0, 12)})
    kinds = [f"{customer},{('Gold', 'Silver')[i % 2]}" for i, customer in enumerate(shop)]
    labels, odd = tmp_path / "labels.csv", tmp_path / "odd.csv"
    labels.write_text("\n".join(("customer_id,segment", *kinds, "")))
    odd.write_text("customer_id,segment\nstranger,Gold\nother,Silver\n")
    roles.add_trainer()
    roles.add("w")
    first = steady(place, roles)[-1]
    for path in (odd, labels):
        given = answer("models", "import", "--labels", path, *where)
        assert given["segments"] == ["Gold", "Silver"]
        assert given["serves_until_then"] == first.version
    waits = answer("models", "list", *where)["commands"]
    assert waits == ["import of 2 segments"] * 2
    assert not any(customer.encode() in body for body in kept(place).values() for customer in shop)
    odd.write_text("customer_id,segment\nstranger,Gold\n")
    with pytest.raises(SourceError, match="two segments or more"):
        ask("models", "import", "--labels", odd, *where)
    place.send(days(12, 20))
    until(lambda: models(place)[-1].generation == 2, PATIENCE_S, roles.check)
    found = steady(place, roles)[-1]
    assert {s.name for s in found.segments} == {"Gold", "Silver"}
    rows = answer("models", "list", *where)["models"]
    assert [row["trigger"] for row in rows] == ["", "import", "import"]
    assert "it knows none" in next(row["objection"] for row in rows if row["reason"] == "refused")


def test_no_such_namespace(place: Place) -> None:
    """A namespace without topics, and brokers that are not there, are told with the remedy."""
    where = ("--bootstrap", place.kafka.bootstrap, "--namespace", place.namespace + "x")
    with pytest.raises(StateError, match="check --namespace"):
        ask("models", "list", *where)
    with pytest.raises(SourceError, match=r"expected brokers at 127\.0\.0\.1:1,"):
        ask("models", "list", "--bootstrap", "127.0.0.1:1", "--namespace", place.namespace)


def record(name: str, value: bytes | None) -> Record:
    """A record of the evidence topic, as a consumer gives it."""
    return ConsumerRecord(
        "evidence", 0, 0, 0, 0, command_key(name), value, None, len(name), len(value or b""), ()
    )


def test_a_command_stands_until_it_is_taken() -> None:
    """Given twice it counts once, a tombstone takes it back, what nobody can read is spent."""
    book = CommandBook()
    body = msgspec.msgpack.encode(Command("recluster", 4))
    assert all(book.note(record(name, body)) for name in ("a", "b", "a"))
    assert book.note(record("b", None))
    assert book.waiting == (Command("recluster", 4),)
    assert book.note(record("c", b"no command"))
    assert book.take() == (Command("recluster", 4),)
    assert not book.take()
    assert not book.waiting
    assert book.spent() == [command_key("a"), command_key("c")]
    assert book.spent() == []
