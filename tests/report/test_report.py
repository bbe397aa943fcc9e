"""The page, the screen and the files, on a small shop run through the engine."""

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from tests.report.world import EARLY, NASTY, NO_SPEND, view_of

from segstream.core.trainer_state import TrainerSettings
from segstream.report import render_screen, write_report
from segstream.settings import Settings

pytestmark = pytest.mark.slow

SHOP = Settings(namespace="shop </title><script>alert(2)</script>", currency="", model=EARLY)
ONE = Settings(model=TrainerSettings(k=1, min_panel=10, start="early", refit_days=0))
WAITING = Settings(model=TrainerSettings(min_panel=10_000))


class Tags(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def written(settings: Settings, folder: Path, **shop: bool | int) -> tuple[dict[str, object], Path]:
    days, changes = int(shop.get("days", 150)), bool(shop.get("with_changes", True))
    view = view_of(settings, folder / "state", days, changes)
    return write_report(view, folder / "out", "member"), folder / "out"


def screen_of(summary: dict[str, object], width: int = 100) -> str:
    file = io.StringIO()
    render_screen(summary, Console(file=file, width=width, force_terminal=False))
    return file.getvalue()


def test_no_name_breaks_out_of_the_page(tmp_path: Path) -> None:
    _, out = written(SHOP, tmp_path)
    page = Tags((out / "report.html").read_text("utf-8"))
    # One script per figure, Plotly itself and the drawing.
    figures = sum(name == "data-figure" for name, _ in page.attributes)
    assert page.tags.count("script") == figures + 2
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_the_page_asks_the_network_for_nothing(tmp_path: Path) -> None:
    _, out = written(SHOP, tmp_path)
    page = Tags((out / "report.html").read_text("utf-8"))
    links = [value or "" for name, value in page.attributes if name in ("src", "href")]
    assert links
    assert all(link.startswith("data:") for link in links)


def test_every_figure_on_the_page_is_json(tmp_path: Path) -> None:
    _, out = written(SHOP, tmp_path)
    content = (out / "report.html").read_text("utf-8")
    bodies = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', content, re.DOTALL)
    assert len(bodies) >= 5
    assert all("<" not in body and "data" in json.loads(body) for body in bodies)


def test_tables_carry_the_ids_as_they_are(tmp_path: Path) -> None:
    _, out = written(SHOP, tmp_path)
    customers = pd.read_csv(out / "customers.csv", dtype={"customer_id": str})
    assert set(NASTY) <= set(customers["customer_id"])
    assert "slot" not in customers
    listed = pd.read_csv(out / "left-best-segment.csv", dtype={"customer_id": str})
    assert set(listed["customer_id"]) <= set(customers["customer_id"])


def test_the_summary_is_json_and_makes_the_same_screen_read_back(tmp_path: Path) -> None:
    summary, _ = written(SHOP, tmp_path)
    again = json.loads(json.dumps(summary, allow_nan=False))
    assert again == summary
    assert screen_of(again) == screen_of(summary)


def test_segments_add_up(tmp_path: Path) -> None:
    _, out = written(SHOP, tmp_path)
    segments = json.loads((out / "segments.json").read_text("utf-8"))["segments"]
    assert sum(s["customers"] for s in segments) == 30
    assert sum(s["share_of_spend"] for s in segments) == pytest.approx(1.0, abs=1e-5)
    assert len({s["colour"] for s in segments}) == len(segments)
    assert sum(s["best"] for s in segments) == 1


def test_the_same_state_writes_the_same_bytes(tmp_path: Path) -> None:
    view = view_of(SHOP, tmp_path / "state")
    for name in ("a", "b"):
        write_report(view, tmp_path / name, "member")
    for file in ("report.html", "segments.json", "customers.csv", "left-best-segment.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("settings", [SHOP, ONE, WAITING, NO_SPEND])
def test_the_screen_fits_and_needs_no_colour(settings: Settings, tmp_path: Path) -> None:
    lines = screen_of(written(settings, tmp_path)[0]).splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 65
    assert not any("\x1b" in line for line in lines)


def test_a_terminal_of_80_columns_cuts_nothing_off(tmp_path: Path) -> None:
    """Names wrap between words there; rich cuts a cell off with an ellipsis."""
    screen = screen_of(written(SHOP, tmp_path)[0], width=80)
    assert max(map(len, screen.splitlines())) <= 80
    assert "…" not in screen


def test_before_the_first_model_page_and_screen_say_what_is_missing(tmp_path: Path) -> None:
    summary, out = written(WAITING, tmp_path)
    missing = "30 of 10000 customers for a first model"
    assert missing in screen_of(summary)
    assert missing in (out / "report.html").read_text("utf-8")
    assert (out / "left-best-segment.csv").read_text("utf-8").startswith("customer_id,")


def test_one_segment_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    summary, out = written(ONE, tmp_path)
    assert "There is one segment" in screen_of(summary)
    assert "There is one segment" in (out / "report.html").read_text("utf-8")


def test_without_published_changes_the_segments_are_still_told(tmp_path: Path) -> None:
    summary, out = written(SHOP, tmp_path, with_changes=False)
    assert "None were published" in screen_of(summary)
    assert "There are no changes yet" in (out / "report.html").read_text("utf-8")


def test_without_spend_no_money_is_shown(tmp_path: Path) -> None:
    summary, out = written(NO_SPEND, tmp_path)
    assert summary["spend_90d"] is None
    assert summary["aftermath"] == []
    assert "of spend" not in screen_of(summary)
    assert "no segment can be called the best" in (out / "report.html").read_text("utf-8")
