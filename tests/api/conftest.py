"""One small shop with customers of every name, streamed once and served for all that only look."""

from collections.abc import Iterator

import httpx
import pytest
from tests.api.served import Served, served_state
from tests.api.shops import events
from tests.cli import feeds
from tests.cli.commands import Place


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A third of a year of a shop: a model, changes, products."""
    place = Place(tmp_path_factory.mktemp("api-shop"))
    feed = feeds.write(place.folder / "feed.jsonl", feeds.lines(events()))
    assert place.stream(feed)
    return place


@pytest.fixture(scope="session")
def api(shop: Place) -> Iterator[Served]:
    """The shop, served."""
    with served_state(shop.state, shop.out) as running:
        yield running


@pytest.fixture
def reader(api: Served) -> Iterator[httpx.Client]:
    """A client that may read."""
    with api.client() as client:
        yield client
