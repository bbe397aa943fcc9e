"""A small shop behind the real API, streamed once, and the pages of the Explorer in front of it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from streamlit.testing.v1 import AppTest
from tests.api.served import Served, served_state
from tests.api.shops import events
from tests.cli import feeds
from tests.cli.commands import Place

from segstream.explorer.client import Api
from segstream.settings import Settings

_CUT_DAYS = 186


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A third of a year of a shop: a model, changes, products."""
    return streamed(tmp_path_factory.mktemp("explored"), days=150)


@pytest.fixture(scope="session")
def api(place: Place) -> Iterator[Served]:
    """The shop, served."""
    with served_state(place.state, place.out) as running:
        yield running


def streamed(folder: Path, days: int) -> Place:
    """Stream so many days of the shop."""
    shop = Place(folder)
    feed = feeds.write(folder / "feed.jsonl", feeds.lines(events(days=days)))
    assert shop.stream(feed)
    return shop


def with_a_refused_candidate(folder: Path) -> Place:
    """Stream the shop up to a day on which the gate has refused a candidate."""
    # A gate that wants more than the candidate of this shop wins on its second day.
    settings = msgspec.convert({"model": {"gate": {"gain": 0.22, "upkeep": 0.0}}}, Settings)
    until_ms = feeds.START_MS + _CUT_DAYS * feeds.DAY_MS
    lines = feeds.lines([e for e in events(days=200) if e["ts"] < until_ms])
    shop = Place(folder)
    assert shop.stream(feeds.write(folder / "feed.jsonl", lines), settings=settings)
    return shop


@pytest.fixture
def reading(api: Served) -> Iterator[Api]:
    """The shared shop, for a page that only looks."""
    with closing(Api(address(api), api.read)) as client:
        yield client


def address(api: Served) -> str:
    return f"http://127.0.0.1:{api.port}"


def opened(page: str, api: Api) -> AppTest:
    """Draw one page as a reader's first look does."""

    def script(page: str, api: "Api") -> None:  # its source alone is run
        from importlib import import_module

        from segstream.explorer.following import follow

        follow(import_module(f"segstream.explorer.screens.{page}").page, api)

    drawn = AppTest.from_function(script, args=(page, api), default_timeout=30)
    return drawn.run()


def words(drawn: AppTest) -> str:
    """All that a page says, without its figures."""
    kinds = (drawn.title, drawn.subheader, drawn.caption, drawn.markdown, drawn.error,
             drawn.info, drawn.success, drawn.warning)  # fmt: skip
    told = [str(element.value) for kind in kinds for element in kind]
    told += [element.proto.body for element in drawn.get("html")]
    return "\n".join(told)
