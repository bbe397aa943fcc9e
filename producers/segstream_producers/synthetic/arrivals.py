"""A day of events, as columns: each customer's arrivals are a Poisson process of his own rate."""

import math
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from segstream.kafka_settings import DAY_MS
from segstream_producers.synthetic.plan import Plan
from segstream_producers.synthetic.population import Floats, Ints, Population

KINDS: Final = ("purchase", "return", "visit", "coupon_claimed", "coupon_redeemed")
RETURN: Final = KINDS.index("return")
# Draws of customers and of days must not meet.
_STREAM: Final = 2
_YEAR_DAYS: Final = 364.0
_SEASON: Final = 0.5
# The shop sells from six in the morning to eleven at night, most in the afternoon.
_OPENS_MS: Final = 6 * 3_600_000
_OPEN_MS: Final = 17 * 3_600_000


@dataclass(frozen=True, slots=True)
class Columns:
    """Events, one row each.

    Attributes
    ----------
    number
        Of the event in the whole feed, in the order of time.
    who, segment
        Numbers of the customer, and of his behaviour that day.
    kind
        Row of `KINDS`.
    arrives_ms
        When the feed brings it, epoch ms.
    fault
        0 for the event itself, 1 for its duplicate, 2 and up for a bad copy of that kind.
    """

    number: Ints
    who: Ints
    segment: Ints
    kind: Ints
    time_ms: Ints
    amount: Floats
    units: Ints
    arrives_ms: Ints
    fault: Ints

    def __len__(self) -> int:
        return len(self.number)

    def take(self, rows: "Ints | np.typing.NDArray[np.bool_]") -> "Columns":
        """Return some rows."""
        return Columns(*(getattr(self, one.name)[rows] for one in fields(self)))

    def with_rows(self, *others: "Columns") -> "Columns":
        """Return these rows and then the others'."""
        parts = (self, *others)
        return Columns(
            *(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(self))
        )


class Shop:
    """Draws the events of each day.

    Parameters
    ----------
    people
        What `populate(plan)` gave.
    """

    def __init__(self, plan: Plan, people: Population) -> None:
        self._plan, self._people = plan, people
        table = plan.behaviours()
        per_order = np.array([[1.0, b.returns, b.visits, b.coupons, b.coupons / 2] for b in table])
        totals = per_order.sum(axis=1)
        # One more row, reached by STOPPED = -1: no events.
        self._rate = np.append([b.orders_per_week / 7 for b in table] * totals, 0.0)
        self._fade = np.append([b.fade_weeks * 7 for b in table], 0.0)
        self._kinds = np.cumsum(per_order / totals[:, None], axis=1)[:, :-1]
        self._basket = np.array([b.basket for b in table])
        self._spread = np.array([b.spread for b in table])
        self._units = np.array([b.units - 1 for b in table])

    def rates(self, day: int) -> tuple[Floats, Ints]:
        """Events a day expected of each customer, and his behaviour."""
        people = self._people
        segment = people.segment_on(day)
        rate = self._rate[segment] * people.activity
        fading = np.flatnonzero((self._fade[segment] > 0) & (day > people.fades_day))
        halvings = (day - people.fades_day[fading]) / self._fade[segment[fading]]
        rate[fading] *= np.exp2(-halvings)
        return rate * self._season(day), segment

    def _season(self, day: int) -> float:
        if self._plan.drift.kind != "seasonal":
            return 1.0
        return 1 + _SEASON * math.sin(2 * math.pi * day / _YEAR_DAYS)

    def events_of(self, day: int, first_number: int) -> Columns:
        """Draw the events of a day, by time."""
        random = np.random.default_rng([self._plan.seed, _STREAM, day])
        rate, segments = self.rates(day)
        upto = np.cumsum(rate)
        n = int(random.poisson(upto[-1]))
        # A sum of Poisson processes: how many in all, then whose each one is.
        who = np.searchsorted(upto, random.random(n) * upto[-1], side="right")
        who = np.minimum(who, len(rate) - 1)
        time_ms = np.sort(random.beta(2.5, 2.0, n) * _OPEN_MS).astype(np.int64) + _OPENS_MS
        time_ms += self._plan.start_ms + day * DAY_MS
        segment = segments[who]
        kind = (random.random(n)[:, None] >= self._kinds[segment]).sum(axis=1)
        amount = self._amounts(who, segment, kind, random)
        units = 1 + random.poisson(self._units[segment] * self._people.units[who])
        number = first_number + np.arange(n)
        fault = np.zeros(n, np.int64)
        return Columns(number, who, segment, kind, time_ms, amount, units, time_ms, fault)

    def _amounts(self, who: Ints, segment: Ints, kind: Ints, random: np.random.Generator) -> Floats:
        size = np.exp(random.standard_normal(len(who)) * self._spread[segment])
        amount = self._basket[segment] * self._people.basket[who] * size
        back = random.uniform(0.2, 1.0, len(who))
        amount = np.where(kind == RETURN, amount * back, amount)
        found: Floats = np.maximum(np.round(amount, 2), 0.01)
        return found
