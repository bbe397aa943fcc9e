"""What is bought together: pairs of products in one order, with support, confidence and lift.

Agrawal, R. and Srikant, R. (1994), Fast Algorithms for Mining Association Rules, VLDB.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from scipy.sparse import csc_matrix

from segstream.core.likelihoods import distinct
from segstream.core.spec import FloatArray, IntArray

PRODUCTS: Final = 300
"""Pairs are looked for among so many products, those in the most baskets: rarer ones are noise."""
LEAST_BASKETS: Final = 10
LEAST_SHARE: Final = 0.002
"""Of the group's baskets; a pair needs both. Among 45,000 pairs chance alone makes high lifts."""
LEAST_CUSTOMERS: Final = 5
"""Who bought the pair: the habit of one household is no rule."""


class Basket(NamedTuple):
    """Lines that were bought; n lines.

    Attributes
    ----------
    customer, order, product : shape (n,)
    """

    customer: IntArray
    order: IntArray
    product: IntArray


class Pairs(NamedTuple):
    """Rules a ► b; one per row, the highest lift first.

    Attributes
    ----------
    a, b : shape (n,), codes of products
    baskets : shape (n,), orders with both
    support : shape (n,), share of the group's orders with both
    confidence : shape (n,), of the orders with a, those that have b
    lift : shape (n,), confidence by the share of orders with b
    """

    a: IntArray
    b: IntArray
    baskets: IntArray
    support: FloatArray
    confidence: FloatArray
    lift: FloatArray


class _Counted(NamedTuple):
    """Baskets by common products, as a matrix of ones, and what its columns are."""

    matrix: Any
    product: IntArray
    customer: IntArray


def pairs(lines: Basket, limit: int) -> Pairs:
    """Find pairs; of a ► b and b ► a the one with the higher confidence.

    Parameters
    ----------
    limit
        Pairs to return at most.
    """
    if not len(lines.order) or not limit:
        none, ratio = np.zeros(0, dtype=np.int64), np.zeros(0)
        return Pairs(none, none, none, ratio, ratio, ratio)
    counted = _counted(lines)
    baskets = len(counted.customer)
    together = np.asarray((counted.matrix.T @ counted.matrix).todense(), dtype=np.int64)
    alone = np.diag(together)
    least = max(LEAST_BASKETS, int(np.ceil(LEAST_SHARE * baskets)))
    a, b = np.nonzero(np.triu(together, 1) >= least)
    # The rarer product says more about the commoner one.
    swap = alone[a] > alone[b]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    both = together[a, b]
    lift = both * baskets / (alone[a] * alone[b])
    best = _common(counted, a, b, np.lexsort((b, a, -both, -lift)), limit)
    a, b, both, lift = a[best], b[best], both[best], lift[best]
    named = counted.product
    return Pairs(named[a], named[b], both, both / baskets, both / alone[a], lift)


def _counted(lines: Basket) -> _Counted:
    _, first, basket = np.unique(lines.order, return_index=True, return_inverse=True)
    width = int(lines.product.max()) + 1
    cells = distinct(basket * width + lines.product)
    basket, product = cells // width, cells % width
    counts = np.bincount(product)
    common = np.argsort(-counts, kind="stable")[:PRODUCTS]
    column = np.full(width, -1, dtype=np.int64)
    column[common] = np.arange(len(common))
    kept = column[product] >= 0
    ones = np.ones(int(kept.sum()), dtype=np.int64)
    where = (basket[kept], column[product[kept]])
    matrix = csc_matrix((ones, where), shape=(len(first), len(common)))
    return _Counted(matrix, common, lines.customer[first])


def _common(counted: _Counted, a: IntArray, b: IntArray, order: IntArray, limit: int) -> IntArray:
    """The first pairs, in the order given, that enough customers bought."""
    found: list[int] = []
    matrix = counted.matrix
    for i in order.tolist():
        if len(found) == limit:
            break
        baskets = np.intersect1d(_rows(matrix, a[i]), _rows(matrix, b[i]), assume_unique=True)
        if len(distinct(counted.customer[baskets])) >= LEAST_CUSTOMERS:
            found.append(i)
    return np.array(found, dtype=np.int64)


def _rows(matrix: Any, column: int) -> IntArray:
    found: IntArray = matrix.indices[matrix.indptr[column] : matrix.indptr[column + 1]]
    return found
