"""Blocks read together, with all products where they fit and the frequent ones where not.

Beyond so many different products a sketch of their lines says which are frequent (Misra and Gries'
summary as in Apache DataSketches: Anderson et al. 2017, A High-Performance Algorithm for
Identifying Frequent Items in Data Streams). The frequent ones are then counted exactly; what is
left out is told as a bound.
"""

import math
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np
from datasketches import frequent_items_error_type, frequent_strings_sketch

from segstream.core.purchase_blocks import Merger, since
from segstream.core.purchases import NONE, Purchases

Blocks = Callable[[], Iterable[Purchases]]
"""Gives the rows of the same blocks each time it is called."""

_LOAD: Final = 0.75
"""How full the sketch lets its table get."""


class Read(NamedTuple):
    """Purchases of a window.

    Attributes
    ----------
    error
        None where every product is there. Else the share of all product lines below which a
        product may have been left out, and above which none was.
    """

    purchases: Purchases
    error: float | None


def read_purchases(blocks: Blocks, first_day: int, max_products: int) -> Read:
    """Read blocks together.

    Parameters
    ----------
    first_day
        Orders of days before it are left out; what was told of customers never is.
    max_products
        Different products that are told apart without a sketch, >= 1.
    """
    merger = Merger()
    for rows in blocks():
        merger.add(since(rows, first_day))
        if merger.products > max_products:
            return _frequent(blocks, first_day, max_products)
    return Read(merger.merged(), None)


def _frequent(blocks: Blocks, first_day: int, max_products: int) -> Read:
    sketch = frequent_strings_sketch(lg_size(max_products))
    for whole in blocks():
        rows = since(whole, first_day)
        told = rows.lines["product"]
        codes, counts = np.unique(told[told != NONE], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            sketch.update(rows.texts["product"][code], count)
    found = sketch.get_frequent_items(frequent_items_error_type.NO_FALSE_NEGATIVES)
    kept = frozenset(name for name, *_ in found)
    merger = Merger()
    for rows in blocks():
        merger.add(_only(since(rows, first_day), kept))
    return Read(merger.merged(), sketch.epsilon)


def lg_size(max_products: int) -> int:
    """Binary logarithm of the sketch's table: as many products as are told apart without it.

    >>> lg_size(3)
    3
    """
    return max(3, math.ceil(math.log2(max_products / _LOAD)))


def _only(rows: Purchases, kept: frozenset[str]) -> Purchases:
    """Forget which product a line is of where it is not one of those; its category stays."""
    names = rows.texts.get("product", [])
    known = np.array([*(name in kept for name in names), False])
    codes = rows.lines["product"]
    lines = rows.lines | {"product": np.where(known[codes], codes, NONE)}
    return Purchases(rows.orders, lines, rows.traits, rows.texts)
