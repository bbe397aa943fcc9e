"""A kill in every gap of the engine's order of effects changes nothing in the end.

The names of the points are the numbers in the docstring of `segstream.engine`.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.cli import feeds
from tests.contracts.batches import everything

from segstream.adapters.file_sink import CHANGES, DEAD_LETTERS, POSITION
from segstream.adapters.sqlite_store import SqliteStore

pytestmark = pytest.mark.slow

DRIVER = Path(__file__).with_name("driver.py")
SETTINGS = {"batch_bytes": 120_000, "model": {"k": 2, "start": "early", "min_panel": 50}}

CLAIM_POINTS = (
    "before claim 1",
    "claim 1|2",
    "claim 2|3",
    f"inside batch 5, {CHANGES}",
    f"inside batch 5, {DEAD_LETTERS}",
    "inside batch 5, before its position",
    "after batch 5",
    "claim 3|4",
    "claim 4",
    "claim 4, after seeking",
)
BATCH_POINTS = (
    "before batch 1",
    "batch 1|2",
    "inside batch 2",
    "batch 2|3",
    "batch 3|4",
    "inside batch 4",
    "batch 4|5",
    f"inside batch 5, {CHANGES}",
    f"inside batch 5, {DEAD_LETTERS}",
    "inside batch 5, before its position",
    "after batch 5",
    "before the end",
)


class Driver:
    """The process that runs streams and kills them."""

    def __init__(self, folder: Path) -> None:
        # A killed process leaves its temporary files: they belong to the test.
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder)}
        self._process = subprocess.Popen(
            [sys.executable, str(DRIVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=env,
        )  # fmt: skip
        (folder / "warm").mkdir()
        feed = feeds.write(folder / "warm.jsonl", feeds.lines(feeds.events(3, 3)))
        warm = {"folder": str(folder / "warm"), "feed": str(feed), "settings": {}}
        assert self._ask(warm) == "ready"

    def _ask(self, job: dict[str, Any]) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def run(self, folder: Path, feed: Path, **job: Any) -> int:
        """Exit code of one run in a process of its own; -9 where it was killed."""
        folder.mkdir(exist_ok=True)
        plain = {"folder": str(folder), "feed": str(feed), "settings": SETTINGS}
        return int(self._ask({**plain, **job}))

    def close(self) -> None:
        """End it."""
        with suppress(BrokenPipeError):
            self._process.communicate(timeout=240)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    with closing(Driver(tmp_path_factory.mktemp("driver"))) as made:
        yield made


class Whole:
    """A feed, and what an undisturbed run makes of it."""

    def __init__(self, driver: Driver, folder: Path, customers: int, days: int, **job: Any) -> None:
        rows = feeds.dirty(feeds.lines(feeds.events(customers, days)))
        self.entries = len(rows)
        self.feed = feeds.write(folder / "feed.jsonl", rows)
        assert driver.run(folder / "whole", self.feed, **job) == 0
        self.passed: dict[str, int] = json.loads((folder / "whole" / "passed.json").read_text())
        self.result = result(folder / "whole")


@pytest.fixture(scope="module")
def whole(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(driver, tmp_path_factory.mktemp("whole"), 120, 60)


def result(folder: Path) -> dict[str, bytes]:
    """All that a run leaves: the state but for its epoch, and every byte of output."""
    with closing(SqliteStore.to_read(folder / "state")) as store:
        state = everything(store.held(), list(store.records()), store.models())
        found = {"state": state, "ledger": store.ledger()}
    for name in (CHANGES, DEAD_LETTERS, POSITION):
        found[name] = (folder / "out" / name).read_bytes()
    return found


def test_the_undisturbed_run_has_everything_in_play(whole: Whole) -> None:
    """Models, day closes, changes, dead letters, erasures: a run without them proves little."""
    assert whole.passed["inside batch 2"] > 50
    reasons = {json.loads(line)["data"]["reason"] for line in whole.result[CHANGES].splitlines()}
    assert {"first", "behaviour", "model", "erased"} <= reasons
    assert len(whole.result[DEAD_LETTERS].splitlines()) > 10
    assert whole.passed["batch 3|4"] >= 4
    assert set(whole.passed) | {"claim 4, after seeking"} == {*CLAIM_POINTS, *BATCH_POINTS}


@pytest.mark.parametrize("point", BATCH_POINTS)
def test_killed_in_a_batch(driver: Driver, whole: Whole, tmp_path: Path, point: str) -> None:
    """Killed at a point of any batch and started again, a run ends as if it never was."""
    times = whole.passed[point]
    chosen = sorted({(times + 1) // 2, times}) if times < 100 else range(1, times, times // 4)
    for count in chosen:
        folder = tmp_path / str(count)
        assert driver.run(folder, whole.feed, point=point, count=count) == -9
        assert driver.run(folder, whole.feed) == 0
        assert result(folder) == whole.result


@pytest.mark.parametrize("point", CLAIM_POINTS)
def test_killed_in_a_claim(driver: Driver, whole: Whole, tmp_path: Path, point: str) -> None:
    """Killed between commit and publishing, and again twice while claiming, nothing is missing."""
    middle = whole.passed["batch 4|5"] // 2
    assert driver.run(tmp_path, whole.feed, point="batch 4|5", count=middle) == -9
    for _ in range(2):
        # Where the first claim published the batch, there is nothing to publish in the second.
        assert driver.run(tmp_path, whole.feed, point=point, count=1) == -9
    assert driver.run(tmp_path, whole.feed) == 0
    assert result(tmp_path) == whole.result


def test_run_again_after_the_end(driver: Driver, whole: Whole, tmp_path: Path) -> None:
    """A second run of a feed that is wholly applied adds nothing."""
    assert driver.run(tmp_path, whole.feed) == 0
    assert driver.run(tmp_path, whole.feed) == 0
    assert result(tmp_path) == whole.result


def test_random_kills(driver: Driver, tmp_path: Path) -> None:
    """Twenty kills at random times, from outside, and the bytes are those of a quiet run."""
    settings = {"batch_bytes": 250_000, "model": {"k": 2, "start": "early", "min_panel": 100}}
    begun = time.monotonic()
    whole = Whole(driver, tmp_path, 330, 300, settings=settings)
    lasted = time.monotonic() - begun
    assert whole.entries > 18_000
    rng = random.Random(20)
    kills, folder = 0, tmp_path / "killed 0"
    for turn in range(1, 200):
        wait = rng.uniform(0, lasted / 4)
        code = driver.run(folder, whole.feed, settings=settings, kill_after_s=wait)
        kills += code == -9
        if kills == 20:
            break
        if code == 0:
            assert result(folder) == whole.result
            folder = tmp_path / f"killed {turn}"
    assert kills == 20
    assert driver.run(folder, whole.feed, settings=settings) == 0
    assert result(folder) == whole.result


# ---- a command -----------------------------------------------------------------------

COMMAND_POINTS = ("before claim 1", "claim 1|2", "batch 3|4", "inside batch 4", "batch 4|5")


class Promoted:
    """A feed in two halves with a promotion between, and what quiet runs make of it."""

    def __init__(self, driver: Driver, folder: Path) -> None:
        rows = feeds.lines(feeds.events(120, 60))
        half = 2 * len(rows) // 3
        self._driver = driver
        self.feeds = [
            feeds.write(folder / f"feed {i}.jsonl", part)
            for i, part in enumerate((rows[:half], rows[half:]))
        ]
        assert driver.run(folder / "half", self.feeds[0]) == 0
        self.half = folder / "half"
        self.before = result(self.half)
        self.without = self.finished(self.copy(folder / "without"))
        commanded = self.copy(folder / "with")
        assert driver.run(commanded, self.feeds[1], promote=True) == 0
        self.asked = result(commanded)
        self.steps: dict[str, int] = json.loads((commanded / "passed.json").read_text())
        self.promoted = self.finished(commanded)

    def copy(self, folder: Path) -> Path:
        """The state after the first half, elsewhere."""
        shutil.copytree(self.half, folder)
        return folder

    def finished(self, folder: Path) -> dict[str, bytes]:
        """Run the second half."""
        assert self._driver.run(folder, self.feeds[1]) == 0
        return result(folder)


@pytest.fixture(scope="module")
def promoted(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Promoted:
    return Promoted(driver, tmp_path_factory.mktemp("promoted"))


def names(found: dict[str, bytes]) -> set[str]:
    """Segments that changes led to."""
    told = [json.loads(line)["data"]["to"] for line in found[CHANGES].splitlines()]
    return {to["name"] for to in told if to}


def test_the_promotion_is_seen(promoted: Promoted) -> None:
    """The promoted model serves in the second half, and only where it was asked for."""
    assert promoted.asked != promoted.before
    assert {"A", "B"} & names(promoted.promoted)
    assert not {"A", "B"} & names(promoted.without)


@pytest.mark.parametrize("point", COMMAND_POINTS)
def test_killed_in_a_command(
    driver: Driver, promoted: Promoted, tmp_path: Path, point: str
) -> None:
    """Killed while a promotion is written, it is there wholly or not at all."""
    for count in range(1, promoted.steps[point] + 1):
        folder = promoted.copy(tmp_path / str(count))
        assert driver.run(folder, promoted.feeds[1], promote=True, point=point, count=count) == -9
        stands = result(folder)
        assert stands in (promoted.before, promoted.asked)
        assert (stands == promoted.asked) or point != "batch 4|5"
        told = promoted.promoted if stands == promoted.asked else promoted.without
        assert promoted.finished(folder) == told


@pytest.mark.parametrize(
    ("point", "counts"),
    [("inside batch 2", (1, 2, 9)), ("inside batch 4", (1, 5, 11)), ("batch 4|5", (1, 2))],
)
def test_killed_in_a_promotion(
    driver: Driver, promoted: Promoted, tmp_path: Path, point: str, counts: tuple[int, ...]
) -> None:
    """Killed where the promoted model is adopted, the next run ends as if it never was."""
    for count in counts:
        folder = promoted.copy(tmp_path / str(count))
        assert driver.run(folder, promoted.feeds[1], promote=True) == 0
        assert driver.run(folder, promoted.feeds[1], point=point, count=count) == -9
        assert promoted.finished(folder) == promoted.promoted
