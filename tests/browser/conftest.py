"""The demo's year, streamed once for all tests in a browser, also where they run side by side."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.needed import lacking
from tests.once import Once

ROOT = Path(__file__).parents[2]
FEED = ROOT / ".data" / "complete-journey.jsonl"


@dataclass(frozen=True, slots=True)
class Demo:
    """What the main job leaves."""

    state: Path
    out: Path

    @property
    def options(self) -> tuple[str, ...]:
        """Of a command that looks at it."""
        return "--state", str(self.state), "--out", str(self.out)


@pytest.fixture(scope="session")
def demo(once: Once) -> Demo:
    """What the main job makes of the demo's year; whoever changes the state copies it first."""
    if not FEED.exists():
        lacking(f"{FEED} is missing: run `make demo` once")
    folder = once("demo-year", lambda folder: _stream(Demo(folder / "state", folder / "out")))
    return Demo(folder / "state", folder / "out")


def _stream(made: Demo) -> None:
    command = [
        sys.executable, "-m", "segstream", "run", "--source", str(FEED),
        "--mapping", "complete-journey", "--config", str(ROOT / "deploy" / "demo.toml"),
        "--state", str(made.state), "--out", str(made.out),
        "--customer-word", "household", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
