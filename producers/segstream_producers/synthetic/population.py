"""Who is in the shop: each customer's planted segment, own variation, and when it changes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from segstream_producers.synthetic.plan import Plan

Ints = np.typing.NDArray[np.int64]
Floats = np.typing.NDArray[np.float64]
STOPPED: Final = -1
# A segment vanishes, and a new one joins, within so many days.
_SHORT_DAYS: Final = 14
# Draws of customers and of days must not meet.
_STREAM: Final = 1
# Customers of one segment differ: rates by a gamma of this shape, baskets by a lognormal.
_RATE_SHAPE: Final = 8.0
_BASKET_SPREAD: Final = 0.2


@dataclass(frozen=True, slots=True)
class Population:
    """Customers by number, one row each.

    Attributes
    ----------
    before, after
        Rows of `Plan.behaviours()` until and from `switch_day`; `STOPPED` for none.
    switch_day, joins_day, fades_day
        Days after the start; the plan's days where it never comes.
    activity, basket, units
        The customer's own factors, about one.
    """

    before: Ints
    after: Ints
    switch_day: Ints
    joins_day: Ints
    fades_day: Ints
    activity: Floats
    basket: Floats
    units: Floats

    def segment_on(self, day: int) -> Ints:
        """Behaviour of each customer on a day; `STOPPED` where there is none."""
        now = np.where(day < self.switch_day, self.before, self.after)
        return np.where(day < self.joins_day, STOPPED, now)


def customer_id(number: int) -> str:
    """Id of a customer: his number, which says nothing of his segment."""
    return f"c{number:08d}"


def populate(plan: Plan) -> Population:
    """Draw the customers of a plan."""
    random = np.random.default_rng([plan.seed, _STREAM])
    n = plan.customers
    shares = np.array([one.share for one in plan.segments])
    before = random.choice(len(shares), n, p=shares / shares.sum()).astype(np.int64)
    found = Population(
        before=before,
        after=before.copy(),
        switch_day=np.full(n, plan.days, np.int64),
        joins_day=np.zeros(n, np.int64),
        fades_day=random.integers(0, plan.days, n),
        activity=random.gamma(_RATE_SHAPE, 1 / _RATE_SHAPE, n),
        basket=random.lognormal(0.0, _BASKET_SPREAD, n),
        units=random.lognormal(0.0, _BASKET_SPREAD, n),
    )
    _DRIFT.get(plan.drift.kind, _stay)(plan, found, random)
    return found


def _stay(plan: Plan, found: Population, random: np.random.Generator) -> None:
    del plan, found, random


def _chosen(plan: Plan, found: Population, random: np.random.Generator) -> Ints:
    """Return the drift's share of its segment."""
    own = np.flatnonzero(found.before == plan.named(plan.drift.segment))
    return np.sort(random.choice(own, round(len(own) * plan.drift.share), replace=False))


def _days(plan: Plan, length: int, n: int, random: np.random.Generator) -> Ints:
    """Days of change, even over `length` days from the drift's day on."""
    return np.minimum(plan.drift_day + random.integers(0, length, n), plan.days)


def _abrupt(plan: Plan, found: Population, random: np.random.Generator) -> None:
    who = _chosen(plan, found, random)
    found.after[who] = plan.named(plan.drift.other)
    found.switch_day[who] = plan.drift_day


def _gradual(plan: Plan, found: Population, random: np.random.Generator) -> None:
    who = _chosen(plan, found, random)
    found.after[who] = plan.named(plan.drift.other)
    found.switch_day[who] = _days(plan, 7 * plan.drift.weeks, len(who), random)


def _new(plan: Plan, found: Population, random: np.random.Generator) -> None:
    who = random.choice(plan.customers, round(plan.customers * plan.drift.share), replace=False)
    found.before[who] = found.after[who] = len(plan.segments)
    found.joins_day[who] = _days(plan, _SHORT_DAYS, len(who), random)


def _vanish(plan: Plan, found: Population, random: np.random.Generator) -> None:
    who = random.permutation(np.flatnonzero(found.before == plan.named(plan.drift.segment)))
    found.after[who] = plan.named(plan.drift.other)
    found.after[who[: len(who) // 2]] = STOPPED
    found.switch_day[who] = _days(plan, _SHORT_DAYS, len(who), random)


def _split(plan: Plan, found: Population, random: np.random.Generator) -> None:
    who = random.permutation(np.flatnonzero(found.before == plan.named(plan.drift.segment)))
    found.after[who] = len(plan.segments)
    found.after[who[: len(who) // 2]] = len(plan.segments) + 1
    found.switch_day[who] = plan.drift_day


def _merge(plan: Plan, found: Population, random: np.random.Generator) -> None:
    del random
    both = (plan.named(plan.drift.segment), plan.named(plan.drift.other))
    who = np.flatnonzero(np.isin(found.before, both))
    found.after[who] = len(plan.segments)
    found.switch_day[who] = plan.drift_day


_DRIFT: Final[dict[str, Callable[[Plan, Population, np.random.Generator], None]]] = {
    "abrupt": _abrupt, "gradual": _gradual, "new": _new, "vanish": _vanish, "split": _split,
    "merge": _merge,
}  # fmt: skip
