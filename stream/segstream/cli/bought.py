"""What `segstream export` counts: products, cities and coupons, by segment."""

from typing import Final

import click
import pandas as pd

from segstream.core.insights_answer import InsightsTable
from segstream.core.places_answer import PlaceKind
from segstream.errors import ConfigError, StateError
from segstream.insights_view import (
    insights_of_state,
    likelihoods_frame,
    places_frame,
    top_products_frame,
)
from segstream.view import View

_PLACES: Final[dict[str, tuple[PlaceKind, ...]]] = {
    "places": ("city",),
    "coupons": ("coupon", "merchant", "branch"),
}
BOUGHT: Final = ("likelihoods", "top-products", *_PLACES)


def bought_frame(view: View, what: str, days: int, by: str) -> pd.DataFrame:
    """Count what every group buys, as a table.

    Raises
    ------
    StateError
        The state keeps no purchases.
    """
    if not view.purchases:
        raise StateError(
            "state: expected purchases to count, got none: no event of it bought anything, or it "
            "was run with insights.enabled = false; run the events into a new --state"
        )
    table = insights_of_state(view, days, products=None, pairs=0)
    for notice in table.notices:
        click.echo(f"segstream: {notice}", err=True)
    if what in _PLACES:
        return _told_places(view, table, _PLACES[what])
    if what == "likelihoods":
        return likelihoods_frame(view, table, by == "category")
    return top_products_frame(view, table)


def _told_places(view: View, table: InsightsTable, kinds: tuple[PlaceKind, ...]) -> pd.DataFrame:
    """Say on stderr what the rows come to, also where there are none."""
    found = [one for one in table.places if one.kind in kinds]
    for line in [line for one in found for line in one.says] or [
        f"no event names a {' or a '.join(kinds)}, so there are no rows"
    ]:
        click.echo(f"segstream: {line}", err=True)
    return places_frame(view, table, kinds)


def of_segment(view: View, frame: pd.DataFrame, segment: int | None) -> pd.DataFrame:
    """Keep the rows of one segment, of all where none is asked for.

    Raises
    ------
    ConfigError
        It is no living segment.
    """
    if segment is None:
        return frame
    known = [s.id for s in view.model.segments] if view.model else []
    if segment not in known:
        ids = ", ".join(map(str, known)) or "none yet"
        raise ConfigError(f"--segment: expected the id of a living segment ({ids}), got {segment}")
    return frame[frame["segment_id"] == segment]
