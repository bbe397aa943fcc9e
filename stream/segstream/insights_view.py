"""Insights of a state directory: counted when somebody looks."""

import math

import numpy as np

from segstream.core import layout as at
from segstream.core.changes import rfc3339
from segstream.core.frequent import read_purchases
from segstream.core.insights import InsightsTable, Look, Members, insights
from segstream.core.purchases import DAY_MS
from segstream.core.spec import CompiledSpec
from segstream.view import View


def window_days(days: int, spec: CompiledSpec) -> int:
    """Days to count: those asked for, else the longest window of the features, else 0 for all."""
    hours = int(spec.arrays.windows.max(initial=0))
    return days or math.ceil(hours / 24)


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
    )
    read = read_purchases(lambda: view.purchases, look.first_day, settings.max_products)
    return insights(read, members_of(view), look)
