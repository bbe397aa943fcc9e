"""The demo as a new user runs it, and its page in a real browser."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.browser.conftest import Demo
from tests.needed import lacking

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium")
# Nothing but the page itself: no service of the browser's own may call out.
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--virtual-time-budget=10000", "--enable-logging=stderr",
)  # fmt: skip


def browse(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page in Chromium and return what it became."""
    if CHROMIUM is None:
        lacking("chromium is missing")
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={profile}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_everything_lands_in_out(demo: Demo) -> None:
    """The year is applied whole, and the files agree with each other."""
    summary = json.loads((demo.out / "summary.json").read_bytes())
    changes = (demo.out / "changes.jsonl").read_bytes().splitlines()
    segments = json.loads((demo.out / "segments.json").read_bytes())
    assert summary["stream"]["applied"] == 158_751
    assert summary["stream"]["dead_letters"] == 0
    assert (demo.out / "dead-letters.jsonl").read_bytes() == b""
    assert len({json.loads(line)["id"] for line in changes}) == len(changes)
    assert len((demo.out / "customers.csv").read_text("utf-8").splitlines()) == 1 + 2_469
    assert "Loyal, full baskets" in json.dumps(segments)


def test_the_page_opens_without_an_error(demo: Demo, tmp_path: Path) -> None:
    """The report draws its figures in a browser, alone and without a console error."""
    done = browse(demo.out / "report.html", tmp_path / "profile", "--dump-dom")
    assert "What needs attention" in done.stdout
    assert done.stdout.count("js-plotly-plot") >= 4
    assert "CONSOLE" not in done.stderr, done.stderr


@pytest.mark.parametrize(("name", "size"), [("laptop", "1280,2000"), ("phone", "390,2000")])
def test_the_page_can_be_looked_at(demo: Demo, tmp_path: Path, name: str, size: str) -> None:
    """A laptop and a phone both get a picture."""
    picture = tmp_path / f"{name}.png"
    browse(
        demo.out / "report.html", tmp_path / "profile", f"--screenshot={picture}",
        f"--window-size={size}",
    )  # fmt: skip
    assert picture.stat().st_size > 20_000
