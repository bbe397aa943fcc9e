"""What is bought together, on the Segment page."""

from streamlit.testing.v1 import AppTest
from tests.explorer.conftest import words


def page() -> None:
    """One pair of products that have names."""
    from segstream.explorer.screens.segment_insights import _pairs

    pair = {"a": "25671", "b": "26093", "a_name": "ICE", "b_name": "BREAD", "baskets": 3,
            "confidence": 0.5, "lift": 2.0}  # fmt: skip
    _pairs({"pairs": [pair]})


def test_a_pair_is_told_by_the_names_of_its_products() -> None:
    """Numbers stand only for products that nobody named."""
    told = words(AppTest.from_function(page).run())
    assert "ICE" in told
    assert "BREAD" in told
    assert "25671" not in told
