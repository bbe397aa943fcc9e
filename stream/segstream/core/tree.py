"""The tree of the segments: which two are nearest, and which follow, down to one.

Ward's criterion on the centres, each with the weight of its customers: merged first are the two
whose merging adds least to the within-cluster sum of squares. From these clusters on this is exact;
what customers differ by within a segment is what every tree over segments leaves alone.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from segstream.core.model import Model
from segstream.core.spec import FloatArray


class Merge(msgspec.Struct, frozen=True):
    """Two branches of the tree become one.

    Attributes
    ----------
    left, right
        Ids of the segments of each branch, the nearest ones first.
    customers
        Of both.
    cost
        What merging adds to the within-cluster sum of squares, in scaled units; over the whole tree
        it adds up to what separates the segments.
    """

    left: list[int]
    right: list[int]
    customers: int
    cost: float


def tree_of(model: Model) -> list[Merge]:
    """Tree of a model's segments, by their customers when it was made."""
    segments = model.segments
    return ward([s.id for s in segments], model.centres, [s.customers for s in segments])


def ward(ids: Sequence[int], centres: FloatArray, customers: Sequence[int]) -> list[Merge]:
    """Merge segments, the nearest first; one merge less than there are segments.

    Parameters
    ----------
    centres : shape (k, F), scaled units
    customers : shape (k,), >= 0

    Notes
    -----
    Ward, J. H. (1963), Journal of the American Statistical Association 58, 236-244.

    Examples
    --------
    >>> for merge in ward([1, 2, 3], np.array([[0.0], [9.0], [10.0]]), [2, 3, 3]):
    ...     print(merge.left, merge.right, merge.customers, merge.cost)
    [2] [3] 6 1.5
    [1] [2, 3] 8 135.375
    """
    branches = [
        (_Branch([i], centre, n))
        for i, centre, n in zip(ids, centres.astype(np.float64), customers, strict=True)
    ]
    found = []
    while len(branches) > 1:
        pairs = [(a, b) for a in range(len(branches)) for b in range(a + 1, len(branches))]
        costs = [_cost(branches[a], branches[b]) for a, b in pairs]
        # Of equals the first, so that the tree does not depend on anything but its segments.
        nearest = int(np.argmin(costs))
        a, b = pairs[nearest]
        left, right = branches[a], branches[b]
        merged = _merged(left, right)
        found.append(Merge(left.ids, right.ids, merged.customers, costs[nearest]))
        branches = [one for i, one in enumerate(branches) if i not in (a, b)]
        branches.insert(a, merged)
    return found


class _Branch(msgspec.Struct, frozen=True):
    ids: list[int]
    centre: FloatArray
    customers: int


def _cost(a: _Branch, b: _Branch) -> float:
    both = a.customers + b.customers
    weight = a.customers * b.customers / both if both else 0.0
    return weight * float(((a.centre - b.centre) ** 2).sum())


def _merged(a: _Branch, b: _Branch) -> _Branch:
    both = a.customers + b.customers
    share = a.customers / both if both else 0.5
    return _Branch([*a.ids, *b.ids], share * a.centre + (1 - share) * b.centre, both)
