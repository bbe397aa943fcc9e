"""`segstream dead-letters`: what was bad is sent again after a fix, each once."""

import contextlib
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from deploy.local.local_stack import LocalStack
from tests.live.chaos.crew import Crew
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import config_text
from tests.live.chaos.shop import BASE, Row
from tests.live.small_shop import PATIENCE_S

from segstream.adapters import redis_keys
from segstream.cli import segstream
from segstream.errors import SourceError, StateError
from segstream.kafka_settings import KafkaSettings

pytestmark = pytest.mark.slow

BEGIN_MS = 1_700_000_000_000
KILLED = """
import asyncio, os, signal, sys
from segstream.adapters.kafka_replay import DeadLetterTopic
from segstream.cli.roles import role_settings
from pathlib import Path

class Killed(DeadLetterTopic):
    async def _transact(self, producer, code, tp, position, chosen):
        await producer.begin_transaction()
        for record in chosen:
            await producer.send_and_wait(
                self._names.transactions, record.value, key=record.key, partition=tp.partition
            )
        os.kill(os.getpid(), signal.SIGKILL)

settings = role_settings(Path(sys.argv[1]), sys.argv[2], None)
asyncio.run(Killed(settings).replay("wrong_currency"))
"""


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    with contextlib.closing(Crew(tmp_path_factory.mktemp("letters"))) as made:
        yield made
        made.clear()


@pytest.fixture
def place(stack: LocalStack, namespace: str) -> Place:
    """Two partitions of a namespace in dollars."""
    kafka = KafkaSettings(bootstrap=stack.kafka, partitions=2, retention_days="forever")
    made = Place(msgspec.structs.replace(BASE, namespace=namespace), kafka, stack.redis)
    made.create()
    return made


def row(n: int, currency: str) -> Row:
    key = f"C{n % 12}".encode()
    event = {
        "event_id": f"e{n}", "customer_id": key.decode(), "ts": BEGIN_MS + n * 60_000,
        "type": "purchase", "amount": 5.0, "currency": currency,
    }  # fmt: skip
    return Row(key, msgspec.json.encode(event), BEGIN_MS + n * 60_000)


def work(crew: Crew, place: Place) -> None:
    """Let a worker apply all that is in the topic."""
    ends = Counter(dict.fromkeys(place.partitions, 0))
    for record in place.read(place.names.transactions):
        ends[record.partition] = max(ends[record.partition], record.offset + 1)
    pid = crew.start(place, instance="w")
    until(
        lambda: all(int(place.meta(p).get(redis_keys.OFFSET, 0)) >= n for p, n in ends.items()),
        PATIENCE_S, crew.check, place.where,
    )  # fmt: skip
    assert crew.end(pid, signal.SIGTERM) == 0


def ask(place: Place, config: Path, *words: str) -> str:
    own = ["--config", str(config), "--bootstrap", place.kafka.bootstrap]
    result = CliRunner().invoke(segstream, ["dead-letters", *words, *own])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def values(place: Place) -> Counter[bytes]:
    return Counter(record.value for record in place.read(place.names.transactions))


def test_replayed_once_after_a_fix(place: Place, crew: Crew, tmp_path: Path) -> None:
    """Only the code that was asked for, original bytes and partition, once; killed or not."""
    euros = [row(n, "EUR") for n in range(50, 70)]
    rows = [*(row(n, "USD") for n in range(50)), *euros, Row(b"C1", b"{", BEGIN_MS + 4_300_000)]
    place.send(rows)
    work(crew, place)
    config = tmp_path / "segstream.toml"
    config.write_text(config_text(place), "utf-8")
    assert "wrong_currency: 20 waiting, 0 sent again" in ask(place, config, "list")
    homes = {r.value: r.partition for r in place.read(place.names.transactions)}
    killed = [sys.executable, "-c", KILLED, str(config), place.kafka.bootstrap]
    assert subprocess.run(killed, check=False).returncode == -signal.SIGKILL
    replay = ("replay", "--code", "wrong_currency")
    assert ask(place, config, *replay).startswith("wrong_currency: 20 sent again")
    assert ask(place, config, *replay).startswith("wrong_currency: 0 sent again")
    found = values(place)
    assert {found[one.value] for one in euros} == {2}
    assert found.total() == len(rows) + 20
    assert all(homes[r.value] == r.partition for r in place.read(place.names.transactions))
    place.settings = msgspec.structs.replace(place.settings, currency="")  # the fix
    work(crew, place)
    assert place.outcome().total("applied") == 70
    said = ask(place, config, "list")
    assert "wrong_currency: 0 waiting, 20 sent again" in said
    assert "not_json: 1 waiting, 0 sent again" in said


def test_still_bad(place: Place, crew: Crew, tmp_path: Path) -> None:
    """Without a fix it is a dead letter anew, once, and waits for the next replay."""
    place.send([row(1, "USD"), row(2, "EUR")])
    work(crew, place)
    config = tmp_path / "segstream.toml"
    config.write_text(config_text(place), "utf-8")
    assert "1 sent again" in ask(place, config, "replay", "--code", "wrong_currency")
    work(crew, place)
    assert "wrong_currency: 1 waiting, 1 sent again" in ask(place, config, "list")


@pytest.mark.parametrize(("where", "error"), [("127.0.0.1:1", SourceError), ("", StateError)])
def test_nothing_there(
    stack: LocalStack, namespace: str, where: str, error: type[Exception]
) -> None:
    """A broker that is away and a namespace without topics are named."""
    own: list[Any] = ["--namespace", namespace, "--bootstrap", where or stack.kafka]
    result = CliRunner().invoke(segstream, ["dead-letters", "list", *own])
    assert isinstance(result.exception, error), result.exception
    assert (where or "topics create") in str(result.exception)
