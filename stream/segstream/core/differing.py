"""Whether shares of groups differ from those of the others, when many groups are looked at.

One interval of 95 % in twenty leaves out the truth by chance alone, so whoever looks at twenty
cities finds one that "differs". P-values are therefore adjusted by Holm's method: where no group
differs, a list names one with a probability of at most 5 %, whatever its length.

scipy is imported where it is used: what only looks is spared the second that it takes.
"""

import math
from typing import Final

import numpy as np

from segstream.core.spec import BoolArray, FloatArray, IntArray

ALPHA: Final = 0.05
LEAST_EXPECTED: Final = 5.0
"""Successes and failures to expect on either side for the normal distribution to fit (Cochran)."""
LEAST_CUSTOMERS: Final = 10
"""A habit of a few customers is not one of a place."""


def enough(size: IntArray, everyone: IntArray, population: int, customers: IntArray) -> BoolArray:
    """Whether groups are large enough to compare with the rest.

    It depends on sizes and the share of all alone, never on what was found in the group, so that
    leaving groups out does not favour any result.

    Parameters
    ----------
    size : shape (n,), trials of each group
    everyone, population
        Successes (of all rows, or of each) and trials of all, >= 1.
    customers : shape (n,), different customers behind the trials
    """
    share = everyone / population
    rarer = np.minimum(share, 1 - share)
    smaller = np.minimum(size, population - size)
    found: BoolArray = (smaller * rarer >= LEAST_EXPECTED) & (customers >= LEAST_CUSTOMERS)
    return found


def p_values(
    own: IntArray, size: IntArray, everyone: IntArray, population: int, effect: FloatArray
) -> FloatArray:
    """Two-sided p-value of each group's share against that of all others.

    The larger of two: the score test, which takes the effect in, and the exact test, since far out
    on its tail, where a long list looks, a score of few successes is not normal.

    Parameters
    ----------
    own, size : shape (n,), successes and trials, 0 < size < population
    everyone, population
        Successes (of all rows, or of each), some but not all, and trials of all.
    effect : shape (n,), >= 1
        How many times more the group's share varies than independent trials would.

    Notes
    -----
    The exact one is twice the smaller tail of the hypergeometric distribution (Fisher, R. A., 1935,
    Journal of the Royal Statistical Society 98, 39-82).

    Examples
    --------
    >>> found = p_values(np.array([60, 50]), np.array([100, 100]), np.array(500), 1000,
    ...                  np.ones(2))
    >>> found.round(4).tolist()
    [0.0448, 1.0]
    """
    return np.maximum(
        _score(own, size, everyone, population, effect), _exact(own, size, everyone, population)
    )


def _score(
    own: IntArray, size: IntArray, everyone: IntArray, population: int, effect: FloatArray
) -> FloatArray:
    rest = population - size
    share = everyone / population
    gap = own / size - (everyone - own) / rest
    z = gap / np.sqrt(share * (1 - share) * effect * (1 / size + 1 / rest))
    return np.array([math.erfc(abs(x) / math.sqrt(2)) for x in z.tolist()], dtype=np.float64)


def _exact(own: IntArray, size: IntArray, everyone: IntArray, population: int) -> FloatArray:
    from scipy.stats import hypergeom

    drawn = hypergeom(population, everyone, size)
    smaller = np.minimum(drawn.cdf(own), drawn.sf(own - 1))
    return np.minimum(1.0, 2 * np.asarray(smaller, dtype=np.float64))


def holm(p: FloatArray) -> FloatArray:
    """Adjust p-values for their number; a group differs where it is under `ALPHA` then.

    Notes
    -----
    Holm, S. (1979), Scandinavian Journal of Statistics 6, 65-70.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(p) else steps
    return adjusted


def design_effect(
    group: IntArray, customer: IntArray, success: BoolArray, groups: int
) -> tuple[IntArray, FloatArray]:
    """Count customers of each group, and how much more its share varies for being theirs.

    Trials of one customer are alike: one who redeems everything is one customer, not twenty
    coupons. The variance of a share of sums over customers (linearised) by that of independent
    trials, at least 1.

    Parameters
    ----------
    group, customer, success : shape (trials,)
    groups
        How many there are.

    Notes
    -----
    Kish, L. (1965), Survey Sampling, sections 6.4 and 8.2.

    Examples
    --------
    >>> two = np.array([0, 0, 1, 1])
    >>> customers, effect = design_effect(two * 0, two, np.array([1, 1, 0, 0], dtype=bool), 1)
    >>> customers.tolist(), effect.tolist()
    ([2], [4.0])
    """
    width = int(customer.max()) + 1 if len(customer) else 1
    pairs = group * width + customer
    order = np.argsort(pairs)
    ordered = pairs[order]
    first = np.ones(len(pairs), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    starts, of = np.flatnonzero(first), ordered[first] // width
    trials = np.diff(starts, append=len(pairs)).astype(np.float64)
    wins = np.add.reduceat(success[order].astype(np.float64), starts) if len(pairs) else trials

    def summed(values: FloatArray) -> FloatArray:
        total: FloatArray = np.bincount(of, weights=values, minlength=groups).astype(np.float64)
        return total

    customers = np.bincount(of, minlength=groups).astype(np.int64)
    size = summed(trials)
    share = summed(wins) / np.maximum(size, 1)
    spread = (
        summed(wins**2) - 2 * share * summed(wins * trials) + share**2 * summed(trials**2)
    ) * (customers / np.maximum(customers - 1, 1))
    plain = size * share * (1 - share)
    sure = plain > 0
    effect = np.ones(groups)
    effect[sure] = np.maximum(1.0, spread[sure] / plain[sure])
    return customers, effect
