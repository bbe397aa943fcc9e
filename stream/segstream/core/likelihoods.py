"""How likely a customer of a group buys something, beside all customers, and how sure that is.

The likelihood is a share of people: customers of the group who bought it, of all customers of the
group, buyers or not. A softmax of mean quantities, as one published study has it, is no likelihood:
it adds up to 1 over the products, whatever anybody buys.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from segstream.core.spec import BoolArray, FloatArray, IntArray

Z: Final = 1.959963984540054
"""Of a normal distribution, 95 % lies within so many deviations of the mean."""


class Interval(NamedTuple):
    """A value and its 95 % interval, one each per row."""

    value: FloatArray
    low: FloatArray
    high: FloatArray


def wilson(successes: IntArray, trials: int | IntArray) -> Interval:
    """Share of successes with Wilson's score interval.

    Parameters
    ----------
    trials
        >= 1; of all, or of each.

    Notes
    -----
    Wilson, E. B. (1927), Journal of the American Statistical Association 22, 209-212.

    Examples
    --------
    >>> [round(float(x[0]), 4) for x in wilson(np.array([10]), 100)]
    [0.1, 0.0552, 0.1744]
    """
    share = successes / trials
    shrink = 1 + Z**2 / trials
    middle = (share + Z**2 / (2 * trials)) / shrink
    half = Z / shrink * np.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2))
    # Rounding must not push a bound past what is possible.
    return Interval(share, np.clip(middle - half, 0, share), np.clip(middle + half, share, 1))


def lift(own: IntArray, size: int | IntArray, everyone: IntArray, population: int) -> Interval:
    """Likelihood in a group by likelihood among all customers, the group's own included.

    Parameters
    ----------
    own, everyone
        Customers who bought it, in the group and in all; `everyone` >= 1.
    size, population
        Customers of the group (of all rows, or of each), >= 1, and all customers.

    Notes
    -----
    The logarithm of the lift is taken as normal (delta method). Group and all are not independent:
    with w = size / population, p in the group and q outside, lift = p / (w p + (1 - w) q), so its
    log varies by (1/p - w/m)^2 var(p) + ((1 - w)/m)^2 var(q), where m is the denominator. For the
    variance alone half a customer is added on either side, so that nobody is not certain.

    Examples
    --------
    >>> [round(float(x[0]), 2) for x in lift(np.array([30]), 100, np.array([100]), 1000)]
    [3.0, 2.31, 3.89]
    """
    value = (own / size) / (everyone / population)
    w = size / population
    p = (own + 0.5) / (size + 1)
    spread_p = p * (1 - p) / (size + 1)
    rest = population - size
    q = (everyone - own + 0.5) / (rest + 1)
    spread_q = np.where(np.equal(rest, 0), 0.0, q * (1 - q) / (rest + 1))
    mean = w * p + (1 - w) * q
    spread = (1 / p - w / mean) ** 2 * spread_p + ((1 - w) / mean) ** 2 * spread_q
    factor = np.exp(Z * np.sqrt(spread))
    centre = np.where(own > 0, value, p / mean)
    low = np.where(own > 0, centre / factor, 0.0)
    return Interval(value, low, centre * factor)


class Bought(NamedTuple):
    """Who bought what: one row per customer and thing.

    Attributes
    ----------
    customer : shape (n,), row of the customer
    thing : shape (n,), code of the product or category
    orders : shape (n,), distinct orders
    units, spend : shape (n,), stored units, returns subtracted
    """

    customer: IntArray
    thing: IntArray
    orders: IntArray
    units: IntArray
    spend: IntArray


class Lines(NamedTuple):
    """Product lines, ready to be added up; n lines.

    Attributes
    ----------
    customer, order : shape (n,), row of the customer, number of the order
    thing : shape (n,), code, >= 0
    units, spend : shape (n,), stored units, >= 0
    returned : shape (n,), true where the line takes back
    """

    customer: IntArray
    order: IntArray
    thing: IntArray
    units: IntArray
    spend: IntArray
    returned: IntArray


def bought(lines: Lines) -> Bought:
    """Add lines up by customer and thing.

    A customer who returned as many units as were bought did not buy it; what was bought before the
    window and returned within it was not bought within it either.
    """
    things = int(lines.thing.max()) + 1 if len(lines.thing) else 1
    pairs, at = np.unique(lines.customer * things + lines.thing, return_inverse=True)
    sign = np.where(lines.returned, -1, 1)
    taken = _sums(at, np.where(lines.returned, 0, lines.units), len(pairs))
    back = _sums(at, np.where(lines.returned, lines.units, 0), len(pairs))
    forward = np.flatnonzero(~lines.returned)
    orders = _distinct(at[forward], lines.order[forward], len(pairs))
    kept = (orders > 0) & ((back == 0) | (taken > back))
    return Bought(
        (pairs // things)[kept],
        (pairs % things)[kept],
        orders[kept],
        (taken - back)[kept],
        _sums(at, sign * lines.spend, len(pairs))[kept],
    )


def ranks(texts: Sequence[str]) -> IntArray:
    """Place of each text in the alphabet: an order that no codes or slots decide."""
    found = np.zeros(len(texts), dtype=np.int64)
    found[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
    return found


def distinct(values: IntArray) -> IntArray:
    """Return different values, ascending; sorted, as numpy's own hashes are slower for many.

    >>> distinct(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    ordered = np.sort(values)
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def _sums(at: IntArray, values: IntArray, size: int) -> IntArray:
    total = np.zeros(size, dtype=np.int64)
    np.add.at(total, at, values)
    return total


def _distinct(at: IntArray, what: IntArray, size: int) -> IntArray:
    """How many different `what` there are at each place."""
    if not len(at):
        return np.zeros(size, dtype=np.int64)
    width = int(what.max()) + 1
    return np.bincount(distinct(at * width + what) // width, minlength=size).astype(np.int64)


class Sales(NamedTuple):
    """What a group bought of each thing; shape (things,) each."""

    customers: IntArray
    orders: IntArray
    units: IntArray
    spend: IntArray


def sales(found: Bought, members: BoolArray, things: int) -> Sales:
    """Add up over customers.

    Parameters
    ----------
    members : shape (customers,), true for those of the group
    """
    inside = members[found.customer]
    thing = found.thing[inside]
    return Sales(
        np.bincount(thing, minlength=things).astype(np.int64),
        _sums(thing, found.orders[inside], things),
        _sums(thing, found.units[inside], things),
        _sums(thing, found.spend[inside], things),
    )
