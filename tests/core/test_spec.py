"""Which feature specs are refused, and with what words."""

import re
from typing import Any

import msgspec
import pytest
from tests.core.engine import model_of

from segstream.core.model import check_model
from segstream.core.spec import CompiledSpec, Feature, Measure, Spec, text_hash
from segstream.errors import ConfigError

ORDERS = Measure("orders", ("purchase",), "order")
SPEND = Measure("spend", ("purchase", "return"), "amount")
RETURNS = Measure("returns", ("purchase", "return"), "event")
FINE = Feature("orders", "count", "orders", window_days=90)


def spec(*features: Feature, measures: tuple[Measure, ...] = (ORDERS, SPEND, RETURNS)) -> Spec:
    return Spec(measures, features)


def feature(name: str = "f", kind: str = "count", **fields: Any) -> Feature:
    plain: dict[str, Any] = {"measure": "orders"} if kind in ("count", "sum", "recency") else {}
    return Feature(name, kind, **{**plain, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (feature(kind="attribute", attribute="customer_id"), "identifiers are refused"),
        (feature("customer_id"), "identifiers are refused"),
        (feature(measure="ordres"), "expected a measure (orders, returns, spend), got `ordres`"),
        (feature(kind="mean", measure="spend", per="ordres"), "got `ordres`"),
        (feature(kind="mean", measure="spend"), "expected per for kind `mean`"),
        (feature(kind="one_hot", attribute="city"), "expected category for kind `one_hot`"),
        (feature(kind="attribute", attribute="height"), "expected one of income"),
        (feature(kind="attribute", attribute="city"), "expected attribute = income"),
        (feature(kind="one_hot", attribute="children", category="3"), "attribute = gender, city"),
        (feature(kind="age", attribute="income"), 'expected attribute = "birth_year"'),
        (feature(kind="tenure", attribute="income"), 'expected attribute = "joined_at"'),
        (feature(kind="gap", measure="spend"), "an interval is between things that are counted"),
        (feature(kind="overdue", measure="returns"), "without returns"),
        (feature(window_days=0.03), "expected window_days in whole hours, got 0.03"),
        (feature(window_days=0.0), "expected window_days in whole hours"),
        (feature(window_days=-1.0), "expected window_days in whole hours"),
        (feature(scale=0.0), "expected scale > 0, got 0.0"),
        (feature(weight=-1.0), "expected weight > 0, got -1.0"),
        (feature(clip=0.0), "expected clip > 0"),
        (feature(least=3.0, clip=2.0), "expected least <= clip"),
        (feature("orders"), "expected each feature name once, got orders again"),
    ],
)
def test_a_feature_that_is_refused(bad: Feature, says: str) -> None:
    """A feature that cannot mean anything is refused by name, with what was expected."""
    with pytest.raises(ConfigError, match=re.escape(says)):
        CompiledSpec(spec(FINE, bad))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (
            Measure("m", ("purchase",), "amount", {"colour": ("red",)}),
            "expected a filter on channel",
        ),
        (Measure("m", ("purchase", "visit"), "order"), 'expected types = ["purchase"]'),
        (Measure("m", ("purchase",), "order", {"category": ("a",)}), "count events instead"),
        (Measure("m", (), "event"), "expected event types, got none"),
        (Measure("orders", ("visit",), "event"), "expected each measure name once"),
    ],
)
def test_a_measure_that_is_refused(bad: Measure, says: str) -> None:
    """A measure that would count nothing, or no one thing, is refused."""
    with pytest.raises(ConfigError, match=re.escape(says)):
        CompiledSpec(spec(FINE, measures=(ORDERS, bad)))


def test_nothing_to_cluster_is_refused() -> None:
    """Features that only describe make no segments."""
    with pytest.raises(ConfigError, match='use = "cluster"'):
        CompiledSpec(spec(feature(use="describe")))


def test_too_many_measures_are_refused() -> None:
    """Measures are bits of a word: 62 at most."""
    many = tuple(Measure(f"m{i}", ("visit",), "event") for i in range(63))
    with pytest.raises(ConfigError, match="at most 62 measures, got 63"):
        CompiledSpec(Spec(many, (Feature("f", "count", "m0"),)))


@pytest.mark.parametrize("field", ["kindly", "windows"])
def test_an_unknown_key_is_refused(field: str) -> None:
    """A misspelt key is an error, never a default."""
    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.convert({"name": "f", "kind": "tenure", field: 1}, Feature)


@pytest.mark.parametrize("hours", [1, 7, 36, 24 * 90])
def test_windows_of_whole_hours_are_taken(hours: int) -> None:
    """Any whole number of hours is a window, in days."""
    compiled = CompiledSpec(spec(feature(window_days=hours / 24)))
    assert compiled.arrays.windows.tolist() == [hours]


def test_digest_tells_specs_apart() -> None:
    """Equal specs have one digest; another window, another."""
    assert spec(FINE).digest == spec(FINE).digest
    assert spec(FINE).digest != spec(feature("orders", window_days=91)).digest


def test_a_model_of_another_spec_is_refused() -> None:
    """A model only judges vectors of the spec it was fitted with."""
    model = model_of(spec(FINE), [[0.0]])
    check_model(model, CompiledSpec(spec(FINE)))
    with pytest.raises(ConfigError, match="use the spec it was fitted with"):
        check_model(model, CompiledSpec(spec(feature())))


def test_hashes_are_signed_and_never_zero() -> None:
    """Zero stands for absent; a lone surrogate has a hash too."""
    values = [text_hash(str(i)) for i in range(1000)] + [text_hash("\ud800")]
    assert 0 not in values
    assert min(values) < 0 < max(values)
    assert all(-(2**63) <= v < 2**63 for v in values)
