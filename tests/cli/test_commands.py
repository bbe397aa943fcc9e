"""The commands on a small state: what they print, and that it is what it says it is."""

import csv
import io
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from tests.cli import feeds
from tests.cli.commands import COMMAND, Place, segstream, small_batches
from tests.cli.conftest import Shop

from segstream.cli import segstream as commands
from segstream.core.changes import Reason
from segstream.core.model import Model
from segstream.errors import ConfigError, StateError
from segstream.settings import RETAIL
from segstream.view import open_view

NAMES = RETAIL.names


def ask(*arguments: object) -> str:
    """Stdout of a command that succeeds, in this process."""
    done = CliRunner().invoke(commands, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def answer(*arguments: object) -> dict[str, Any]:
    """One JSON object and nothing else."""
    (line,) = ask(*arguments, "--json").splitlines()
    found: dict[str, Any] = strictly(line)
    return found


def strictly(text: str) -> Any:
    """Read JSON as the standard has it: NaN is none."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def schemas() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask("schema"))
    return found


# ---- run -----------------------------------------------------------------------------


def changes(place: Place) -> list[bytes]:
    return (place.out / "changes.jsonl").read_bytes().splitlines()


def test_the_shop_has_what_the_tests_are_about(shop: Shop) -> None:
    """Segments, changes for several reasons, duplicates and dead letters."""
    reasons = {json.loads(line)["data"]["reason"] for line in changes(shop.place)}
    assert {"first", "behaviour", "time"} <= reasons <= set(get_args(Reason))
    assert shop.place.meta().duplicates > 50
    assert shop.place.meta().dead == len(shop.place.dead()) > 50
    assert shop.place.accounted() == len(shop.rows)


@pytest.mark.slow
def test_run_prints_one_object(place: Place, shop: Shop) -> None:
    """`--json` prints one object on stdout, nothing on stderr, and keeps it in summary.json."""
    config = place.folder / "segstream.toml"
    config.write_text("batch_bytes = 100_000\n")
    command = ("run", "--source", shop.feed, "--config", config, *place.options, "--json")
    first, again = segstream(*command), segstream(*command)
    assert (first.code, first.err, again.code) == (0, "", 0)
    summary = strictly(first.out)
    assert summary == json.loads((place.out / "summary.json").read_text()) | {
        "stream": summary["stream"]
    }
    stream = summary["stream"]
    meta = shop.place.meta()
    assert stream["applied"] == meta.applied
    assert stream["dead_letters"] == meta.dead
    assert stream["duplicates"] == meta.duplicates
    assert place.result() == shop.place.result()
    assert json.loads(again.out)["stream"]["applied"] == meta.applied


@pytest.mark.slow
def test_run_for_people(place: Place, shop: Shop) -> None:
    """Without `--json` the screen names the segments; run again, it says that nothing is new."""
    ended = segstream("run", "--source", shop.feed, *place.options)
    assert ended.code == 0
    view = open_view(place.state, place.out)
    assert view.segments["name"][0].split(",")[0] in ended.out
    again = segstream("run", "--source", shop.feed, *place.options)
    assert "is applied already" in again.out + again.err


def test_a_second_file_continues(place: Place, shop: Shop, tmp_path: Path) -> None:
    """Two files one after the other come to what one file of both comes to."""
    half = len(shop.rows) // 2
    first = feeds.write(tmp_path / "first.jsonl", shop.rows[:half])
    second = feeds.write(tmp_path / "second.jsonl", shop.rows[half:])
    assert place.stream(first, settings=small_batches())
    before = changes(place)
    assert not place.stream(first, settings=small_batches())
    # Both named: only the new one is read.
    assert place.stream(first, second, settings=small_batches())
    assert not place.stream(first, second, settings=small_batches())
    assert changes(place)[: len(before)] == before
    assert changes(place) == changes(shop.place)
    assert place.result()["records"] == shop.place.result()["records"]
    assert place.accounted() == len(shop.rows)


@pytest.mark.slow
def test_two_files_at_once(place: Place, shop: Shop, tmp_path: Path) -> None:
    """Two files at once are merged by time."""
    good = [row for row in shop.rows if row.startswith(b'{"event_id": "c')]
    odd = feeds.write(tmp_path / "odd.jsonl", good[1::2])
    even = feeds.write(tmp_path / "even.jsonl.gz", good[::2])
    assert place.stream(even, odd)
    assert place.meta().applied == shop.place.meta().applied
    whole = Place(tmp_path / "whole")
    assert whole.stream(feeds.write(tmp_path / "whole.jsonl", sorted(good, key=_ts)))
    assert place.meta().clock_ms == whole.meta().clock_ms
    assert place.meta().customers == whole.meta().customers


def _ts(row: bytes) -> int:
    found: int = json.loads(row)["ts"]
    return found


def test_a_given_model_is_kept(place: Place, shop: Shop, tmp_path: Path) -> None:
    """With `--model` customers are judged by it, nothing is learned, and look-ups know it."""
    path = tmp_path / "model.json"
    ask("export", "model", "--output", path, *shop.place.options)
    model = msgspec.json.decode(path.read_bytes(), type=Model)
    half = len(shop.rows) // 2
    first = feeds.write(tmp_path / "first.jsonl", shop.rows[:half])
    second = feeds.write(tmp_path / "second.jsonl", shop.rows[half:])
    ask("run", "--source", first, "--model", path, *place.options, "--json")
    view = open_view(place.state, place.out)
    assert [m.version for m in view.models] == [model.version]
    assert set(view.customers["segment"]) <= {s.name for s in model.segments}
    assert {json.loads(line)["data"]["model"] for line in changes(place)} == {model.version}
    with pytest.raises(StateError, match="expected the --model this state keeps to"):
        place.stream(second)
    other = msgspec.structs.replace(model, generation=9)
    (tmp_path / "other.json").write_bytes(msgspec.json.encode(other))
    with pytest.raises(StateError, match="choose a new --state"):
        ask("run", "--source", second, "--model", tmp_path / "other.json", *place.options)
    ask("run", "--source", second, "--model", path, *place.options, "--json")
    assert place.accounted() == len(shop.rows)


def test_no_such_model(place: Place, shop: Shop, tmp_path: Path) -> None:
    """What is no model is refused with what was expected."""
    (tmp_path / "model.json").write_text("{}")
    for path in (tmp_path / "model.json", tmp_path / "none.json"):
        with pytest.raises(ConfigError, match="expected an exported model"):
            ask("run", "--source", shop.feed, "--model", path, *place.options)


# ---- export --------------------------------------------------------------------------


def test_export_customers(shop: Shop) -> None:
    """CSV, JSON lines and Parquet hold the same customers with features, vector and segment."""
    text = ask("export", "customers", *shop.place.options)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == shop.place.meta().customers == 150
    assert {*NAMES, *(f"scaled_{n}" for n in NAMES), "segment", "since"} <= set(rows[0])
    objects = [
        strictly(line)
        for line in ask("export", "customers", "--format", "json", *shop.place.options).splitlines()
    ]
    assert [o["customer_id"] for o in objects] == [r["customer_id"] for r in rows]
    for row, found in zip(rows, objects, strict=True):
        assert row["segment"] == found["segment"]
        assert math.isclose(float(row["spend_112d"]), found["spend_112d"])


def test_export_parquet(shop: Shop, tmp_path: Path) -> None:
    """Parquet keeps types: times with a zone, whole numbers, text."""
    path = tmp_path / "customers.parquet"
    ask("export", "customers", "--format", "parquet", "--output", path, *shop.place.options)
    frame = pd.read_parquet(path)
    expected = open_view(shop.place.state, shop.place.out).customers.drop(columns="slot")
    assert list(frame.columns) == list(expected.columns)
    assert frame["customer_id"].tolist() == expected["customer_id"].tolist()
    assert str(frame["since"].dtype).endswith("UTC]")
    assert np.array_equal(frame[list(NAMES)].to_numpy(), expected[list(NAMES)].to_numpy())


@pytest.mark.parametrize("what", ["segments", "changes"])
@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_export_tables(shop: Shop, tmp_path: Path, what: str, kind: str) -> None:
    """Segments and changes come in every format, whole."""
    path = tmp_path / f"table.{kind}"
    ask("export", what, "--format", kind, "--output", path, *shop.place.options)
    if kind == "parquet":
        rows = len(pd.read_parquet(path))
    elif kind == "csv":
        rows = len(pd.read_csv(path))
    else:
        rows = len([strictly(line) for line in path.read_text().splitlines()])
    view = open_view(shop.place.state, shop.place.out)
    assert rows == len(getattr(view, what))


def test_export_before_a_model(place: Place, shop: Shop, tmp_path: Path) -> None:
    """Before the first model everybody is unassigned, and what is missing is said."""
    place.stream(feeds.write(tmp_path / "feed.jsonl", shop.rows[:50]))
    rows = list(csv.DictReader(io.StringIO(ask("export", "customers", *place.options))))
    assert {row["segment"] for row in rows} == {"unassigned"}
    for kind in ("csv", "json", "parquet"):
        for what in ("customers", "segments", "changes"):
            ask("export", what, "--format", kind, "--output", tmp_path / "x", *place.options)
    for command in (("export", "model", *place.options), ("assign", "--state", place.state)):
        with pytest.raises(StateError, match=r'expected a model, got none yet.*start = "early"'):
            ask(*command)


@pytest.mark.slow
def test_export_into_a_closed_pipe(shop: Shop) -> None:
    """A reader that has enough, such as `head`, is no failure."""
    pipe = subprocess.PIPE
    command = [*COMMAND, "export", "customers", *shop.place.options]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as export:
        assert export.stdout
        assert export.stderr
        export.stdout.close()
        assert export.stderr.read() == b""
    assert export.returncode == 0


# ---- customer, assign ----------------------------------------------------------------


def test_customer(shop: Shop) -> None:
    """A customer's features, distances and history agree with the tables and the changes."""
    view = open_view(shop.place.state, shop.place.out)
    busiest = view.changes["customer_id"].value_counts().index[0]
    found = answer("customer", busiest, *shop.place.options)
    row = view.customers.set_index("customer_id").loc[busiest]
    assert found["segment"] == row["segment"]
    assert {f["name"]: f["value"] for f in found["features"]} == {n: row[n] for n in NAMES}
    distances = [d["distance"] for d in found["distances"]]
    assert distances == sorted(distances)
    assert len(distances) == len(view.segments)
    assert found["distances"][0]["segment_id"] == row["nearest_id"]
    history = [json.loads(line) for line in changes(shop.place)]
    own = [c for c in history if c["subject"] == busiest]
    assert [h["reason"] for h in found["history"]] == [c["data"]["reason"] for c in own]
    text = ask("customer", busiest, *shop.place.options)
    assert text.startswith(f"{busiest}: ")
    assert "History" in text


def test_no_such_customer(shop: Shop) -> None:
    """An unknown id is told, with where ids are listed."""
    with pytest.raises(StateError, match="segstream export customers"):
        ask("customer", "nobody", *shop.place.options)


def test_no_state(place: Place) -> None:
    """Without a state every look-up says what to run."""
    for command in (("customer", "a"), ("export", "customers"), ("assign",)):
        with pytest.raises(StateError, match="segstream run --state"):
            ask(*command, "--state", place.state)
    assert not place.state.exists()


def test_assign_of_a_customer(shop: Shop) -> None:
    """A customer's own features give the segment its vector is nearest to."""
    view = open_view(shop.place.state, shop.place.out)
    row = view.customers.iloc[7]
    values = [f"{name}={float(row[name])!r}" for name in NAMES]
    found = answer("assign", *values, "--state", shop.place.state)
    assert found["segment_id"] == row["nearest_id"]
    assert found["assumed"] == []
    assert found["distance"] <= found["next_distance"]


def test_assign_takes_the_median_of_what_is_not_given(shop: Shop) -> None:
    """What is not given is the median, and that is said."""
    found = answer("assign", "spend_112d=420", "--state", shop.place.state)
    medians = open_view(shop.place.state, None).customers[list(NAMES)].median()
    clustered = [f.name for f in RETAIL.features if f.use == "cluster" and f.name != "spend_112d"]
    assert {a["name"]: a["value"] for a in found["assumed"]} == {n: medians[n] for n in clustered}
    assert "taken as the median" in ask("assign", "spend_112d=420", "--state", shop.place.state)


@pytest.mark.parametrize("value", ["spend=1", "spend_112d", "spend_112d=much", "spend_112d=nan"])
def test_assign_of_nonsense(shop: Shop, value: str) -> None:
    """An unknown feature or no number is refused, with what is known."""
    with pytest.raises(ConfigError, match=r"assign: expected a (feature|number)"):
        ask("assign", value, "--state", shop.place.state)


# ---- doctor, schema, help ------------------------------------------------------------


def test_doctor(shop: Shop, place: Place) -> None:
    """A good feed and a new state are fine; the counts are those of the first rows."""
    found = answer("doctor", "--source", shop.feed, "--state", place.state)
    assert found["fine"]
    assert found["entries"] == len(shop.rows)
    assert found["looked_at"] == 1000
    assert found["events"] + sum(found["dead_letters"].values()) == 1000
    assert found["repeated_event_ids"] > 10
    assert not place.state.exists()
    text = ask("doctor", "--source", shop.feed, "--state", shop.place.state)
    assert "holds 150 customers" in text
    assert text.rstrip().endswith("fine: `segstream run` can start")


@pytest.mark.slow
def test_doctor_of_a_bad_feed(place: Place) -> None:
    """A feed of another shape is not fine: exit code 4, with examples and their places."""
    feed = feeds.write(place.folder / "feed.jsonl", [b'{"id":%d}' % i for i in range(9)])
    ended = segstream("doctor", "--source", feed, "--state", place.state)
    assert ended.code == 4
    assert "no event came out: check the mapping" in ended.out
    assert f"{feed}:1: expected the event contract" in ended.out


def test_doctor_meets_another_spec(shop: Shop, tmp_path: Path) -> None:
    """A state of other settings is met before a run."""
    config = tmp_path / "segstream.toml"
    config.write_text('namespace = "other"\n')
    with pytest.raises(StateError, match="expected namespace as in"):
        ask("doctor", "--source", shop.feed, "--config", config, "--state", shop.place.state)


def test_schemas_are_schemas() -> None:
    """What `schema` prints is valid JSON Schema, one by one and all together."""
    for name, schema in schemas().items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert json.loads(ask("schema", name)) == schema


def test_schemas_fit_what_goes_in_and_out(shop: Shop) -> None:
    """Every good event, change and dead letter of the shop is valid under its schema."""
    found = schemas()
    parts = {
        "event": [row for row in shop.rows if row.startswith(b'{"event_id": "c')],
        "change": changes(shop.place),
        "dead-letter": (shop.place.out / "dead-letters.jsonl").read_bytes().splitlines(),
    }
    for name, lines in parts.items():
        check = jsonschema.Draft202012Validator(found[name])
        assert len(lines) > 50
        for line in lines:
            check.validate(json.loads(line))


def test_schemas_refuse_what_is_none(shop: Shop) -> None:
    """A change without its reason, and an event of an unknown type, are not valid."""
    found = schemas()
    change = json.loads(changes(shop.place)[0])
    del change["data"]["reason"]
    event = json.loads(shop.rows[0]) | {"type": "gift"}
    for name, value in (("change", change), ("event", event)):
        assert not jsonschema.Draft202012Validator(found[name]).is_valid(value)


@pytest.mark.parametrize("name", [*commands.commands, None])
def test_help_shows_examples(name: str | None) -> None:
    """Every command's help shows examples of itself, one per line, that parse."""
    text = ask(*([name] if name else []), "--help")
    found = re.findall(r"^ +(?:.* (?:\||&&) )?segstream (.+)$", text, flags=re.MULTILINE)
    assert found
    for example in found:
        words = example.split(" > ")[0].split()
        command = commands.commands[words[0]]
        command.make_context(words[0], words[1:])


def test_exit_codes_are_told() -> None:
    """The main help says what the exit codes mean."""
    assert "0 done, 1 a bug, 2 wrong usage" in ask("--help")


@pytest.mark.slow
def test_wrong_usage() -> None:
    """A wrong option is exit code 2, and says which."""
    ended = segstream("run", "--sauce", "x")
    assert ended.code == 2
    assert "--sauce" in ended.err


@pytest.mark.slow
def test_look_ups_beside_a_run(place: Place, shop: Shop) -> None:
    """While a run goes on, look-ups see the state as of its last batch."""
    seen: list[int] = []

    def look(_progress: object) -> None:
        rows = csv.DictReader(io.StringIO(ask("export", "customers", *place.options)))
        seen.append(sum(int(row["events"]) for row in rows))

    place.stream(shop.feed, settings=small_batches(), report=look)
    assert seen == sorted(seen)
    assert len(seen) > 2
    shutil.rmtree(place.out)
    assert ask("customer", "c0001", *place.options)
