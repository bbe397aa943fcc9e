"""One small shop, streamed once for all tests that only look."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli import feeds
from tests.cli.commands import Place, small_batches


@dataclass(frozen=True, slots=True)
class Shop:
    """A feed of a third of a year, and what an undisturbed run makes of it."""

    feed: Path
    rows: list[bytes]
    place: Place


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop of 150 customers with repeats and dead letters, a model and changes."""
    folder = tmp_path_factory.mktemp("shop")
    # No erasures: what remembers them is keyed by the state's random name.
    rows = feeds.dirty(feeds.lines(feeds.events(150, 150, erase=False)))
    made = Shop(feeds.write(folder / "feed.jsonl", rows), rows, Place(folder))
    assert made.place.stream(made.feed, settings=small_batches())
    return made


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A new state and output."""
    return Place(tmp_path)
