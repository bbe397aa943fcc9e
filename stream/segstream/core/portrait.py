"""What a segment looks like beside all customers: averages, ratios, levels, and the words for them.

A *role* is what a feature stands for, whatever its name and window are in one spec: `value` is the
first sum of amounts, `silence` the first feature of silence. Conditions of a playbook speak of
roles, so that one playbook serves many specs.
"""

import math
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, get_args

import numpy as np

from segstream.core.spec import OTHER, CompiledSpec, Feature, FloatArray, Measure

Level = Literal["very_low", "low", "middle", "high", "very_high"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
UNKNOWN: Final = -1
_QUINTILES: Final = (0.2, 0.4, 0.6, 0.8)


class Figures(NamedTuple):
    """What a model's segments look like, real units.

    Attributes
    ----------
    averages : shape (k, F)
    population : shape (F,), means over all customers
    quintiles : shape (4, F), what parts all customers into five equal groups; None where unknown
    """

    averages: FloatArray
    population: FloatArray
    quintiles: FloatArray | None = None


class Portrait(NamedTuple):
    """One segment beside all customers; shape (F,) each.

    Attributes
    ----------
    average, population
        Real units; NaN where nobody has a value.
    ratio
        Average over the population's; 1 where both are 0. NaN where it says nothing: unknown, or a
        population's average of 0 or below.
    level
        Index into `LEVELS`: the population's quintile in which the average lies; `UNKNOWN` where
        there are no quintiles. It never contradicts the mean: `high` needs an average above all
        customers', `low` one below, else it is `middle`.
    """

    average: FloatArray
    population: FloatArray
    ratio: FloatArray
    level: list[int]


def quintiles_of(raw: FloatArray) -> FloatArray:
    """Return the four edges of five equal groups of customers, shape (4, F); raw is (n, F).

    >>> quintiles_of(np.arange(11.0)[:, None]).ravel().tolist()
    [2.0, 4.0, 6.0, 8.0]
    """
    edges = np.full((len(_QUINTILES), raw.shape[1]), np.nan)
    for j in range(raw.shape[1]):
        known = raw[~np.isnan(raw[:, j]), j]
        if len(known):
            edges[:, j] = np.quantile(known, _QUINTILES)
    return edges


def portraits(figures: Figures) -> list[Portrait]:
    """Compare each segment with all customers."""
    averages, population, edges = figures
    above = population > 0
    found = []
    for average in averages:
        ratio = np.where((population == 0) & (average == 0), 1.0, np.nan)
        np.divide(average, population, out=ratio, where=above)
        level = [
            UNKNOWN if edges is None else _level(average[j], population[j], edges[:, j])
            for j in range(len(population))
        ]
        found.append(Portrait(average, population, ratio, level))
    return found


def _level(average: float, population: float, edges: FloatArray) -> int:
    if math.isnan(average) or math.isnan(population) or np.isnan(edges).any():
        return UNKNOWN
    level, middle = int(np.searchsorted(edges, average, side="left")), LEVELS.index("middle")
    contradicts = (level > middle and average <= population) or (
        level < middle and average >= population
    )
    return middle if contradicts else level


# ---- roles -----------------------------------------------------------------------------

Test = Callable[[CompiledSpec, Feature], bool]


class Role(NamedTuple):
    """What a feature stands for.

    Attributes
    ----------
    says
        For people.
    test
        Whether a feature of a spec has this role.
    many
        It is all such features, and of these the one in which a segment leads most; else the
        first.
    """

    says: str
    test: Test
    many: bool = False


def _measure(spec: CompiledSpec, name: str | None) -> Measure | None:
    return spec.measures[spec.measure_index[name]] if name is not None else None


def _of(spec: CompiledSpec, f: Feature, value: str, kinds: tuple[str, ...]) -> bool:
    """Whether a feature is made of a whole measure, not of one channel's or product's part."""
    measure = _measure(spec, f.measure)
    return f.kind in kinds and measure is not None and measure.value == value and not measure.where


def _per(spec: CompiledSpec, f: Feature, *values: str) -> bool:
    per = _measure(spec, f.per)
    return per is not None and per.value in values


def _counts(event_type: str) -> Test:
    def test(spec: CompiledSpec, f: Feature) -> bool:
        measure = _measure(spec, f.measure)
        return f.kind == "count" and measure is not None and measure.types == (event_type,)

    return test


def _shares(event_type: str) -> Test:
    def test(spec: CompiledSpec, f: Feature) -> bool:
        measure = _measure(spec, f.measure)
        return f.kind in ("mean", "ratio") and (
            measure is not None and measure.types == (event_type,)
        )

    return test


def _part(*fields: str) -> Test:
    """Return the test for a share of one channel, merchant or branch: one value in `where`."""

    def test(spec: CompiledSpec, f: Feature) -> bool:
        part, whole = _measure(spec, f.measure), _measure(spec, f.per)
        if f.kind not in ("mean", "ratio") or part is None or whole is None:
            return False
        named = [field for field in fields if len(part.where.get(field, ())) == 1]
        rest = {key: told for key, told in part.where.items() if key not in named}
        return bool(named) and part.value == whole.value and rest == whole.where

    return test


def _is_web(spec: CompiledSpec, f: Feature) -> bool:
    part = _measure(spec, f.measure)
    return _part("channel")(spec, f) and part is not None and part.where["channel"] == ("web",)


def _is_age(_: CompiledSpec, f: Feature) -> bool:
    return f.kind == "age"


def _attribute(name: str) -> Test:
    return lambda _spec, f: f.kind == "attribute" and f.attribute == name


def _is_city(_: CompiledSpec, f: Feature) -> bool:
    return f.kind == "one_hot" and f.attribute == "city" and f.category != OTHER


ROLES: Final[dict[str, Role]] = {
    "value": Role("spend: a sum of amounts", lambda s, f: _of(s, f, "amount", ("sum",))),
    "frequency": Role(
        "orders in a window",
        lambda s, f: _of(s, f, "order", ("count",)) and f.window_days is not None,
    ),
    "silence": Role(
        "silence: `overdue` or `recency`", lambda _, f: f.kind in ("overdue", "recency")
    ),
    "basket": Role(
        "spend per order or event",
        lambda s, f: _of(s, f, "amount", ("mean",)) and not _per(s, f, "quantity"),
    ),
    "units": Role("units: a sum of quantities", lambda s, f: _of(s, f, "quantity", ("sum",))),
    "basket_units": Role(
        "units per order or event", lambda s, f: _of(s, f, "quantity", ("mean", "ratio"))
    ),
    "price": Role(
        "spend per unit",
        lambda s, f: _of(s, f, "amount", ("mean", "ratio")) and _per(s, f, "quantity"),
    ),
    "discount_share": Role(
        "discount over spend",
        lambda s, f: _of(s, f, "discount", ("mean", "ratio")) and _per(s, f, "amount"),
    ),
    "coupons_claimed": Role("coupons claimed, a count", _counts("coupon_claimed")),
    "coupons_redeemed": Role("coupons redeemed, a count", _counts("coupon_redeemed")),
    "coupon_share": Role("coupons redeemed, per claim or order", _shares("coupon_redeemed")),
    "responses": Role("responses to campaigns, a count", _counts("campaign_response")),
    "visits": Role("visits, a count", _counts("visit")),
    "web_share": Role('a share where `channel = ["web"]`', _is_web),
    "income": Role("income of the profile", _attribute("income")),
    "children": Role("children of the profile", _attribute("children")),
    "age": Role("age", _is_age),
    "tenure": Role("days since the first event or `joined_at`", lambda _, f: f.kind == "tenure"),
    "city_share": Role("share of one city: `one_hot` of `city`", _is_city, many=True),
    "merchant_share": Role(
        "a share where `where` names one merchant or branch", _part("merchant_id", "branch_id"),
        many=True,
    ),
}  # fmt: skip


def columns_of(spec: CompiledSpec, feature: str) -> tuple[int, ...]:
    """Return the features that a role or a name stands for; none where the spec has none.

    A role's name is never a feature's: what `visits` means does not depend on who named what.
    """
    role = ROLES.get(feature)
    if role is None:
        return tuple(j for j, name in enumerate(spec.spec.names) if name == feature)
    found = tuple(j for j, f in enumerate(spec.spec.features) if role.test(spec, f))
    return found if role.many else found[:1]


def leading(portrait: Portrait, columns: tuple[int, ...]) -> int:
    """Return the column in which the segment leads most."""
    return max(columns, key=lambda j: (np.nan_to_num(portrait.ratio[j], nan=-1.0), -j))


def value_feature(spec: CompiledSpec) -> int:
    """Index of the feature that stands for spend: the first sum of amounts, else the first.

    A sum of all amounts comes before one of a part of them.
    """
    whole = columns_of(spec, "value")
    if whole:
        return whole[0]
    for j, f in enumerate(spec.spec.features):
        measure = _measure(spec, f.measure)
        if f.kind == "sum" and measure is not None and measure.value == "amount":
            return j
    return 0


# ---- words -----------------------------------------------------------------------------


def describe(spec: CompiledSpec, portrait: Portrait) -> str:
    """Three plain facts, the strongest first."""
    facts = []
    for j in _strongest(spec, portrait)[:3]:
        f, level = spec.spec.features[j], portrait.level[j]
        word = f" {LEVELS[level].replace('_', ' ')}," if level != UNKNOWN else ""
        facts.append(
            f"{spec.describe(f)}{word} {quantity(portrait.average[j], f.unit)} "
            f"(all customers {quantity(portrait.population[j], f.unit)})"
        )
    return "; ".join(facts)


def _strongest(spec: CompiledSpec, portrait: Portrait) -> list[int]:
    """Clustered features by how far, in ratio, the segment is from the population."""

    def distance(j: int) -> float:
        a, b = portrait.average[j], portrait.population[j]
        if not (np.isfinite(a) and np.isfinite(b)) or a <= 0 or b <= 0:
            return 0.0
        return -abs(float(np.log(a / b)))

    clustered = [j for j, f in enumerate(spec.spec.features) if f.use == "cluster"]
    return sorted(clustered, key=lambda j: (distance(j), j))


def plain_name(spec: CompiledSpec, portrait: Portrait) -> str:
    """Name a segment after the feature that separates it most: "higher spend in 112 days"."""
    for j in _strongest(spec, portrait):
        a, b = portrait.average[j], portrait.population[j]
        if a < b or a > b:
            return _claim(spec, j, bool(a > b))
    return "much like all customers"


def plain_holds(spec: CompiledSpec, portrait: Portrait, claim: str) -> bool:
    """Whether what a plain name claims is still so."""
    for j in range(spec.n_features):
        a, b = portrait.average[j], portrait.population[j]
        for more, true in ((True, a > b), (False, a < b)):
            if _claim(spec, j, more).lower() == claim.lower():
                return bool(true)
    return claim.lower() == plain_name(spec, portrait)


def _claim(spec: CompiledSpec, j: int, more: bool) -> str:
    feature = spec.spec.features[j]
    words = ("more", "fewer") if feature.kind == "count" else ("higher", "lower")
    return f"{words[0] if more else words[1]} {spec.describe(feature)}"


def quantity(value: float | None, unit: str) -> str:
    """Write a number for people.

    >>> quantity(1234.5, "$"), quantity(3.14159, "days")
    ('$1,234', '3.1 days')
    """
    if value is None or not math.isfinite(value):
        return "unknown"
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"
    if unit in ("$", "£", "€"):
        return f"{unit}{number}"
    return f"{number} {unit}".rstrip()
