"""`segstream models` and `export memberships` on a shop that lived through three generations."""

import csv
import io
import json
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import pandas as pd
import pytest
from click.testing import CliRunner
from tests.cli import feeds
from tests.cli.commands import Place, segstream, told
from tests.cli.test_commands import answer, ask

from segstream.adapters.sqlite_store import SqliteStore
from segstream.adapters.state_models import StateModels
from segstream.cli import segstream as commands
from segstream.core.changes import rfc3339
from segstream.core.layout import MINUTE_MS
from segstream.core.model import Model
from segstream.core.trainer_state import Command, TrainerState
from segstream.errors import ConfigError, SourceError, StateError
from segstream.settings import Settings
from segstream.view import open_view

DAY_MS: Final = feeds.DAY_MS
SETTINGS: Final = msgspec.convert(
    {
        "batch_bytes": 60_000,
        "model": {"k": 3, "start": "early", "min_panel": 50, "refit_days": 0},
    },
    Settings,
)
CUTS: Final = (0, 30, 40, 60)
Changes = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Life:
    """A shop: three segments, five by command, and three again by a rollback."""

    place: Place
    models: list[Model]
    recluster: dict[str, Any]
    rollback: dict[str, Any]

    @property
    def state(self) -> tuple[str, ...]:
        return ("--state", str(self.place.state))

    def first(self, generation: int) -> Model:
        return next(m for m in self.models if m.generation == generation)

    def last(self, generation: int) -> Model:
        return [m for m in self.models if m.generation == generation][-1]

    def changes(self) -> Changes:
        """Each customer's published changes, in order."""
        found = defaultdict(list)
        for line in (self.place.out / "changes.jsonl").read_bytes().splitlines():
            event = json.loads(line)
            found[event["data"]["customer_id"]].append(event)
        return found


def part(folder: Path, number: int) -> Path:
    """One part of the feed: it goes on in the next."""
    begun, end = (feeds.START_MS + CUTS[number + i] * DAY_MS for i in (0, 1))
    events = [e for e in feeds.events(130, CUTS[-1]) if begun <= e["ts"] < end]
    return feeds.write(folder / f"part {number}.jsonl", feeds.lines(events))


def code(*arguments: object) -> int:
    """Exit code in this process."""
    return CliRunner().invoke(commands, list(map(str, arguments))).exit_code


def held(state: Path) -> TrainerState:
    with closing(SqliteStore.to_read(state)) as store:
        return store.held().trainer


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    place = Place(tmp_path_factory.mktemp("life"))
    parts = [part(place.folder, number) for number in range(3)]
    place.stream(parts[0], settings=SETTINGS)
    recluster = answer("models", "recluster", "--k", 5, "--state", place.state)
    place.stream(parts[1], settings=SETTINGS)
    rollback = answer("models", "rollback", "--state", place.state)
    place.stream(parts[2], settings=SETTINGS)
    with closing(SqliteStore.to_read(place.state)) as store:
        models = store.models()
    return Life(place, models, recluster, rollback)


@pytest.fixture
def begun(tmp_path: Path) -> Place:
    """A state with events and no model yet."""
    place = Place(tmp_path)
    late = msgspec.structs.replace(
        SETTINGS, model=msgspec.structs.replace(SETTINGS.model, start="covered")
    )
    place.stream(part(tmp_path, 0), settings=late)
    return place


def day_of(model: Model) -> str:
    return rfc3339(model.minute * MINUTE_MS)[:10]


# ---- commands ------------------------------------------------------------------------


def test_a_command_says_when_it_takes_effect(life: Life) -> None:
    """A recluster serves from the second day close on, a rollback from the first."""
    assert life.recluster["serves_until_then"].startswith("1.")
    assert life.rollback["serves_until_then"] == life.last(2).version
    closes = pd.Timestamp(life.recluster["when_closes"]) + pd.Timedelta(days=1)
    assert f"{closes:%Y-%m-%d}" == day_of(life.first(2))
    closes = pd.Timestamp(life.rollback["when_closes"]) + pd.Timedelta(days=1)
    assert f"{closes:%Y-%m-%d}" == day_of(life.first(3))
    assert life.rollback["what"].startswith("roll back to 1.")


def test_a_rollback_brings_the_former_model_back(life: Life) -> None:
    """Centres, ids, names and scaling are those of the former generation's last model."""
    former, back = life.last(1), life.first(3)
    assert (len(life.last(2).segments), len(back.segments)) == (5, 3)
    assert back.generation_reason == "rollback"
    assert back.restores == 1
    assert (back.segments, back.mean, back.weight) == (former.segments, former.mean, former.weight)


def test_a_rollback_gives_every_customer_its_segment_back(life: Life) -> None:
    """Who only the re-cluster and its steps moved is exactly where the former generation had it."""
    moved = stayed = 0
    for events in life.changes().values():
        of = defaultdict(list)
        for event in events:
            of[event["data"]["model"][0]].append(event["data"])
        if not of["1"] or {e["reason"] for e in of["2"]} - {"recluster", "model"}:
            continue
        before = of["1"][-1]["to"]
        ended = of["2"][-1]["to"] if of["2"] else before
        back = of["3"][0] if of["3"] else None
        if ended == before:
            assert back is None or back["reason"] != "rollback"
            stayed += 1
        elif before is not None and (back is None or back["to"] is not None):
            assert back is not None
            assert (back["reason"], back["to"]["id"]) == ("rollback", before["id"])
            moved += 1
    assert moved > 20
    assert stayed > 20


def test_commands_wait_in_order(tmp_path: Path) -> None:
    """Two commands are two day closes; the list shows them."""
    place = Place(tmp_path)
    place.stream(part(tmp_path, 0), settings=SETTINGS)
    first = answer("models", "recluster", "--state", place.state)
    second = answer("models", "recluster", "--k", 4, "--state", place.state)
    days = [pd.Timestamp(found["when_closes"]) for found in (first, second)]
    assert days[1] - days[0] == pd.Timedelta(days=1)
    assert [command.k for command in held(place.state).commands] == [None, 4]
    assert answer("models", "list", "--state", place.state)["commands"] == ["recluster"] * 2
    plain = ask("models", "list", "--state", place.state)
    assert f"Waiting: recluster, when {days[1] - pd.Timedelta(days=1):%Y-%m-%d}" in plain


def test_a_command_changes_nothing_else(begun: Place) -> None:
    """Records, position, models, and what is to be published stay as they were."""
    before = begun.result()
    with closing(StateModels(begun.state, SETTINGS.spec.digest)) as kept:
        kept.give(Command("recluster"))
    after = begun.result()
    assert held(begun.state).commands == (Command("recluster"),)
    del before["trainer"], after["trainer"]
    assert after == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("promote",), "expected a candidate that the gate refused, got none"),
        (("rollback", "9"), r"expected one of the models \(1.0 to 3"),
        (("rollback", "1.999"), "expected one of the models"),
        (("rollback", "latest"), "expected one of the models"),
        (("show", "0"), "expected one of the models"),
        (("diff", "1", "7.1"), "expected one of the models"),
    ],
)
def test_a_command_for_nothing(life: Life, words: tuple[str, ...], message: str) -> None:
    """What is not there is refused with what is, and the state stays as it was."""
    before = held(life.place.state)
    with pytest.raises(StateError, match=message):
        ask("models", *words, *life.state)
    assert held(life.place.state) == before


def test_the_living_model_is_no_rollback(life: Life) -> None:
    """A rollback to what serves is refused by name."""
    with pytest.raises(StateError, match="expected an earlier model than 3"):
        ask("models", "rollback", life.models[-1].version, *life.state)


def test_commands_before_a_model(begun: Place) -> None:
    """Without a model there is nothing to command; the error says what it waits for."""
    for words in (("promote",), ("rollback",), ("recluster",), ("show",)):
        with pytest.raises(StateError, match="of 112 days of events"):
            ask("models", *words, "--state", begun.state)
    assert "No model yet" in ask("models", "list", "--state", begun.state)


@pytest.mark.slow
def test_commands_to_a_given_model(life: Life, tmp_path: Path) -> None:
    """A state that keeps to `--model` has no trainer to listen."""
    path, place = tmp_path / "model.json", Place(tmp_path)
    ask("export", "model", "--output", path, *life.place.options)
    config = tmp_path / "segstream.toml"
    config.write_text("batch_bytes = 100_000\n")
    ran = segstream("run", "--source", part(tmp_path, 0), "--model", path, "--config", config,
                    *place.options)  # fmt: skip
    assert ran.code == 0
    with pytest.raises(StateError, match="given with --model"):
        ask("models", "recluster", "--state", place.state)


@pytest.mark.slow
def test_a_command_beside_a_run(life: Life) -> None:
    """While a run has the state a command is refused, with what to do; looking is not."""
    digest = SETTINGS.spec.digest
    with closing(SqliteStore(life.place.state, digest, "a token")):
        ended = segstream("models", "recluster", *life.state)
        assert ended.code == 5
        assert "wait for it to end" in told(ended)
        assert ask("models", "list", *life.state)
    assert held(life.place.state).commands == ()


# ---- looking -------------------------------------------------------------------------


def test_list(life: Life) -> None:
    """One row per generation, with the decision that made it; `--all` has every revision."""
    found = answer("models", "list", *life.state)
    assert found["serving"] == life.models[-1].version
    rows = found["models"]
    assert [row["reason"] for row in rows] == ["first", "recluster", "rollback"]
    assert [row["trigger"] for row in rows] == ["", "command", "rollback"]
    assert [row["segments"] for row in rows] == [3, 5, 3]
    assert [row["last"] for row in rows] == [life.last(g).version for g in (1, 2, 3)]
    assert [row["day"] for row in rows] == [day_of(life.first(g)) for g in (1, 2, 3)]
    assert rows[1]["moved"] > 0
    every = answer("models", "list", "--all", *life.state)["models"]
    assert [row["version"] for row in every] == [m.version for m in life.models]


def test_show(life: Life) -> None:
    """A model by generation, by version, or the living one: figures are the stored model's."""
    found = answer("models", "show", "2", *life.state)
    model = life.last(2)
    assert found["version"] == model.version
    assert not found["serves"]
    assert [s["id"] for s in found["segments"]] == [s.id for s in model.segments]
    assert sum(s["share"] for s in found["segments"]) == pytest.approx(1.0)
    assert {s["became"] for s in found["segments"]} & {"split", "new"}
    assert found["quality"]["silhouette"] == model.fit.silhouette
    living = answer("models", "show", *life.state)
    assert living["serves"]
    assert living["restores"] == 1
    assert life.models[-1].segments[0].name in ask("models", "show", *life.state)


def test_diff(life: Life) -> None:
    """Segments of either model once, in either order of the versions; a rollback returns some."""
    one, two = life.last(1), life.last(2)
    found = answer("models", "diff", "2", "1", *life.state)
    assert (found["then"], found["now"]) == (one.version, two.version)
    ids = {s.id for s in (*one.segments, *two.segments)}
    assert sorted(c["segment"] for c in found["segments"]) == sorted(ids)
    for c in found["segments"]:
        there = (one.segment(c["segment"]) is not None, c["share_now"] is not None)
        assert (c["became"] in ("survived", "merged")) == all(there)
        assert len(c["shifts"]) == (3 if all(there) else 0)
    back = answer("models", "diff", "2", "3", *life.state)["segments"]
    gone = {s.id for s in one.segments} - {s.id for s in two.segments}
    assert {c["segment"] for c in back if c["became"] == "returned"} == gone
    assert "survived" in ask("models", "diff", "1", "2", *life.state)


# ---- import --------------------------------------------------------------------------


def write_csv(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def own_labels(place: Place) -> Path:
    """What the company calls its customers: by thirds of its ids."""
    ids = open_view(place.state, None).vectors[0]
    kinds = ("Gold", "Silver", "2")
    rows = [f"{c},{kinds[int(c[1:]) % 3]}" for c in ids]
    return write_csv(place.folder / "labels.csv", "customer_id,segment", *rows, "stranger,Gold")


def test_imported_labels_are_the_first_model(begun: Place) -> None:
    """With no model yet the company's segments serve at the next day close, under their names."""
    names = write_csv(begun.folder / "names.csv", "segment,name", "2,Sleepers")
    given = ("--labels", own_labels(begun), "--names", names, "--state", begun.state)
    found = answer("models", "import", *given)
    assert found["serves_until_then"] is None
    assert 0.3 < found["agreement"] <= 1.0
    assert any(note.startswith("1 of ") for note in found["notes"])
    settings = open_view(begun.state, None).settings
    begun.stream(part(begun.folder, 1), settings=settings)
    view = open_view(begun.state, begun.out)
    assert view.model is not None
    assert {s.name for s in view.models[0].segments} == {"Gold", "Silver", "Sleepers"}
    assert (view.models[0].generation_reason, view.models[0].version) == ("first", "1.0")
    assert view.trainer.commands == ()
    assert set(view.customers["segment"]) <= {"Gold", "Silver", "Sleepers"}
    assert {s.name for s in view.model.segments} == {"Gold", "Silver", "Sleepers"}


def test_imported_centres_follow_a_model(tmp_path: Path) -> None:
    """With a model they are a new generation; the changes are told as a re-cluster."""
    place = Place(tmp_path)
    place.stream(part(tmp_path, 0), settings=SETTINGS)
    path = write_csv(tmp_path / "c.csv", "segment,orders_112d,spend_112d", "Few,1,5", "Many,8,400")
    found = ask("models", "import", "--centres", path, "--state", place.state)
    assert "order_value is not given for any segment: the median" in found
    assert "Until then model 1." in found
    place.stream(part(tmp_path, 1), settings=SETTINGS)
    view = open_view(place.state, place.out)
    rows = answer("models", "list", "--state", place.state)["models"]
    assert [(row["trigger"], row["segments"]) for row in rows] == [("", 3), ("import", 2)]
    assert view.model is not None
    assert {s.name for s in view.model.segments} == {"Few", "Many"}
    under = view.changes[view.changes["model"] == "2.0"]
    assert "recluster" in set(under["reason"])


def test_imports_that_cannot_be(begun: Place) -> None:
    """Each bad file is one clear error of exit code 4, and the state stays as it was."""
    before = held(begun.state)
    bad = (
        ("--labels", "customer_id,segment", ("stranger,Gold", "other,Silver"), "it knows none"),
        ("--labels", "customer_id,segment", ("c0000,Gold", "c0001,Gold"), "two segments or more"),
        ("--labels", "customer_id,segment", ("c0000,Gold", "c0000,Silver"), "each customer once"),
        ("--labels", "customer_id,segment", ("c0000,Gold", "c0001,"), "expected a segment"),
        ("--labels", "customer,segment", ("c0000,Gold",), "expected the columns customer_id"),
        ("--labels", "customer_id,segment", ("c0000,Gold,x",), "expected 2 values"),
        ("--centres", "segment,overdue", ("a,1", "b,much"), "a number for overdue"),
        ("--centres", "segment,overdew", ("a,1", "b,2"), "overdew"),
        ("--centres", "name,overdue", ("a,1", "b,2"), "expected the columns segment"),
        ("--centres", "segment,overdue", ("a,1",), "two segments or more"),
    )  # fmt: skip
    for option, header, rows, message in bad:
        path = write_csv(begun.folder / "bad.csv", header, *rows)
        with pytest.raises(SourceError, match=message):
            ask("models", "import", option, path, "--state", begun.state)
    with pytest.raises(SourceError, match="readable CSV"):
        ask("models", "import", "--labels", begun.folder / "none.csv", "--state", begun.state)
    assert held(begun.state) == before
    assert code("models", "import", "--state", begun.state) == 2


# ---- memberships ---------------------------------------------------------------------


def replayed(life: Life) -> list[tuple[str, int, str, str, str]]:
    """Stays by a dumb replay: customer, segment, name, from, to."""
    stays = []
    for customer, events in life.changes().items():
        for event, after in zip(events, [*events[1:], None], strict=True):
            to = event["data"]["to"]
            if to is not None:
                ended = after["time"] if after else ""
                stays.append((customer, to["id"], to["name"], event["time"], ended))
    return sorted(stays)


def exported(*arguments: object) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(ask("export", "memberships", *arguments))))


def test_memberships_are_the_replayed_changes(life: Life) -> None:
    """One row per stay, from one change of a customer to its next; the current one is open."""
    found = exported("--format", "csv", *life.place.options)
    assert list(found[0]) == ["customer_id", "segment_id", "segment", "from", "to"]
    plain = [(r["customer_id"], int(r["segment_id"]), r["segment"]) for r in found]
    assert sorted(plain) == [stay[:3] for stay in replayed(life)]
    lines = ask("export", "memberships", "--format", "json", *life.place.options).splitlines()
    rows = [json.loads(line) for line in lines]
    told = sorted(
        (r["customer_id"], r["segment_id"], r["segment"], r["from"], r["to"] or "") for r in rows
    )
    assert told == replayed(life)
    # Erased customers have no open stay; everybody else has one, in its segment.
    customers = open_view(life.place.state, life.place.out).customers
    assert {(r["customer_id"], r["segment_id"]) for r in rows if r["to"] is None} == set(
        zip(customers["customer_id"], customers["segment_id"], strict=True)
    )
    assert {"erased"} <= {e["data"]["reason"] for es in life.changes().values() for e in es}


def test_memberships_as_parquet(life: Life, tmp_path: Path) -> None:
    """The same rows with types: times with zone, an id that may be missing nowhere."""
    path = tmp_path / "m.parquet"
    ask("export", "memberships", "--format", "parquet", "--output", path, *life.place.options)
    frame = pd.read_parquet(path)
    assert len(frame) == len(replayed(life))
    assert str(frame["from"].dtype).startswith("datetime64")
    assert frame["to"].isna().any()


@pytest.mark.parametrize("day", [10, 31, 34, 45, 59])
def test_memberships_as_of_a_moment(life: Life, day: int) -> None:
    """Each customer's last change up to the moment decides, that very moment included."""
    moment = rfc3339(feeds.START_MS + day * DAY_MS + DAY_MS - 1)
    for text in (moment, moment[:10]):
        found = exported("--as-of", text, *life.place.options)
        expected = set()
        for customer, events in life.changes().items():
            until = [e for e in events if e["time"] <= moment]
            if until and until[-1]["data"]["to"] is not None:
                expected.add((customer, until[-1]["data"]["to"]["id"]))
        assert {(r["customer_id"], int(r["segment_id"])) for r in found} == expected
        assert len(found) == len(expected)
    (change,) = [e for es in life.changes().values() for e in es][:1]
    at_change = exported("--as-of", change["time"], *life.place.options)
    assert change["data"]["customer_id"] in {r["customer_id"] for r in at_change}


def test_memberships_of_nothing(life: Life, tmp_path: Path) -> None:
    """A moment to come, no moment at all, another table, or no changes are refused."""
    for text, message in (("2031-01-01", "expected a moment up to"), ("soon", "a date or time")):
        with pytest.raises(ConfigError, match=message):
            exported("--as-of", text, *life.place.options)
    with pytest.raises(StateError, match="give the --out the state was run with"):
        exported("--state", life.place.state, "--out", tmp_path)
    assert code("export", "customers", "--as-of", "2024-01-09", *life.place.options) == 2
