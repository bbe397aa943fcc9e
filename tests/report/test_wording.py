"""Words, colours and doctests of the report."""

import doctest
import importlib

import pytest

from segstream.report.palette import OKABE_ITO, segment_colours
from segstream.report.words import Words

MODULES = ("words", "palette", "model_facts", "markup")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_hold(name: str) -> None:
    module = importlib.import_module(f"segstream.report.{name}")
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize(
    ("currency", "written"),
    [("USD", "$1,234"), ("EUR", "€1,234"), ("SEK", "SEK 1,234"), ("", "1,234")],
)
def test_money_carries_the_runs_currency(currency: str, written: str) -> None:
    assert Words("customer", currency).money(1234.4) == written


def test_a_loss_shows_its_sign_before_the_currency() -> None:
    assert Words("customer", "USD").money(-5.5) == "-$5.50"


def test_a_segment_keeps_its_colour_when_others_come_and_go() -> None:
    assert segment_colours([1, 2, 3])[3] == segment_colours([3, 5])[3] == OKABE_ITO[2]


def test_living_segments_share_no_colour_while_there_are_enough() -> None:
    assert len(set(segment_colours([1, 9, 17, 3, 2]).values())) == 5


def test_more_segments_than_colours_still_have_one_each() -> None:
    assert len(segment_colours(range(1, 13))) == 12
