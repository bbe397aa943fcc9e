"""What insights tell: the shape of the table, per group and per product."""

import msgspec

from segstream.core.places_answer import Places


class Likelihood(msgspec.Struct, frozen=True):
    """A product or category in a group.

    Attributes
    ----------
    customers
        Of the group who bought it and did not return all of it.
    orders
        Of the group with it.
    units, revenue
        Returns subtracted.
    likelihood, low, high
        Customers who bought it by customers of the group, and its 95 % interval (Wilson).
    lift, lift_low, lift_high
        Likelihood by that of all customers, and its 95 % interval (delta method).
    """

    id: str
    name: str
    customers: int
    orders: int
    units: float
    revenue: float
    likelihood: float
    low: float
    high: float
    lift: float
    lift_low: float
    lift_high: float


class Pair(msgspec.Struct, frozen=True):
    """Two products in one order: who buys `a` buys `b`.

    Attributes
    ----------
    baskets
        Orders of the group with both.
    support
        Their share of the group's orders that have products.
    confidence
        Of the orders with `a`, those that have `b`.
    lift
        Confidence by the share of orders with `b`; 1 where they have nothing to do with each other.
    """

    a: str
    b: str
    a_name: str
    b_name: str
    baskets: int
    support: float
    confidence: float
    lift: float


class Share(msgspec.Struct, frozen=True):
    """Customers of a group with a value, and their share of the group's."""

    value: str
    customers: int
    share: float


class GroupInsights(msgspec.Struct, frozen=True):
    """What a group buys.

    Attributes
    ----------
    customers
        Of the group, buyers or not.
    buyers
        With an order in the window.
    revenue_share
        Of all customers' revenue; 0 where there is none.
    shares
        Of gender, city and country (the last value told), of channel, merchant and branch (bought
        or redeemed there), and of coupon use (`claimed`, `redeemed`, `in an order`).
    """

    customers: int
    buyers: int
    orders: int
    revenue: float
    revenue_share: float
    products: list[Likelihood]
    categories: list[Likelihood]
    pairs: list[Pair]
    shares: dict[str, list[Share]]


class Country(msgspec.Struct, frozen=True):
    """Customers of a country, by the last one told of each."""

    name: str
    customers: int


class TopProduct(msgspec.Struct, frozen=True):
    """A product by how many orders have it."""

    id: str
    name: str
    customers: int
    orders: int
    units: float
    revenue: float


class InsightsTable(msgspec.Struct, frozen=True):
    """What each segment buys, as of one moment.

    Attributes
    ----------
    as_of
        Event time, RFC 3339.
    window_days
        UTC days counted, the open one included.
    model
        Version of the living model; None before the first.
    segments
        By segment id.
    segment_names
        Likewise.
    exact
        False where there were so many products that rare ones were left out.
    error
        Then the share of all product lines below which a product may have been left out.
    places
        Cities, and coupons by id, merchant and branch; those that events name.
    """

    as_of: str
    window_days: int
    model: str | None
    all: GroupInsights
    segments: dict[str, GroupInsights]
    countries: list[Country]
    top_products: list[TopProduct]
    notices: list[str]
    exact: bool
    error: float | None
    segment_names: dict[str, str] = {}
    places: list[Places] = []
