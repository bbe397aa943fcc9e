"""Cities and coupons in the report: only where there is something to say of them."""

import numpy as np
from tests.core.test_places import cities, world

from segstream.core.insights_answer import GroupInsights, InsightsTable
from segstream.core.places_answer import Places
from segstream.report.places import drawn_text, places_section


def table_of(places: list[Places]) -> InsightsTable:
    nobody = GroupInsights(0, 0, 0, 0.0, 0.0, [], [], [], {})
    return InsightsTable("", 7, None, nobody, {}, [], [], [], True, None, {}, places)


def test_nothing_to_say_is_no_section() -> None:
    """No insights, no lists, or cities too small to compare without coupons: no heading."""
    alone = cities(world(np.arange(30), np.zeros(30), 0, seed=1))
    assert alone.rows
    for found in (None, table_of([]), table_of([alone])):
        assert places_section(found) == ""


def test_of_many_cities_it_says_how_many_are_drawn() -> None:
    """Twelve of twenty, and all of five."""
    for count, says in ((20, "Drawn: 12 of 20"), (5, "")):
        found = cities(world(np.arange(400) % count, np.full(400, 0.5), 4, seed=1))
        assert drawn_text(found).startswith(says)
        page = places_section(table_of([found]))
        assert f"None of {count} cities differs" in page
        assert says in page
