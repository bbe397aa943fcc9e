"""What is answered about customers, segments and changes: the types behind the OpenAPI document.

Times are RFC 3339 in UTC, feature values are in real units, null is unknown.
"""

from typing import Annotated, Literal

import msgspec

from segstream.core.changes import Change, Direction, Reason
from segstream.core.insights_answer import GroupInsights
from segstream.core.portrait import Level

Known = float | None


class Problem(msgspec.Struct, frozen=True):
    """An error (RFC 9457); `detail` says what was expected, what came and how to mend it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


# ---- one customer ----------------------------------------------------------------------


class FeatureValue(msgspec.Struct, frozen=True):
    """A feature of a customer; the texts are for people, the population's is its mean."""

    name: str
    label: str
    unit: str
    value: Known
    text: str
    population_text: str


class Distance(msgspec.Struct, frozen=True):
    """Squared distance to a segment's centre, scaled units."""

    segment_id: int
    name: str
    distance: float


class HistoryEntry(msgspec.Struct, frozen=True):
    """One change of a customer; `sequence` counts them from 1."""

    time: str
    from_id: int | None
    from_: str | None = msgspec.field(name="from")
    to_id: int | None
    to: str | None
    reason: Reason
    direction: Direction
    sequence: int
    model: str


class OrderDay(msgspec.Struct, frozen=True):
    """A customer's orders and spend of one UTC day, returns subtracted."""

    day: str
    orders: int
    spend: float


class Customer(msgspec.Struct, frozen=True):
    """A customer as of its last evaluation.

    Attributes
    ----------
    as_of
        Where the clock of the customer's records stands.
    margin
        Squared distance to the nearest other segment minus to its own; below 0 where another is
        nearer and the policy's margin still holds the customer.
    history
        The last published changes within reach, at most 100, the oldest first.
    orders
        By day; null where they are not kept.
    """

    customer_id: str
    as_of: str
    segment_id: int | None
    segment: str | None
    since: str | None
    margin: Known
    nearest_id: int | None
    features: list[FeatureValue]
    distances: list[Distance]
    history: list[HistoryEntry]
    orders: list[OrderDay] | None


class WhyDriver(msgspec.Struct, frozen=True):
    """How much a feature speaks for the segment and against the next; they sum to the margin."""

    feature: str
    label: str
    value: Known
    segment_average: Known
    next_average: Known
    contribution: float


class ChangeDriver(msgspec.Struct, frozen=True):
    """How much a feature spoke for a change; see `docs/events.md`."""

    feature: str
    contribution: float
    value: Known
    from_average: Known
    to_average: Known


class LastChange(msgspec.Struct, frozen=True):
    """What moved a customer last."""

    time: str
    reason: Reason
    from_: str | None = msgspec.field(name="from")
    to: str | None
    drivers: list[ChangeDriver]


class Why(msgspec.Struct, frozen=True):
    """What separates a customer from the next segment, and what moved it last."""

    customer_id: str
    segment: str | None
    next: str | None
    margin: Known
    drivers: list[WhyDriver]
    last_change: LastChange | None


# ---- what if ---------------------------------------------------------------------------


class WhatIf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Some features in real units; the population's medians stand for the rest."""

    features: dict[str, float]


class Assumed(msgspec.Struct, frozen=True):
    """A clustered feature that was not given: the median of all customers."""

    name: str
    label: str
    value: Known
    text: str


class Assignment(msgspec.Struct, frozen=True):
    """The segment that is nearest to some features, by the function that assigns customers."""

    segment_id: int
    segment: str
    description: str
    action: str
    actions: list[str]
    averages: dict[str, Known]
    distance: float
    next_id: int | None
    next: str | None
    next_distance: Known
    distances: list[Distance]
    model: str
    given: dict[str, float]
    assumed: list[Assumed]


# ---- segments --------------------------------------------------------------------------


class FeatureWords(msgspec.Struct, frozen=True):
    """A feature of the spec; those with use `cluster` decide the segment."""

    name: str
    label: str
    unit: str
    use: Literal["cluster", "describe"]


class SegmentEntry(msgspec.Struct, frozen=True):
    """A living segment by published membership.

    Attributes
    ----------
    share_of_spend, spend_each
        Of the last 90 days; null where they are not known.
    averages
        Mean of every feature over members.
    levels
        The population's quintile in which the average lies.
    last_order_days
        Median days since a member's last order.
    best
        Whether it spends most per customer.
    """

    id: int
    name: str
    description: str
    action: str
    actions: list[str]
    colour: str
    customers: int
    share: float
    share_of_spend: Known
    spend_each: Known
    averages: dict[str, Known]
    levels: dict[str, Level]
    last_order_days: Known
    best: bool


class Segments(msgspec.Struct, frozen=True):
    """Every living segment; none before the first model."""

    as_of: str
    model: str | None
    currency: str
    customer_word: str
    customers: int
    features: list[FeatureWords]
    segments: list[SegmentEntry]


class Histogram(msgspec.Struct, frozen=True):
    """Customers by value; one count less than edges. Values beyond count in the outer bins."""

    edges: list[float]
    counts: list[int]
    population_counts: list[int]


class SegmentPage(SegmentEntry, frozen=True):
    """A segment beside the population.

    Attributes
    ----------
    population
        Mean of every feature over all customers.
    insights
        What its customers buy; null where nothing was counted.
    """

    population: dict[str, Known]
    distributions: dict[str, Histogram]
    insights: GroupInsights | None


class Member(msgspec.Struct, frozen=True):
    """A customer of a segment."""

    customer_id: str
    since: str | None
    features: dict[str, Known]


class Members(msgspec.Struct, frozen=True):
    """Some customers of a segment, by id; `next_cursor` goes on, null at the end."""

    customers: list[Member]
    next_cursor: str | None


# ---- changes and orders ----------------------------------------------------------------


class Changes(msgspec.Struct, frozen=True):
    """Published changes in order.

    Attributes
    ----------
    next
        Id to give as `after` for what follows; null where nothing was ever published.
    complete
        Whether the first change within reach is the first that was ever published.
    """

    changes: list[Change]
    next: str | None
    complete: bool


class Noted(msgspec.Struct, frozen=True):
    """A command that the trainer will carry out.

    Attributes
    ----------
    takes_effect
        The UTC day at whose end it does.
    before
        Commands that come first, one a day.
    serves_until_then
        Version of the living model.
    """

    command: Literal["promote", "rollback", "recluster"]
    what: str
    takes_effect: str
    before: int
    serves_until_then: str | None


class Erasure(msgspec.Struct, frozen=True):
    """The `erase` event that deletes a customer's record."""

    event_id: str


class Recluster(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many segments to fit; as many as now where absent."""

    k: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
