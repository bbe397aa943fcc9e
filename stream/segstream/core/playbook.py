"""Names, descriptions and actions of segments, from what separates them in real units.

A name claims only what the averages show. It is pinned to the segment's id when the segment is
born; only a weekly check that finds its condition no longer true gives the id another name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from segstream.core.spec import CompiledSpec, Feature, FloatArray


@dataclass(frozen=True, slots=True)
class Portrait:
    """A segment's averages beside the population's, as ratios.

    Attributes
    ----------
    value, frequency, silence, basket
        Average of the segment over the population's: spend, orders, silence (in usual intervals
        or in days), spend per order; 1.0 where the spec has no such feature.
    """

    value: float
    frequency: float
    silence: float
    basket: float


@dataclass(frozen=True, slots=True)
class Template:
    """A name, the condition on the figures that justifies it, and what to do next."""

    name: str
    fits: Callable[[Portrait], bool]
    action: str


TEMPLATES: Final = (
    Template(
        "Gone quiet",
        lambda p: p.silence >= 2.0 and p.frequency <= 0.75,
        "Win back with one strong reason to return; stop paying for ads after that.",
    ),
    Template(
        "Loyal, full baskets",
        lambda p: p.value >= 1.25 and p.frequency >= 0.9 and p.basket >= 0.9,
        "Thank and keep: early access and service, no discounts they do not need.",
    ),
    Template(
        "Frequent, small baskets",
        lambda p: p.frequency >= 1.2 and p.basket <= 0.9,
        "Grow the basket: bundles and a threshold just above their usual amount.",
    ),
    Template(
        "Big baskets, rare visits",
        lambda p: p.basket >= 1.3 and p.frequency <= 0.9 and p.silence < 2.0,
        "Offer one more trip between the big ones: top-up products, delivery.",
    ),
    Template(
        "Occasional, small baskets",
        lambda p: p.frequency <= 0.75 and p.basket <= 0.85 and p.silence < 2.0,
        "Give a reason to come back within the month; test small offers before large ones.",
    ),
    Template(
        "Steady middle",
        lambda p: p.frequency >= 0.7 and p.silence <= 1.3,
        "Find the next category: recommend what similar customers of a better segment buy.",
    ),
    Template(
        "Occasional shoppers",
        lambda p: p.frequency <= 0.75 and p.silence < 2.0,
        "Remind while they still remember: what they last bought, and a dated offer.",
    ),
)
PLAIN_ACTION: Final = "Look at what sets this segment apart before you choose an action."


def value_feature(spec: CompiledSpec) -> int:
    """Index of the feature that stands for spend: the first sum of amounts, else the first."""
    return _index(spec, _is_value) or 0


def _is_value(spec: CompiledSpec, f: Feature) -> bool:
    return f.kind == "sum" and spec.measures[spec.measure_index[f.measure or ""]].value == "amount"


def _is_frequency(spec: CompiledSpec, f: Feature) -> bool:
    counts = f.kind == "count" and f.window_days is not None
    return counts and spec.measures[spec.measure_index[f.measure or ""]].value == "order"


def _is_silence(_spec: CompiledSpec, f: Feature) -> bool:
    return f.kind in ("overdue", "recency")


def _is_basket(spec: CompiledSpec, f: Feature) -> bool:
    if f.kind != "mean":
        return False
    above = spec.measures[spec.measure_index[f.measure or ""]].value
    return above == "amount"


def _index(spec: CompiledSpec, wanted: Callable[[CompiledSpec, Feature], bool]) -> int | None:
    for j, feature in enumerate(spec.spec.features):
        if wanted(spec, feature):
            return j
    return None


def portraits(spec: CompiledSpec, averages: FloatArray, population: FloatArray) -> list[Portrait]:
    """Compare each segment with the population; averages has shape (k, F), real units."""
    columns = [
        _index(spec, wanted) for wanted in (_is_value, _is_frequency, _is_silence, _is_basket)
    ]
    ratios = np.ones((len(averages), 4))
    for position, j in enumerate(columns):
        if j is not None and population[j] > 0:
            ratios[:, position] = averages[:, j] / population[j]
    return [Portrait(*row) for row in ratios.tolist()]


def still_fits(name: str, portrait: Portrait) -> bool:
    """Whether what a name claims is still so; a plain one gives way to the first that fits."""
    template = next((t for t in TEMPLATES if t.name == name.partition(":")[0]), None)
    if template is None:
        return not any(t.fits(portrait) for t in TEMPLATES)
    return template.fits(portrait)


def keep_or_name(
    spec: CompiledSpec,
    averages: FloatArray,
    population: FloatArray,
    pinned: Sequence[tuple[str, str] | None],
) -> list[tuple[str, str, str]]:
    """Name, description and action of each segment: the pinned name where it is still true.

    Parameters
    ----------
    averages : shape (k, F), real units
    pinned
        Name and action each row has had, None where it is new.
    """
    views = portraits(spec, averages, population)
    kept = {
        i: pair
        for i, pair in enumerate(pinned)
        if pair is not None and still_fits(pair[0], views[i])
    }
    unnamed = [i for i in range(len(averages)) if i not in kept]
    taken = [name for name, _ in kept.values()]
    new = name_segments(spec, averages[unnamed], population, taken) if unnamed else []
    named = dict(zip(unnamed, new, strict=True))
    for i, (name, action) in kept.items():
        named[i] = (name, describe(spec, averages[i], population), action)
    return [named[i] for i in range(len(averages))]


def name_segments(
    spec: CompiledSpec, averages: FloatArray, population: FloatArray, taken: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Name, description and action of each segment.

    Parameters
    ----------
    averages : shape (k, F), real units
    population : shape (F,), real units
    taken
        Names that living segments already have.
    """
    used = set(taken)
    result = []
    for i, portrait in enumerate(portraits(spec, averages, population)):
        name, action = _choose(portrait, used, _plain(spec, averages[i], population))
        used.add(name)
        result.append((name, describe(spec, averages[i], population), action))
    return result


def _choose(portrait: Portrait, used: set[str], plain: str) -> tuple[str, str]:
    fitting = [t for t in TEMPLATES if t.fits(portrait)]
    for template in fitting:
        if template.name not in used:
            return template.name, template.action
    base = f"{fitting[0].name}: {plain}" if fitting else plain.capitalize()
    action = fitting[0].action if fitting else PLAIN_ACTION
    name, number = base, 2
    while name in used:
        name, number = f"{base} ({number})", number + 1
    return name, action


def _relative(spec: CompiledSpec, averages: FloatArray, population: FloatArray) -> list[int]:
    """Clustered features by how far, in ratio, the segment is from the population."""

    def distance(j: int) -> float:
        a, b = averages[j], population[j]
        if not (np.isfinite(a) and np.isfinite(b)) or a <= 0 or b <= 0:
            return 0.0
        return -abs(float(np.log(a / b)))

    clustered = [j for j, f in enumerate(spec.spec.features) if f.use == "cluster"]
    return sorted(clustered, key=lambda j: (distance(j), j))


def _plain(spec: CompiledSpec, averages: FloatArray, population: FloatArray) -> str:
    j = _relative(spec, averages, population)[0]
    word = (
        "more"
        if averages[j] > population[j]
        else "fewer"
        if spec.spec.features[j].kind == "count"
        else "lower"
    )
    word = "higher" if word == "more" and spec.spec.features[j].kind != "count" else word
    return f"{word} {spec.describe(spec.spec.features[j])}"


def describe(spec: CompiledSpec, averages: FloatArray, population: FloatArray) -> str:
    """Three plain facts, the strongest first."""
    facts = []
    for j in _relative(spec, averages, population)[:3]:
        f = spec.spec.features[j]
        facts.append(
            f"{spec.describe(f)} {quantity(averages[j], f.unit)} "
            f"(all customers {quantity(population[j], f.unit)})"
        )
    return "; ".join(facts)


def quantity(value: float | None, unit: str) -> str:
    """Write a number for people.

    >>> quantity(1234.5, "$"), quantity(3.14159, "days")
    ('$1,234', '3.1 days')
    """
    if value is None or not np.isfinite(value):
        return "unknown"
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"
    if unit in ("$", "£", "€"):
        return f"{unit}{number}"
    return f"{number} {unit}".rstrip()
