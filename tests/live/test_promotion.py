"""A trainer killed anywhere within a promotion leaves the old model or the new one, never both."""

import signal
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from deploy.local.local_stack import LocalStack
from tests.cli.test_commands import answer
from tests.live.chaos.crew import Crew
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import Roles, end
from tests.live.chaos.shop import BASE
from tests.live.test_trainer import EARLY, PATIENCE_S, TOML, days, kept, models, steady

from segstream.adapters import redis_keys
from segstream.adapters.kafka_models import STATE_KEY
from segstream.adapters.redis_store import Adoption
from segstream.core.trainer_state import TrainerLife
from segstream.kafka_settings import KafkaSettings

pytestmark = pytest.mark.slow

OLD = ("stepped", "begun", "model sent", "state sent", "evidence dropped")
EITHER = "commit asked"
NEW = "committed"
LAST_MINUTE = days(0, 20)[-1].time_ms // 60_000


@dataclass
class Promotion:
    """A namespace in which a person asks for four segments, and who works there."""

    place: Place
    crew: Crew
    roles: Roles

    def begin(self, **job: Any) -> int:
        """Have a first model, the command, and days until four segments serve; the trainer.

        The worker is away while the days are sent: a partition that has read all there is follows
        the other's clock, and would judge as late what was not sent yet.
        """
        place = self.place
        place.create()
        place.send(days(0, 12))
        pid = self.crew.start(place, generation=2, **job)
        self.roles.add("w")
        steady(place, self.roles)
        namespace = ("--namespace", place.namespace, "--bootstrap", place.kafka.bootstrap)
        answer("models", "recluster", "--k", 4, *namespace)
        assert end(self.roles.workers["w"], signal.SIGTERM) == 0
        place.send(days(12, 20))
        self.roles.add("w")
        return pid

    def finish(self) -> None:
        """Wait until workers have applied everything, and the trainer has closed all days."""
        place = self.place
        place.wait(LAST_MINUTE, PATIENCE_S, self.roles.check)
        until(lambda: not kept(place), PATIENCE_S, self.crew.check)

    def serving(self) -> int:
        """Generation that serves: of the last model, which is the one the trainer knows."""
        records = self.place.read(self.place.names.models)
        last = [r.value for r in records if r.key == STATE_KEY][-1]
        model = msgspec.msgpack.decode(last, type=TrainerLife).state.model
        assert model == models(self.place)[-1]
        return model.generation

    def adopted(self) -> list[int]:
        """Number of the model that each partition uses."""
        metas = [self.place.meta(p)[redis_keys.MODEL] for p in self.place.partitions]
        return [msgspec.msgpack.decode(held, type=Adoption).number for held in metas]

    def outcome(self) -> dict[str, Any]:
        """Models, and what was published under which, but for the namespace."""
        changes = [msgspec.json.decode(r.value) for r in self.place.read(self.place.names.changes)]
        return {
            "models": msgspec.to_builtins(models(self.place)),
            "changes": sorted((c["subject"], c["time"], str(c["data"])) for c in changes),
            "adopted": self.adopted(),
        }


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    with closing(Crew(tmp_path_factory.mktemp("crew"), "trainer_driver.py")) as made:
        yield made


def promotion(stack: LocalStack, crew: Crew, folder: Path) -> Promotion:
    """Two partitions of their own."""
    kafka = KafkaSettings(
        bootstrap=stack.kafka, partitions=2, retention_days="forever", session_timeout_ms=4_000
    )
    settings = msgspec.structs.replace(
        BASE, namespace=f"t{uuid.uuid4().hex[:12]}", batch_bytes=20_000, model=EARLY
    )
    place = Place(settings, kafka, stack.redis)
    # A worker that went on without a trainer would be right, but not what the quiet run was.
    return Promotion(place, crew, Roles(place, folder, None, "trainer_wait_s = 120.0\n" + TOML))


@pytest.fixture
def killed(stack: LocalStack, crew: Crew, tmp_path: Path) -> Iterator[Promotion]:
    made = promotion(stack, crew, tmp_path)
    with closing(made.roles):
        yield made
    crew.clear()


@pytest.fixture(scope="module")
def whole(
    stack: LocalStack, crew: Crew, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What comes of it where nobody is killed, and the points that were passed."""
    made = promotion(stack, crew, tmp_path_factory.mktemp("whole"))
    with closing(made.roles):
        pid = made.begin()
        made.finish()
        assert crew.end(pid) == 0
    assert set(crew.passed()) == {*OLD, EITHER, NEW}
    return made.outcome()


@pytest.mark.parametrize("point", [*OLD, EITHER, NEW])
def test_killed_in_a_promotion(killed: Promotion, whole: dict[str, Any], point: str) -> None:
    """Killed at a point, and another started: models and changes are those of a quiet run."""
    crew = killed.crew
    assert crew.wait(killed.begin(point=point)) == -9
    assert killed.serving() in {EITHER: (1, 2), NEW: (2,)}.get(point, (1,))
    pid = crew.start(killed.place, generation=2)
    killed.finish()
    assert crew.end(pid) == 0
    assert killed.serving() == 2
    assert killed.outcome() == whole


def test_the_promotion_is_seen(whole: dict[str, Any]) -> None:
    """Four segments serve under the next number, once, and both partitions use the same model."""
    found = whole["models"]
    assert [m["number"] for m in found] == list(range(1, len(found) + 1))
    promoted = [m for m in found if (m["generation"], m["revision"]) == (2, 0)]
    assert [len(m["segments"]) for m in promoted] == [4]
    assert {s for d in promoted[0]["lineage"] for s in d["parents"]} <= {1, 2, 3}
    assert len(set(whole["adopted"])) == 1
    assert any("'recluster'" in body for _, _, body in whole["changes"])
