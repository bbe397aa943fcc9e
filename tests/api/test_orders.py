"""What a person asks for over HTTP happens to the state, or is refused with a reason."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.api.served import Served, served_state
from tests.cli.commands import Place

from segstream.adapters.sqlite_store import SqliteStore
from segstream.adapters.state_models import StateModels
from segstream.stored_state import stored_settings
from segstream.view import open_view


@pytest.fixture
def copy(shop: Place, tmp_path: Path) -> Place:
    """A shop that may be changed."""
    made = Place(tmp_path)
    shutil.copytree(shop.state, made.state)
    shutil.copytree(shop.out, made.out)
    return made


@pytest.fixture
def own(copy: Place) -> Iterator[Served]:
    """It, served."""
    with served_state(copy.state, copy.out) as running:
        yield running


def test_commands_wait_for_the_trainer(own: Served, copy: Place) -> None:
    """Each is left once, and the answer says on which day it takes effect."""
    with own.client("operate") as client:
        first = client.post("/models/1/rollback")
        second = client.post("/models/recluster", json={"k": 4})
    assert (first.status_code, second.status_code) == (202, 202)
    assert (first.json()["before"], second.json()["before"]) == (0, 1)
    assert first.json()["takes_effect"] < second.json()["takes_effect"]
    with closing(StateModels(copy.state, stored_settings(copy.state).spec.digest)) as kept:
        commands = kept.standing().trainer.commands
    assert [c.kind for c in commands] == ["rollback", "recluster"]
    assert commands[1].k == 4


def test_a_rollback_to_nothing_is_refused(own: Served) -> None:
    """409 with the versions there are."""
    with own.client("operate") as client:
        found = client.post("/models/99.9/rollback")
    assert found.status_code == 409
    assert "expected one of the models" in found.json()["detail"]


def test_an_erased_customer_is_gone(own: Served, copy: Place) -> None:
    """The event is applied before the answer: no record, and the change is published."""
    with own.client("operate") as client:
        found = client.delete("/customers/c0044")
        assert found.status_code == 202, found.text
        assert client.get("/customers/c0044").status_code == 404
        assert client.get("/customers/c0045").status_code == 200
        assert client.delete("/customers/c0044").status_code == 404
    view = open_view(copy.state, copy.out)
    assert view.partition.slot_of("c0044") is None
    assert view.changes.iloc[-1]["customer_id"] == "c0044"
    assert view.changes.iloc[-1]["reason"] == "erased"


def test_a_state_that_a_run_holds_is_read_and_not_written(own: Served, copy: Place) -> None:
    """409 for commands and erasures while a run goes on; looking works."""
    digest = stored_settings(copy.state).spec.digest
    with closing(SqliteStore(copy.state, digest, "run")), own.client("operate") as client:
        for method, path in (("POST", "/models/recluster"), ("DELETE", "/customers/c0046")):
            found = client.request(method, path)
            assert found.status_code == 409, found.text
            assert "lock of another process" in found.json()["detail"]
        assert client.get("/customers/c0046").status_code == 200
