"""What each page says: figures of the API, and what to do where there are none."""

import re
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from tests.api.served import Served, served_state
from tests.cli.commands import Place
from tests.explorer.conftest import (
    address,
    opened,
    streamed,
    with_a_refused_candidate,
    words,
)

from segstream.explorer.client import Api

pytestmark = pytest.mark.slow

PAGES = ("overview", "segment", "map_page", "customer", "what_if", "model")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_drawn(reading: Api, page: str) -> None:
    """With a model there, a page has figures or tables, and no error."""
    drawn = opened(page, reading)
    assert not drawn.exception
    assert not drawn.error
    assert drawn.get("plotly_chart")
    assert len(words(drawn)) > 200


@pytest.mark.parametrize("page", PAGES)
def test_before_the_first_model_a_page_says_what_it_waits_for(tmp_path: Path, page: str) -> None:
    """A state without a model is no error: the page says what is missing and what comes."""
    shop = streamed(tmp_path, days=20)
    with served_state(shop.state, shop.out) as api, closing(Api(address(api), api.read)) as client:
        drawn = opened(page, client)
    assert not drawn.exception
    assert [info.value for info in drawn.info] == ["No segments yet"]
    assert "still waiting" in words(drawn)


def test_an_api_that_is_away_is_said_with_the_remedy() -> None:
    """Nothing listens: the page names the address and how to start what is missing."""
    with closing(Api("http://127.0.0.1:9")) as nothing:
        drawn = opened("overview", nothing)
    assert [error.value for error in drawn.error] == ["The API does not answer"]
    assert "segstream serve" in words(drawn)


def test_a_wrong_key_is_said_with_the_remedy(api: Served) -> None:
    """The API refuses the key: the page says so, and does not repeat it."""
    with closing(Api(address(api), "segstream_wrong")) as stranger:
        drawn = opened("overview", stranger)
    assert [error.value for error in drawn.error] == ["The API does not know this key"]
    assert "--key" in words(drawn)
    assert "segstream_wrong" not in words(drawn)


def test_the_overview_shows_the_figures_of_the_api(reading: Api) -> None:
    """Every segment's name and size stands on the page as the API has it."""
    segments = reading.get("segments")["segments"]
    told = words(opened("overview", reading))
    for segment in segments:
        assert segment["name"] in told
        assert f"<b>{segment['customers']:,}</b>" in told
        assert segment["colour"] in told


def test_what_is_typed_is_answered_at_once(reading: Api) -> None:
    """A value typed in is part of the next answer; the rest stays the median, and is told."""
    drawn = opened("what_if", reading)
    assert "orders in 112 days" in words(drawn)
    asked = reading.post("assign", body={"features": {"spend_112d": 5.0}})
    drawn.number_input("what_if_spend_112d").set_value(5.0).run()
    assert not drawn.exception
    told = words(drawn)
    assert f"<h3>{asked['segment']}</h3>" in told
    assert re.search(r"Not given.*orders in 112 days", told)
    assert not re.search(r"Not given.*spend in 112 days", told)


def test_a_customer_that_is_not_there_is_no_error(reading: Api) -> None:
    """An unknown id is told as such; the next one is looked up at once."""
    drawn = opened("customer", reading)
    drawn.text_input("id").set_value("nobody").run()
    assert len(drawn.warning) == 1
    drawn.text_input("id").set_value("c0100").run()
    assert not drawn.warning
    assert "c0100" in words(drawn)


def test_odd_ids_are_looked_up_and_shown_as_text(reading: Api) -> None:
    """An id with slashes, quotes or brackets leads to its customer, and is never markup."""
    drawn = opened("customer", reading)
    for customer in ("a/why", 'say "hi"', "a?b#c", "%2F"):
        drawn.text_input("id").set_value(customer).run()
        assert not drawn.exception
        assert not drawn.warning, customer
    assert "%2F" in words(drawn)


def test_a_key_that_only_reads_is_told_so(reading: Api) -> None:
    """A command is asked for twice, and a refusal stands on the page with its reason."""
    drawn = opened("model", reading)
    press(drawn, "Fit anew")
    press(drawn, "Yes, do it")
    assert any("Could not fit" in error.value for error in drawn.error)
    assert reading.get("models")["commands"] == []


def test_a_command_is_confirmed_and_waits(tmp_path: Path, place: Place) -> None:
    """One click asks, a second one leaves the command; the page then shows it waiting."""
    state = shutil.copytree(place.state, tmp_path / "state")
    with (
        served_state(state, place.out) as api,
        closing(Api(address(api), api.operate)) as operator,
    ):
        drawn = opened("model", operator)
        press(drawn, "Fit anew")
        assert operator.get("models")["commands"] == []
        press(drawn, "Yes, do it")
        assert any("Noted" in done.value for done in drawn.success)
        until(lambda: operator.get("models")["commands"] == ["recluster"])
        drawn.run()
        assert any("recluster" in info.value for info in drawn.info)


def test_a_refused_candidate_is_shown_and_promoted(tmp_path: Path) -> None:
    """The Model page says why a candidate does not serve; two clicks let it, past the gate."""
    shop = with_a_refused_candidate(tmp_path)
    with (
        served_state(shop.state, shop.out) as api,
        closing(Api(address(api), api.operate)) as operator,
    ):
        drawn = opened("model", operator)
        assert "is not over 22.00%" in words(drawn)
        press(drawn, "Promote the refused candidate")
        assert operator.get("models")["commands"] == []
        press(drawn, "Yes, do it")
        assert any("promote the refused candidate" in done.value for done in drawn.success)
        until(lambda: operator.get("models")["commands"] == ["promote"])


def until(holds: Callable[[], bool]) -> None:
    """Wait for what the API sees at its next look at the state."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def press(drawn: AppTest, label: str) -> None:
    """Click the button of a label."""
    button = next(b for b in drawn.button if b.label == label)
    button.click().run()
