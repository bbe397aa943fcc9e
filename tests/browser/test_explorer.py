"""Every page of the Explorer on the demo's state, in a real browser, against the command line."""

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser.conftest import Demo
from tests.browser.explorer import LAPTOP, PAGES, PHONE, Reader, exploring, pictures, reading

pytestmark = pytest.mark.slow

# A busy machine: the aim of 3 s is measured on a quiet one (docs/explorer.md).
FIRST_PAGE_S = 20.0


@pytest.fixture(scope="module")
def address(demo: Demo) -> Iterator[str]:
    """The Explorer on the demo's state, for tests that only look."""
    with exploring(*demo.options) as url:
        yield url


@pytest.fixture(scope="module")
def reader(address: str) -> Iterator[Reader]:
    """Somebody at a laptop who has opened the first page, and goes from page to page."""
    with reading(LAPTOP) as somebody:
        somebody.open(address)
        yield somebody


def exported(demo: Demo, what: str, *options: str) -> list[dict[str, str]]:
    """Rows of `segstream export`."""
    command = [sys.executable, "-m", "segstream", "export", what, "--format", "csv",
               "--state", str(demo.state), "--out", str(demo.out), *options]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(csv.DictReader(io.StringIO(done.stdout)))


def told(demo: Demo, *words: str) -> Any:
    """JSON answer of a command on the demo's state."""
    command = [sys.executable, "-m", "segstream", *words, "--state", str(demo.state), "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(("name", "size"), [("laptop", LAPTOP), ("phone", PHONE)])
def test_every_page_can_be_looked_at(
    address: str, tmp_path: Path, name: str, size: tuple[int, int]
) -> None:
    """Each page opens without a console error, fits the window and asks no other host."""
    with reading(size) as somebody:
        first_s = somebody.open(address)
        print(f"first page on a {name}: {first_s:.2f} s")
        assert first_s < FIRST_PAGE_S
        for page in PAGES:
            somebody.go(page)
            somebody.picture(pictures(tmp_path) / f"{name}-{page.lower().replace(' ', '-')}.png")
            somebody.check_drawn(page)
        assert somebody.complaints() == []
        assert somebody.asked() == {"127.0.0.1"}


def test_sizes_and_names_are_those_of_the_export(demo: Demo, reader: Reader) -> None:
    """Overview shows each segment with the customers that `export segments` counts."""
    reader.go("Overview")
    cards = [card.text for card in reader.driver.find_elements("css selector", ".cards .card")]
    rows = exported(demo, "segments")
    assert len(cards) == len(rows)
    for row in rows:
        card = next(text for text in cards if text.startswith(row["name"]))
        assert f"\n{int(row['customers']):,}\nhouseholds" in card


def test_products_are_those_of_the_export(demo: Demo, reader: Reader) -> None:
    """Segment shows the likeliest category of its segment with the export's likelihood."""
    reader.go("Segment")
    text = reader.text()
    name = reader.wait_for("h1").text
    rows = [r for r in exported(demo, "likelihoods", "--by", "category") if r["segment"] == name]
    best = max(rows, key=lambda r: float(r["likelihood"]))
    assert f"{100 * float(best['likelihood']):.0f} %" in text
    assert f"{int(best['customers']):,}" in text


def test_a_customer_is_as_the_command_says(demo: Demo, reader: Reader) -> None:
    """Customer shows segment and features of whoever is typed in, and all changes."""
    asked = told(demo, "customer", "1779", "--out", str(demo.out))
    reader.go("Customer")
    reader.type_into("Id of the household, as in the feed", "1779")
    shown = [f"1779: {asked['segment']}", f"{len(asked['history'])}\npublished changes"]
    shown += [f"{f['label']}\t{f['text']}\t{f['population_text']}" for f in asked["features"]]
    reader.until(lambda: all(part in reader.text() for part in shown))


def test_a_typed_value_changes_the_answer(demo: Demo, reader: Reader) -> None:
    """What if answers as `segstream assign` does, at once."""
    reader.go("What if")
    before = reader.wait_for(".segstream .card h3").text
    typed = {"orders in 112 days": "1", "spend in 112 days (USD)": "15",
             "silence in usual intervals": "9"}  # fmt: skip
    for label, value in typed.items():
        reader.type_into(label, value)
    wanted = told(demo, "assign", "orders_112d=1", "spend_112d=15", "overdue=9")["segment"]
    assert wanted != before
    reader.until(lambda: reader.wait_for(".segstream .card h3").text == wanted)


def test_a_rollback_is_confirmed_recorded_and_followed(demo: Demo, tmp_path: Path) -> None:
    """Two clicks leave the command; after the next day's events its page shows the new model."""
    mine = Demo(tmp_path / "state", tmp_path / "out")
    shutil.copytree(demo.state, mine.state)
    shutil.copytree(demo.out, mine.out)
    with exploring(*mine.options) as url, reading(LAPTOP) as somebody:
        somebody.open(url)
        somebody.go("Model")
        former = somebody.wait_for("h1").text
        somebody.press("Roll back")
        somebody.until(lambda: "Yes, do it" in somebody.text())
        assert told(mine, "models", "list")["commands"] == []
        somebody.press("Yes, do it")
        somebody.until(lambda: "Waiting: rollback to" in somebody.text())
        assert len(told(mine, "models", "list")["commands"]) == 1
        _two_days_later(mine)
        somebody.until(lambda: somebody.wait_for("h1").text != former)
        somebody.until(lambda: "rollback" in somebody.text().partition("Generations")[2])
        assert told(mine, "models", "list")["commands"] == []
        somebody.picture(pictures(tmp_path) / "laptop-model-rolled-back.png")
        assert somebody.complaints() == []


def _two_days_later(mine: Demo) -> None:
    """Stream one more event: the days before it close."""
    feed = mine.state.parent / "later.jsonl"
    feed.write_text(json.dumps({
        "event_id": "later", "customer_id": "1779", "ts": "2018-01-03T12:00:00Z", "type": "visit",
    }), "utf-8")  # fmt: skip
    command = [
        sys.executable, "-m", "segstream", "run", "--source", str(feed),
        "--config", str(Path(__file__).parents[2] / "deploy" / "demo.toml"),
        "--state", str(mine.state), "--out", str(mine.out), "--customer-word", "household",
        "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
