"""The twin's customers, and how an event is folded into one: dicts and lists, no arrays."""

from dataclasses import dataclass, field
from itertools import pairwise

import xxhash
from tests.core.counting import HOUR_MS, added, counts, touches

from segstream.core.events import Event
from segstream.core.spec import Spec

MEMORY_HOURS = 48
MAX_ORDERS = 256
MAX_TILES = 1024


def unsigned_hash(text: str) -> int:
    """64-bit xxHash; 1 for what would be 0."""
    return xxhash.xxh64_intdigest(text.encode()) or 1


def signed(value: int) -> int:
    """The same 64 bits, read as a signed number."""
    return value - (1 << 64) if value >= 1 << 63 else value


@dataclass
class Order:
    """An order as remembered: the hour of its earliest line, and which measures counted it."""

    hour: int
    measures: set[int]


@dataclass
class Customer:
    """Everything known of one customer."""

    id: str
    first_hour: int
    last_hour: int
    lifetime: list[int]
    events: int = 0
    as_of: int = -1
    segment: int | None = None
    since: int = 0
    sequence: int = 0
    version: int = 0
    generation: int = 0
    former: tuple[int | None, int] = (None, 0)
    pending: tuple[int, str] | None = None
    tiles: dict[int, list[int]] = field(default_factory=dict)
    touched: dict[str, tuple[int, int]] = field(default_factory=dict)
    attributes: dict[str, tuple[int, int | float | str]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    entered: dict[int, int] = field(default_factory=dict)

    @property
    def hash(self) -> int:
        """Where the customer's turns come from; the sign bit does not count."""
        return unsigned_hash(self.id) & ((1 << 63) - 1)


@dataclass
class Totals:
    """One day's sums of the nearest segments, in whole units of 2^-20."""

    counts: list[int]
    sums: list[list[int]]
    errors: list[int]


class Rules:
    """The spec, and how many hours back its longest window reaches."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.keep_hours = max((round((f.window_days or 0) * 24) for f in spec.features), default=0)


def fold(rules: Rules, c: Customer, e: Event, ts: int, as_of: int) -> bool:
    """Fold one event; True where it is too late for its id to be remembered."""
    hour, now = ts // HOUR_MS, as_of // HOUR_MS
    c.seen = {i: h for i, h in c.seen.items() if now - h < MEMORY_HOURS}
    c.orders = {i: o for i, o in c.orders.items() if now - o.hour < MEMORY_HOURS}
    late = now - hour >= MEMORY_HOURS
    if not late:
        c.seen[e.event_id] = hour
    for m, measure in enumerate(rules.spec.measures):
        if measure.value != "order":
            _add(rules, c, m, hour, now, added(measure, e))
        if touches(measure, e):
            first, last = c.touched.get(measure.name, (hour, hour))
            c.touched[measure.name] = (min(first, hour), max(last, hour))
    _fold_order(rules, c, e, hour, now)
    _fold_attributes(rules.spec, c, e, ts)
    c.first_hour, c.last_hour = min(c.first_hour, hour), max(c.last_hour, hour)
    c.events += 1
    c.as_of = as_of
    c.tiles = {h: t for h, t in c.tiles.items() if now - h < rules.keep_hours}
    _merge_tiles(c.tiles)
    return late


def _add(rules: Rules, c: Customer, m: int, hour: int, now: int, units: int) -> None:
    if units == 0:
        return
    c.lifetime[m] += units
    if now - hour < rules.keep_hours:
        c.tiles.setdefault(hour, [0] * len(rules.spec.measures))[m] += units


def _fold_order(rules: Rules, c: Customer, e: Event, hour: int, now: int) -> None:
    measures = {
        m for m, measure in enumerate(rules.spec.measures)
        if measure.value == "order" and counts(measure, e)
    }  # fmt: skip
    if not measures:
        return
    order = c.orders.get(e.order_id) if e.order_id is not None else None
    known: set[int] = order.measures if order else set()
    earliest = min(hour, order.hour) if order else hour
    if order and earliest < order.hour:
        for m in known:
            _add(rules, c, m, order.hour, now, -1)
            _add(rules, c, m, earliest, now, 1)
    for m in measures - known:
        _add(rules, c, m, earliest, now, 1)
    if e.order_id is not None and (order or now - hour < MEMORY_HOURS):
        c.orders[e.order_id] = Order(earliest, known | measures)
        if len(c.orders) > MAX_ORDERS:
            del c.orders[min(c.orders, key=lambda i: (c.orders[i].hour, _rank(i)))]


def _fold_attributes(spec: Spec, c: Customer, e: Event, ts: int) -> None:
    for name in {f.attribute for f in spec.features if f.attribute}:
        value = getattr(e, name)
        if value is None:
            continue
        before = c.attributes.get(name)
        if before is None or (ts, _weigh(value)) > (before[0], _weigh(before[1])):
            c.attributes[name] = (ts, value)


def _rank(order_id: str) -> int:
    return signed(unsigned_hash(order_id))


def _weigh(value: float | str) -> float:
    """Of two values said at the same time the larger stays; of two texts, the larger hash."""
    return signed(unsigned_hash(value)) if isinstance(value, str) else value


def _merge_tiles(tiles: dict[int, list[int]]) -> None:
    """Over the limit, the two earliest tiles that share a UTC day become one, the later's."""
    while len(tiles) > MAX_TILES:
        hours = sorted(tiles)
        pair = next(((a, b) for a, b in pairwise(hours) if a // 24 == b // 24), None)
        if pair is None:
            return
        gone = tiles.pop(pair[0])
        tiles[pair[1]] = [x + y for x, y in zip(gone, tiles[pair[1]], strict=True)]
