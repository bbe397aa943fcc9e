"""What every `ModelHistory` keeps, in memory and in a state directory; tests/live has Kafka's."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.contracts.batches import SPEC, batch, model

from segstream.adapters.memory import MemoryModels
from segstream.adapters.sqlite_store import SqliteStore
from segstream.adapters.state_models import StateModels
from segstream.core.partition import PartitionMeta
from segstream.core.trainer_state import Command, TrainerState
from segstream.ports import ModelHistory, Standing

Opened = Callable[[], ModelHistory]
MODELS = [model(1), model(2)]
STATE = TrainerState(model=MODELS[-1], waiting="")


@pytest.fixture(params=["memory", "state"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Opens the same history again and again."""
    if request.param == "memory":
        kept = MemoryModels(MODELS, Standing(STATE, 200))
        return lambda: kept
    with closing(SqliteStore(tmp_path, SPEC.digest, "a token")) as store:
        given = {"models": MODELS, "trainer": STATE, "new_day": True}
        store.commit(batch(store.claim(), 1, **given, meta=PartitionMeta(day=200)))
    return lambda: StateModels(tmp_path, SPEC.digest)


def test_it_gives_what_was_kept(opened: Opened) -> None:
    """Models come oldest first; the standing has the living one and the day that closes next."""
    with closing(opened()) as kept:
        assert msgspec.json.encode(kept.models()) == msgspec.json.encode(MODELS)
        standing = kept.standing()
    assert standing.open_day == 200
    assert standing.trainer.model is not None
    assert standing.trainer.model.number == 2
    assert standing.trainer.commands == ()


def test_commands_are_kept_in_order(opened: Opened) -> None:
    """What is given is there for whoever opens it next, after what was given before."""
    given = (Command("recluster", 4), Command("rollback", model=MODELS[0]), Command("promote"))
    for command in given:
        with closing(opened()) as kept:
            kept.give(command)
    with closing(opened()) as kept:
        found = kept.standing().trainer
        assert msgspec.json.encode(found.commands) == msgspec.json.encode(given)
        assert msgspec.json.encode(kept.models()) == msgspec.json.encode(MODELS)
    assert found.waiting == ""
