"""The declared feature spec, and its compilation to the arrays the kernel reads.

A *measure* says what of an event counts (orders, spend, web visits); a *feature* says what
of the measures makes a number per customer (spend in 90 days, days since the last order).
"""

import hashlib
import math
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from segstream.core.events import (
    ATTRIBUTES,
    NUMERIC_ATTRIBUTES,
    TEXT_ATTRIBUTES,
    TYPE_CODES,
    EventType,
)
from segstream.errors import ConfigError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

UNITS_PER_ONE: Final = 10_000
"""Money and quantities are int64 in 1e-4 units."""

Value = Literal["order", "event", "amount", "quantity", "discount"]
Kind = Literal[
    "count", "sum", "mean", "ratio", "recency", "gap", "overdue", "tenure", "attribute", "age",
    "one_hot",
]  # fmt: skip

IDENTIFIERS: Final = frozenset(
    {
        "event_id", "customer_id", "order_id", "product_id", "merchant_id", "branch_id",
        "coupon_id", "id",
    }
)  # fmt: skip
FILTER_FIELDS: Final = ("channel", "merchant_id", "branch_id", "coupon_id", "currency")
ITEM_FILTER_FIELDS: Final = ("category", "product_id")


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of an event counts.

    Attributes
    ----------
    types
        Event types that count; a `return` counts with a minus sign for amounts and quantities.
    value
        `order` counts an order once, in the hour of its earliest line; `event` counts events;
        the others add the field up.
    where
        Field to the values that count, e.g. ``{channel = ["web"]}``.
    """

    name: str
    types: tuple[EventType, ...]
    value: Value
    where: dict[str, tuple[str, ...]] = {}


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One number per customer, as a function of whole hours.

    Attributes
    ----------
    kind
        `count`, `sum`: of `measure`; `mean`, `ratio`: `measure` over `per` (0 where `per` is 0);
        `recency`: days since the last event of `measure` (since the first event of any kind
        where there is none); `gap`: mean days between the customer's events of `measure`;
        `overdue`: recency over the customer's own usual interval, which is days since its first
        event of `measure` over how many it had, taken as at least `floor` and at most `ceiling`
        days (`floor` where it had none);
        `tenure`: days since the first event, or since `joined_at` where `attribute` names it;
        `attribute`, `age`, `one_hot`: what profile events said.
    window_days
        Length of the window in days; a lifetime where absent.
    transform
        ``log1p`` is sign(x) log1p(|x| / scale), after `offset`, `least` and `clip`.
    offset
        Subtracted first, and what is below becomes zero: 14 makes recency count beyond 14 days.
    least, clip
        The smallest and the largest value, after `offset`, before the transform; no limit where
        absent.
    weight
        Factor after standardisation, > 0.
    use
        `cluster` shapes segments; `describe` is only shown.
    label, unit
        For people: "spend in 90 days", "$".
    """

    name: str
    kind: Kind
    measure: str | None = None
    per: str | None = None
    window_days: float | None = None
    transform: Literal["none", "log1p"] = "none"
    scale: float = 1.0
    offset: float = 0.0
    least: float | None = None
    clip: float | None = None
    weight: float = 1.0
    floor: float = 1.0
    ceiling: float | None = None
    attribute: str | None = None
    category: str | None = None
    use: Literal["cluster", "describe"] = "cluster"
    label: str | None = None
    unit: str = ""


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measures and the features made of them."""

    measures: tuple[Measure, ...]
    features: tuple[Feature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order of every vector."""
        return tuple(feature.name for feature in self.features)

    @property
    def digest(self) -> str:
        """Equal for specs that give the same records and vectors, else different."""
        features = [msgspec.structs.replace(f, label=None, unit="") for f in self.features]
        # Written and read: 112 days in the code are 112.0 in a file, and the same.
        read = msgspec.json.decode(msgspec.json.encode(features), type=list[Feature])
        said = msgspec.json.encode((self.measures, read))
        return hashlib.sha256(said).hexdigest()[:16]


# Operations of the kernel, one per way to make a number.
TOTAL, RATIO, RECENCY, GAP, OVERDUE, TENURE, ATTRIBUTE, AGE, ONE_HOT, SINCE = range(10)
_OPERATIONS: Final[dict[Kind, int]] = {
    "count": TOTAL, "sum": TOTAL, "mean": RATIO, "ratio": RATIO, "recency": RECENCY, "gap": GAP,
    "overdue": OVERDUE, "tenure": TENURE, "attribute": ATTRIBUTE, "age": AGE, "one_hot": ONE_HOT,
}  # fmt: skip


class SpecArrays(NamedTuple):
    """The spec as the kernel reads it; F features, M measures, W windows.

    Attributes
    ----------
    windows : shape (W,), hours, ascending
    operation, first, second, window : shape (F,)
        What to do with which measure, slot or attribute; `window` is -1 for a lifetime.
    factor_first, factor_second : shape (F,), real units per stored unit
    log, scale, offset, least, clip : shape (F,), the transform
    floor, ceiling : shape (F,), days
    category : shape (F,), hash of the one-hot value
    slot_measure : shape (S,), the measure whose orders a recency slot divides by
    order_measures : shape (O,), measures that count orders, by bit
    """

    windows: IntArray
    operation: IntArray
    first: IntArray
    second: IntArray
    window: IntArray
    factor_first: FloatArray
    factor_second: FloatArray
    log: IntArray
    scale: FloatArray
    offset: FloatArray
    least: FloatArray
    clip: FloatArray
    floor: FloatArray
    ceiling: FloatArray
    category: IntArray
    slot_measure: IntArray
    order_measures: IntArray


def text_hash(text: str) -> int:
    """Signed 64-bit xxHash of UTF-8; never 0, which stands for absent.

    >>> text_hash("a") == text_hash("a") != text_hash("b")
    True
    """
    value = xxhash.xxh64_intdigest(text.encode("utf-8", "surrogatepass")) or 1
    return value - (1 << 64) if value >= 1 << 63 else value


class CompiledSpec:
    """A checked spec with its arrays.

    Attributes
    ----------
    slots
        Names of the measures that have a first and a last hour in each record.
    attributes
        Names of the attributes kept in each record.
    longest_window_days
        Of the clustered features; the first model waits until it is covered.
    """

    def __init__(self, spec: Spec) -> None:
        _check(spec)
        self.spec = spec
        self.measures = spec.measures
        self.measure_index = {m.name: i for i, m in enumerate(spec.measures)}
        self.slots = _unique(
            f.measure for f in spec.features if f.kind in ("recency", "gap", "overdue")
        )
        self.attributes = _unique(f.attribute for f in spec.features)
        self.order_measures = [i for i, m in enumerate(spec.measures) if m.value == "order"]
        self.arrays = self._compile()
        self.clustered = np.array([f.use == "cluster" for f in spec.features])
        self.longest_window_days = max(
            (f.window_days or 0.0 for f in spec.features if f.use == "cluster"), default=0.0
        )

    @property
    def n_features(self) -> int:
        """Length of every vector."""
        return len(self.spec.features)

    def _compile(self) -> SpecArrays:
        features = self.spec.features
        windows = sorted({round(f.window_days * 24) for f in features if f.window_days})
        rows = [self._feature_row(f, windows) for f in features]
        ints = np.array([row[0] for row in rows], dtype=np.int64).reshape(len(rows), 6)
        reals = np.array([row[1] for row in rows], dtype=np.float64).reshape(len(rows), 8)
        columns = [np.ascontiguousarray(ints[:, j]) for j in range(6)]
        numbers = [np.ascontiguousarray(reals[:, j]) for j in range(8)]
        operation, first, second, window, log, category = columns
        factor_first, factor_second, scale, offset, least, clip, floor, ceiling = numbers
        return SpecArrays(
            windows=np.array(windows, dtype=np.int64),
            operation=operation,
            first=first,
            second=second,
            window=window,
            factor_first=factor_first,
            factor_second=factor_second,
            log=log,
            scale=scale,
            offset=offset,
            least=least,
            clip=clip,
            floor=floor,
            ceiling=ceiling,
            category=category,
            slot_measure=np.array([self.measure_index[s] for s in self.slots], dtype=np.int64),
            order_measures=np.array(self.order_measures, dtype=np.int64),
        )

    def _feature_row(
        self, f: Feature, windows: list[int]
    ) -> tuple[tuple[int, ...], tuple[float, ...]]:
        operation = SINCE if f.kind == "tenure" and f.attribute else _OPERATIONS[f.kind]
        first, second = 0, 0
        if operation in (TOTAL, RATIO):
            first = self.measure_index[f.measure or ""]
            second = self.measure_index[f.per] if f.per else 0
        elif operation in (RECENCY, GAP, OVERDUE):
            first = self.slots.index(f.measure or "")
        elif f.attribute:
            first = self.attributes.index(f.attribute)
        window = windows.index(round(f.window_days * 24)) if f.window_days else -1
        category = text_hash(f.category) if f.category and f.category != OTHER else 0
        factor_second = self._factor(second) if operation == RATIO else 1.0
        factor_first = self._factor(first) if operation in (TOTAL, RATIO) else 1.0
        if operation == ATTRIBUTE:
            factor_first = 1.0 / UNITS_PER_ONE if f.attribute == "income" else 1.0
        return (
            (operation, first, second, window, int(f.transform == "log1p"), category),
            (
                factor_first,
                factor_second,
                f.scale,
                f.offset,
                -math.inf if f.least is None else f.least,
                math.inf if f.clip is None else f.clip,
                f.floor,
                math.inf if f.ceiling is None else f.ceiling,
            ),
        )

    def _factor(self, measure: int) -> float:
        counts = self.measures[measure].value in ("order", "event")
        return 1.0 if counts else 1.0 / UNITS_PER_ONE

    def describe(self, feature: Feature) -> str:
        """Return the feature's label, or its name in words."""
        return feature.label or feature.name.replace("_", " ")


def spend_measure(spec: CompiledSpec) -> int | None:
    """Index of the first measure that adds amounts of purchases up; None where there is none."""
    for index, measure in enumerate(spec.measures):
        if measure.value == "amount" and "purchase" in measure.types:
            return index
    return None


OTHER: Final = "other"
"""The one-hot category of every value that no other one-hot feature of its attribute names."""


def _unique(names: "object") -> list[str]:
    return list(dict.fromkeys(n for n in names if n))  # type: ignore[attr-defined]


def _check(spec: Spec) -> None:
    measures = {m.name for m in spec.measures}
    counting = {
        m.name for m in spec.measures if m.value in ("order", "event") and "return" not in m.types
    }
    _refuse_repeats("measure", [m.name for m in spec.measures])
    _refuse_repeats("feature", list(spec.names))
    if not any(f.use == "cluster" for f in spec.features):
        raise ConfigError('spec: expected at least one feature with use = "cluster", got none')
    if len(spec.measures) > 62:
        raise ConfigError(f"spec: expected at most 62 measures, got {len(spec.measures)}")
    for measure in spec.measures:
        _check_measure(measure)
    for feature in spec.features:
        _check_feature(feature, measures, counting)


def _refuse_repeats(what: str, names: list[str]) -> None:
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        raise ConfigError(f"spec: expected each {what} name once, got {', '.join(repeated)} again")


def _check_measure(measure: Measure) -> None:
    where = f"spec: measure `{measure.name}`"
    unknown = set(measure.where) - set(FILTER_FIELDS) - set(ITEM_FILTER_FIELDS)
    if unknown:
        known = ", ".join((*FILTER_FIELDS, *ITEM_FILTER_FIELDS))
        raise ConfigError(f"{where}: expected a filter on {known}, got {', '.join(unknown)}")
    if measure.value == "order" and set(measure.where) & set(ITEM_FILTER_FIELDS):
        raise ConfigError(f"{where}: an order has no one category or product: count events instead")
    if measure.value == "order" and measure.types != ("purchase",):
        raise ConfigError(f'{where}: expected types = ["purchase"] for orders, got {measure.types}')
    absent = set(measure.types) - set(TYPE_CODES)
    if absent or not measure.types:
        raise ConfigError(f"{where}: expected event types, got {sorted(absent) or 'none'}")


def _check_feature(f: Feature, measures: set[str], counting: set[str]) -> None:
    where = f"spec: feature `{f.name}`"
    for name in (f.measure, f.per):
        if name is not None and name not in measures:
            known = ", ".join(sorted(measures))
            raise ConfigError(f"{where}: expected a measure ({known}), got `{name}`")
    if f.attribute in IDENTIFIERS or f.name in IDENTIFIERS:
        raise ConfigError(
            f"{where}: identifiers are refused: segments made of them are bands of the number, "
            "not of behaviour. Remove it"
        )
    if f.attribute is not None and f.attribute not in ATTRIBUTES:
        raise ConfigError(f"{where}: expected one of {', '.join(ATTRIBUTES)}, got `{f.attribute}`")
    _check_shape(f, where)
    if f.kind in ("gap", "overdue") and f.measure not in counting:
        raise ConfigError(
            f"{where}: expected a measure of value `order` or `event` without returns for kind "
            f"`{f.kind}`, got `{f.measure}`: an interval is between things that are counted"
        )
    _check_numbers(f, where)


def _check_shape(f: Feature, where: str) -> None:
    needs = {
        "count": ("measure",), "sum": ("measure",), "mean": ("measure", "per"),
        "ratio": ("measure", "per"), "recency": ("measure",), "gap": ("measure",),
        "overdue": ("measure",), "tenure": (), "attribute": ("attribute",),
        "age": ("attribute",), "one_hot": ("attribute", "category"),
    }[f.kind]  # fmt: skip
    missing = [name for name in needs if getattr(f, name) is None]
    if missing:
        raise ConfigError(f"{where}: expected {', '.join(missing)} for kind `{f.kind}`, got none")
    for kind, known in (("attribute", NUMERIC_ATTRIBUTES), ("one_hot", TEXT_ATTRIBUTES)):
        if f.kind == kind and f.attribute not in known:
            names = ", ".join(known)
            raise ConfigError(f"{where}: expected attribute = {names}, got `{f.attribute}`")
    if f.kind == "age" and f.attribute != "birth_year":
        raise ConfigError(f'{where}: expected attribute = "birth_year", got `{f.attribute}`')
    if f.kind == "tenure" and f.attribute not in (None, "joined_at"):
        raise ConfigError(f'{where}: expected attribute = "joined_at", got `{f.attribute}`')


def _check_numbers(f: Feature, where: str) -> None:
    for name in ("scale", "weight", "clip", "floor"):
        value = getattr(f, name)
        if value is not None and not value > 0:
            raise ConfigError(f"{where}: expected {name} > 0, got {value}")
    for low, high in (("least", "clip"), ("floor", "ceiling")):
        smallest, largest = getattr(f, low), getattr(f, high)
        if None not in (smallest, largest) and not smallest <= largest:
            raise ConfigError(f"{where}: expected {low} <= {high}, got {smallest}")
    days = f.window_days
    if days is not None and (not days * 24 >= 1 or round(days * 24) != days * 24):
        raise ConfigError(f"{where}: expected window_days in whole hours, got {days}")
