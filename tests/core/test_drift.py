"""Detectors call the check early and say why; they stay silent about chance and weekdays."""

import numpy as np
import pytest

from segstream.core.drift import (
    DriftSettings,
    Watch,
    calls,
    critical_psi,
    fresh_watch,
    observe,
    psi,
    watched,
)
from segstream.core.spec import CompiledSpec, Feature, FloatArray, Measure, Spec

SPEC = CompiledSpec(
    Spec(
        (Measure("visits", ("visit",), "event"),),
        (
            Feature("visits_30d", "count", "visits", window_days=30.0),
            Feature("visits_total", "count", "visits"),
        ),
    )
)
SETTINGS = DriftSettings()


def day(generator: np.random.Generator, n: int, shift: float = 0.0) -> FloatArray:
    """A day's panel of customers who are drawn anew."""
    return np.column_stack([generator.normal(shift, 1.0, n), generator.normal(10 * shift, 1.0, n)])


def watch_of(shifts: list[float], n: int = 1_000, seed: int = 1, wave: float = 0.0) -> Watch:
    """Days of panels, one after the other."""
    generator = np.random.default_rng(seed)
    watch = fresh_watch(Watch(), -1)
    for number, shift in enumerate(shifts):
        panel = day(generator, n, shift)
        labels = (panel[:, 0] > 0).astype(np.int64)
        distances = np.abs(panel[:, 0]) * (1.0 + wave * (number % 7 == 0))
        watch = observe(SPEC, SETTINGS, watch, number, panel, labels, distances, 2)
    return watch


def test_lifetime_features_are_not_watched() -> None:
    """What grows with time alone is no drift."""
    assert watched(SPEC).tolist() == [True, False]


@pytest.mark.parametrize("wave", [0.0, 0.05])
def test_a_stationary_population_calls_nothing(wave: float) -> None:
    """Half a year without drift, also with a weekday that lies 5 % off: calm every day."""
    watch = watch_of([0.0] * 180, wave=wave)
    assert {o.level for o in watch.history} == {"calm"}


def test_a_shift_is_called_with_its_feature() -> None:
    """A shifted feature acts within days; the reason names it and its figure."""
    watch = watch_of([0.0] * 30 + [1.0] * 7)
    why = calls(SETTINGS, watch, 36)
    assert why.startswith(("visits_30d: PSI", "segment shares: PSI", "mean distance"))
    assert watch.history[-1].psi[0] > 0.25
    assert watch.history[-1].psi[1] == 0.0


def test_a_small_shift_warns_and_calls_nothing() -> None:
    """Between the levels people are told, and nothing happens."""
    watch = watch_of([0.0] * 30 + [0.4] * 7)
    assert watch.history[-1].level == "warn"
    assert calls(SETTINGS, watch, 36) == ""


def test_calls_rest_and_have_a_budget() -> None:
    """After a call two weeks of silence, and two calls in thirty days at most."""
    watch = watch_of([0.0] * 30 + [2.0] * 7)
    spent = fresh_watch(watch, -1)
    for called, speaks in (((36 - 13,), False), ((36 - 14,), True), ((36 - 29, 36 - 15), False)):
        told = Watch(spent.since, watch.reference, watch.recent, watch.history, called)
        assert bool(calls(SETTINGS, told, 36)) is speaks


def test_a_panel_that_is_too_small_is_not_judged() -> None:
    """Below the minimum the detectors neither learn nor speak."""
    watch = watch_of([0.0] * 5 + [3.0] * 5, n=SETTINGS.min_panel - 1)
    assert watch.history == ()
    assert watch.reference is None


def test_chance_alone_stays_below_the_critical_value() -> None:
    """Two samples of one population exceed it about once in a hundred times."""
    generator = np.random.default_rng(3)
    over = 0
    for _ in range(1_000):
        one, other = generator.multinomial(200, [0.1] * 10), generator.multinomial(200, [0.1] * 10)
        over += psi(one / 200, other / 200, 200) > critical_psi(10, 200, 200, 0.99)
    assert 0 < over < 40


def test_a_new_generation_is_watched_anew() -> None:
    """The reference goes, the history stays for people to look at."""
    watch = watch_of([0.0] * 10)
    anew = fresh_watch(watch, 9)
    assert anew.reference is None
    assert anew.since == 10
    assert anew.history == watch.history


def test_missing_values_are_a_bin_of_their_own() -> None:
    """A feature that nobody has any more is a drift, not an error."""
    watch = fresh_watch(Watch(), -1)
    generator = np.random.default_rng(5)
    for number in range(20):
        panel = day(generator, 500)
        if number >= 10:
            panel[:, 0] = np.nan
        labels, distances = np.zeros(500, dtype=np.int64), np.ones(500)
        watch = observe(SPEC, SETTINGS, watch, number, panel, labels, distances, 1)
    assert watch.history[-1].level == "act"
