"""What is bought together: pairs of products in one order, with support, confidence and lift.

Agrawal, R. and Srikant, R. (1994), Fast Algorithms for Mining Association Rules, VLDB.
"""

from typing import Final, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from segstream.core.spec import FloatArray, IntArray

PRODUCTS: Final = 300
"""Pairs are looked for among so many products, those in the most baskets: rarer ones are noise."""
LEAST_BASKETS: Final = 10
LEAST_SHARE: Final = 0.002
"""Of the group's baskets; a pair needs both. Among 45,000 pairs chance alone makes high lifts."""


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


def pairs(order: IntArray, product: IntArray, limit: int) -> Pairs:
    """Find pairs; of a ► b and b ► a the one with the higher confidence.

    Parameters
    ----------
    order, product : shape (n,), lines that were bought
    limit
        Pairs to return at most.
    """
    if not len(order):
        return _chosen(np.zeros((0, 0), dtype=np.int64), np.zeros(0, dtype=np.int64), 1, limit)
    _, basket = np.unique(order, return_inverse=True)
    baskets = int(basket.max()) + 1
    lines = np.unique(np.stack((basket, product), axis=1), axis=0)
    counts = np.bincount(lines[:, 1])
    common = np.argsort(-counts, kind="stable")[:PRODUCTS]
    column = np.full(len(counts), -1, dtype=np.int64)
    column[common] = np.arange(len(common))
    lines = lines[column[lines[:, 1]] >= 0]
    shape = (baskets, len(common))
    ones = np.ones(len(lines), dtype=np.int64)
    matrix = csr_matrix((ones, (lines[:, 0], column[lines[:, 1]])), shape=shape)
    together = np.asarray((matrix.T @ matrix).todense(), dtype=np.int64)
    return _chosen(together, common, baskets, limit)


def _chosen(together: IntArray, common: IntArray, baskets: int, limit: int) -> Pairs:
    alone = np.diag(together) if len(together) else np.zeros(0, dtype=np.int64)
    least = max(LEAST_BASKETS, int(np.ceil(LEAST_SHARE * baskets)))
    a, b = np.nonzero(np.triu(together, 1) >= least)
    # The rarer product says more about the commoner one.
    swap = alone[a] > alone[b]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    both = together[a, b]
    lift = both * baskets / (alone[a] * alone[b])
    best = np.lexsort((b, a, -both, -lift))[:limit]
    a, b, both, lift = a[best], b[best], both[best], lift[best]
    return Pairs(common[a], common[b], both, both / baskets, both / alone[a], lift)
