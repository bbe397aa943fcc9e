"""The Explorer over the API of a real Kafka and Redis, in a real browser."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from deploy.local.local_stack import LocalStack
from tests.api.moved import moved
from tests.api.served import Served, served_live
from tests.browser.explorer import LAPTOP, PAGES, Reader, exploring, reading
from tests.explorer.conftest import with_a_refused_candidate

from segstream.core.trainer_state import Command
from segstream.settings import Settings

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Scene:
    """A shop on Kafka and Redis, its API, and the address of the pages over it."""

    settings: Settings
    api: Served
    address: str


@pytest.fixture(scope="module")
def scene(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Move a shop whose gate has refused a candidate, and explore it with a key that operates."""
    place = with_a_refused_candidate(tmp_path_factory.mktemp("explored-live"))
    settings = moved(place, stack.kafka, stack.redis, f"explore{uuid.uuid4().hex[:8]}")
    with served_live(settings, stack.redis) as api:
        url = f"http://127.0.0.1:{api.port}"
        with exploring("--api", url, key=api.operate) as address:
            yield Scene(settings, api, address)


@pytest.fixture(scope="module")
def somebody(scene: Scene) -> Iterator[Reader]:
    """Somebody at a laptop who has opened the first page."""
    with reading(LAPTOP) as reader:
        reader.open(scene.address)
        yield reader


def test_every_page_is_drawn_from_redis(somebody: Reader) -> None:
    """Each page has a figure, no error in the console, and asks no other host."""
    for page in PAGES:
        somebody.go(page)
        somebody.check_drawn(page)
    assert somebody.complaints() == []
    assert somebody.asked() == {"127.0.0.1"}


def test_the_overview_says_what_redis_holds(scene: Scene, somebody: Reader) -> None:
    """Each segment's card has the customers that the API counts, and what they spend."""
    somebody.go("Overview")
    with scene.api.client() as client:
        segments = client.get("/segments").json()["segments"]
    cards = [card.text for card in somebody.driver.find_elements("css selector", ".cards .card")]
    for segment in segments:
        shown = f"\n{segment['customers']:,}\ncustomers"
        assert any(card.startswith(segment["name"]) and shown in card for card in cards), cards


def test_a_promotion_is_asked_twice_and_sent_once(
    scene: Scene, somebody: Reader, read_topic: Callable[[str], list[Any]]
) -> None:
    """The first click asks, Cancel sends nothing, the second yes leaves one command on Kafka."""
    topic = scene.settings.kafka.topics(scene.settings.namespace).evidence

    def commands() -> list[str]:
        left = [r for r in read_topic(topic) if r.key.startswith(b"command:")]
        return [msgspec.msgpack.decode(r.value, type=Command).kind for r in left]

    somebody.go("Model")
    somebody.press("Promote the refused candidate")
    somebody.until(lambda: "Yes, do it" in somebody.text())
    somebody.press("Cancel")
    somebody.until(lambda: "Yes, do it" not in somebody.text())
    assert commands() == []
    somebody.press("Promote the refused candidate")
    somebody.press("Yes, do it")
    somebody.until(lambda: "Noted: promote the refused candidate" in somebody.text())
    assert commands() == ["promote"]
    assert somebody.complaints() == []
