"""Insights of a state directory: counted when somebody looks."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import pandas as pd

from segstream.adapters.playbook_files import named_playbook
from segstream.core import layout as at
from segstream.core.changes import rfc3339
from segstream.core.frequent import read_purchases
from segstream.core.insights import TOP_PRODUCTS, Look, Members, insights
from segstream.core.insights_answer import GroupInsights, InsightsTable, Likelihood, TopProduct
from segstream.core.place_playbook import PlaceTemplate
from segstream.core.places_answer import Place, PlaceKind, Places
from segstream.core.purchase_blocks import decode_block
from segstream.core.purchases import DAY_MS
from segstream.core.spec import CompiledSpec
from segstream.errors import ConfigError
from segstream.settings import Settings
from segstream.view import View


def window_days(days: int, spec: CompiledSpec) -> int:
    """Days to count: those asked for, else the longest window of the features, else 0 for all."""
    hours = int(spec.arrays.windows.max(initial=0))
    return days or math.ceil(hours / 24)


def place_templates(
    settings: Settings, spec: CompiledSpec
) -> tuple[tuple[PlaceTemplate, ...], list[str]]:
    """Read what the playbook says of cities and coupons, as it stands now; else say why not.

    Whoever looks need not be where the run was, so that a playbook may be out of reach.
    """
    try:
        return named_playbook(settings.playbook, spec).place, []
    except ConfigError as error:
        return (), [f"no advice on cities and coupons: {error}"]


def members_of(view: View) -> Members:
    """Every customer and the segment published last."""
    _, rows = view.partition.living()
    segment = view.partition.head(rows)[:, at.SEGMENT]
    segment = np.where(segment == at.NO_SEGMENT, -1, segment)
    return Members(rows, segment, tuple(s.id for s in view.model.segments) if view.model else ())


def insights_of_state(
    view: View, days: int = 0, products: int | None = 100, pairs: int = 20
) -> InsightsTable:
    """Count what each segment buys.

    Parameters
    ----------
    days
        UTC days of event time, the open one included; 0 is as the settings say.
    products, pairs
        Told per group, at most; None for all products.
    """
    settings = view.settings.insights
    advice, notices = place_templates(view.settings, view.spec)
    clock_ms = max(view.partition.clock_ms, 0)
    last_day, first_day = clock_ms // DAY_MS, max(view.partition.first_ms, 0) // DAY_MS
    look = Look(
        as_of=rfc3339(clock_ms),
        model=view.model.version if view.model else None,
        last_day=last_day,
        days=window_days(days or settings.days, view.spec) or last_day - first_day + 1,
        products=products,
        pairs=pairs,
        names=view.product_names,
        segment_names={s.id: s.name for s in view.model.segments} if view.model else {},
        advice=advice,
        notices=notices,
    )
    read = read_purchases(
        lambda: map(decode_block, view.purchases), look.first_day, settings.max_products
    )
    return insights(read, members_of(view), look)


_PLACE_COLUMNS: Final = (
    "kind", "value", "segment_id", "segment", "customers", "share", "lift", "lift_low", "lift_high",
    "claimed", "claimed_redeemed", "redeemed", "rate", "low", "high", "rate_of_all", "differs", "p",
    "advice", "strategy",
)  # fmt: skip


# ---- tables --------------------------------------------------------------------------------


def likelihoods_frame(view: View, table: InsightsTable, categories: bool = False) -> pd.DataFrame:
    """One row per group and product (or category), the likeliest of each group first.

    Columns: segment_id (empty for all customers), segment, those of `Likelihood`.
    """
    rows = [
        (key, name, *msgspec.structs.astuple(one))
        for key, name, group in _groups(view, table)
        for one in (group.categories if categories else group.products)
    ]
    frame = pd.DataFrame(rows, columns=["segment_id", "segment", *Likelihood.__struct_fields__])
    frame["segment_id"] = frame["segment_id"].astype("Int64")
    return frame


def top_products_frame(view: View, table: InsightsTable) -> pd.DataFrame:
    """The products with the most orders of each group, `TOP_PRODUCTS` of each at most.

    Columns: segment_id (empty for all customers), segment, rank, those of `TopProduct`.
    """
    rows: list[tuple[object, ...]] = []
    for key, name, group in _groups(view, table):
        best = sorted(group.products, key=lambda p: (-p.orders, -p.customers, p.id))
        rows += [
            (key, name, rank, p.id, p.name, p.customers, p.orders, p.units, p.revenue)
            for rank, p in enumerate(best[:TOP_PRODUCTS], 1)
        ]
    columns = ["segment_id", "segment", "rank", *TopProduct.__struct_fields__]
    frame = pd.DataFrame(rows, columns=columns)
    frame["segment_id"] = frame["segment_id"].astype("Int64")
    return frame


def places_frame(view: View, table: InsightsTable, kinds: Sequence[PlaceKind]) -> pd.DataFrame:
    """One row per place for all of its customers, and one for those of each segment.

    Columns: kind, value, segment_id (empty for all customers), segment, customers, share (of the
    place's), lift and its interval (of a segment in a city), coupons claimed, claimed_redeemed and
    redeemed, rate, its interval, rate_of_all, differs (in the rate, or in the segment's share), p,
    advice (name in the playbook), strategy.
    """
    rows: list[tuple[object, ...]] = []
    for one in table.places:
        if one.kind in kinds:
            rows += [row for place in one.rows for row in _place_rows(view, one, place)]
    frame = pd.DataFrame(rows, columns=list(_PLACE_COLUMNS))
    whole = ["segment_id", "claimed", "claimed_redeemed", "redeemed"]
    return frame.astype(dict.fromkeys(whole, "Int64"))


def _place_rows(view: View, every: Places, place: Place) -> Iterator[tuple[object, ...]]:
    advice = {one.segment_id: (one.name, one.strategy) for one in place.advice}
    head, none = (every.kind, place.value), (None,) * 3
    yield (
        *head, None, "all", place.customers, 1.0, *none, place.claimed, place.claimed_redeemed,
        place.redeemed, place.rate, place.low, place.high, every.rate, place.differs, place.p,
        *advice.get(None, ("", "")),
    )  # fmt: skip
    for own in place.segments:
        yield (
            *head, own.segment_id, view.segment_name(own.segment_id), own.customers, own.share,
            own.lift, own.low, own.high, *none, *none, None, own.differs, None,
            *advice.get(own.segment_id, ("", "")),
        )  # fmt: skip


def _groups(view: View, table: InsightsTable) -> Iterator[tuple[int | None, str, GroupInsights]]:
    yield None, "all", table.all
    for key, group in table.segments.items():
        yield int(key), view.segment_name(int(key)), group
