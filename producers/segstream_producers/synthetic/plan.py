"""What a synthetic feed is made by: behaviours, drift, faults; all of it a value."""

from dataclasses import dataclass, replace
from typing import Final

from segstream.errors import ConfigError
from segstream.kafka_settings import DAY_MS

START_MS: Final = 1_735_689_600_000  # 2025-01-01
DRIFTS: Final = {
    "none": "everybody stays as planted",
    "abrupt": "a share of one segment behaves like another from one day on",
    "gradual": "the same, spread evenly over some weeks",
    "new": "a share of all customers joins at that time, as a segment of its own",
    "vanish": "a segment ends within two weeks: half stop, half behave like another",
    "split": "a segment divides: half come more often for less, half rarely for more",
    "merge": "two segments behave as their mean from one day on",
    "seasonal": "all rates go up and down over the year; nobody changes segment",
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the customers of a planted segment behave.

    Attributes
    ----------
    share
        Of the customers; a plan's shares are scaled to one.
    orders_per_week
        Mean of the customers' own rates.
    basket
        Median amount of an order, currency units.
    spread
        Deviation of the log of the amount, order by order.
    units
        Mean units of an order, >= 1.
    returns, visits, coupons
        Events of that kind per order; half of the coupons claimed are redeemed.
    fade_weeks
        From a day of the customer's own the rate halves in so many weeks; 0 for never.
    """

    name: str
    share: float
    orders_per_week: float
    basket: float
    spread: float = 0.35
    units: float = 3.0
    returns: float = 0.03
    visits: float = 0.4
    coupons: float = 0.1
    fade_weeks: float = 0.0


SEGMENTS: Final = (
    Behaviour("frequent_small", 0.25, 2.0, 12.0, units=2.0, visits=0.2, coupons=0.05),
    Behaviour("loyal_full", 0.15, 1.2, 90.0, units=14.0, visits=0.5, coupons=0.4),
    Behaviour("rare_big", 0.20, 0.16, 240.0, units=5.0, returns=0.12, visits=1.0),
    Behaviour("occasional", 0.25, 0.22, 30.0, units=3.0, visits=0.8, coupons=0.15),
    Behaviour("going_quiet", 0.15, 0.9, 45.0, units=6.0, fade_weeks=2.0),
)
NEWCOMER: Final = Behaviour("newcomers", 0.0, 12.0, 300.0, units=40.0, visits=0.1, coupons=0.0)


@dataclass(frozen=True, slots=True)
class Drift:
    """What changes, when and for how many.

    Attributes
    ----------
    kind
        One of `DRIFTS`.
    at_day
        Days after the start; half of the feed if None.
    weeks
        How long `gradual` takes.
    share
        Of the segment's customers, or of all for `new`.
    segment, other
        Names: who changes, and what they become like.
    """

    kind: str = "none"
    at_day: int | None = None
    weeks: int = 8
    share: float = 0.5
    segment: str = "frequent_small"
    other: str = "rare_big"


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of the events, each 0 to 1; together at most 1.

    Attributes
    ----------
    late
        Arrive 1 to 72 hours after their time.
    duplicates
        Come again within 12 hours, the same bytes.
    out_of_order
        Arrive behind 1 to 20 later events of the same day.
    bad
        Are followed by a damaged copy; the events themselves all arrive.
    """

    late: float = 0.0
    duplicates: float = 0.0
    out_of_order: float = 0.0
    bad: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A feed, whole: the same plan makes the same bytes.

    Attributes
    ----------
    start_ms
        Epoch ms of its first midnight.

    Raises
    ------
    ConfigError
        It cannot be made as asked.
    """

    customers: int = 1_000
    days: int = 364
    seed: int = 0
    start_ms: int = START_MS
    currency: str = "USD"
    segments: tuple[Behaviour, ...] = SEGMENTS
    drift: Drift = Drift()
    faults: Faults = Faults()

    def __post_init__(self) -> None:
        for name, least, got in (("customers", 1, self.customers), ("days", 1, self.days)):
            if got < least:
                raise ConfigError(f"synthetic: expected {name} of {least} or more, got {got}")
        if self.seed < 0 or self.start_ms < 0:
            raise ConfigError(
                "synthetic: expected a seed >= 0 and a start in 1970 or later, got seed"
                f" {self.seed} and start {self.start_ms} ms"
            )
        self._check_faults()
        self._check_drift()

    def _check_faults(self) -> None:
        faults = self.faults
        each = (faults.late, faults.duplicates, faults.out_of_order, faults.bad)
        if any(not 0 <= one <= 1 for one in each) or sum(each) > 1:
            raise ConfigError(
                "synthetic: expected shares of late, duplicates, out-of-order and bad events from 0"
                f" to 1, together at most 1, got {', '.join(f'{one:g}' for one in each)}"
            )

    def _check_drift(self) -> None:
        drift = self.drift
        if drift.kind not in DRIFTS:
            raise ConfigError(f"synthetic: expected drift {', '.join(DRIFTS)}, got {drift.kind!r}")
        names = [one.name for one in self.segments]
        for name in (drift.segment, drift.other):
            if name not in names:
                raise ConfigError(f"synthetic: expected a segment of {names}, got {name!r}")
        if drift.segment == drift.other:
            raise ConfigError(f"synthetic: expected two segments, got {drift.other!r} twice")
        if not 0 < drift.share <= 1 or drift.weeks < 1 or not 0 <= self.drift_day < self.days:
            raise ConfigError(
                "synthetic: expected drift of a share above 0 up to 1, over 1 week or more, on a"
                f" day before day {self.days}; got share {drift.share:g}, {drift.weeks} weeks, day"
                f" {self.drift_day}"
            )

    @property
    def drift_day(self) -> int:
        """Days after the start."""
        return self.days // 2 if self.drift.at_day is None else self.drift.at_day

    @property
    def end_ms(self) -> int:
        """Epoch ms behind the last event's time."""
        return self.start_ms + self.days * DAY_MS

    def named(self, name: str) -> int:
        """Row of a planted segment."""
        return [one.name for one in self.segments].index(name)

    def behaviours(self) -> tuple[Behaviour, ...]:
        """The planted segments, and behind them those that the drift makes."""
        drift = self.drift
        one = self.segments[self.named(drift.segment)]
        other = self.segments[self.named(drift.other)]
        made: tuple[Behaviour, ...] = ()
        if drift.kind == "new":
            made = (NEWCOMER,)
        elif drift.kind == "split":
            rate, basket = one.orders_per_week, one.basket
            made = (
                replace(one, name=f"{one.name}/often", orders_per_week=rate * 2, basket=basket / 2),
                replace(one, name=f"{one.name}/rare", orders_per_week=rate / 4, basket=basket * 4),
            )
        elif drift.kind == "merge":
            made = (_mean(one, other),)
        return self.segments + made


def _mean(one: Behaviour, other: Behaviour) -> Behaviour:
    return replace(
        one,
        name=f"{one.name}+{other.name}",
        orders_per_week=(one.orders_per_week + other.orders_per_week) / 2,
        basket=(one.basket + other.basket) / 2,
        units=(one.units + other.units) / 2,
    )
