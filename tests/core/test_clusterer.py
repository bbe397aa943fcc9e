"""The learner is a river clusterer: a customer counts once, and steps move the centres."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import checks

from segstream.core.clusterer import PopulationKMeans, river_centres, river_kmeans
from segstream.core.layout import VECTOR_ONE

CENTRES = np.array([[0.0, 0.0], [10.0, 10.0]])


RIVER_CHECKS: list[Any] = list(checks.yield_checks(PopulationKMeans(n_clusters=3)))


@pytest.mark.parametrize("check", RIVER_CHECKS, ids=range(len(RIVER_CHECKS)))
def test_river_accepts_it(check: Callable[[PopulationKMeans], None]) -> None:
    """River's own estimator checks pass."""
    check(PopulationKMeans(n_clusters=3))


@given(
    st.lists(st.tuples(*[st.floats(-100, 100, width=32)] * 2), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_the_order_of_customers_does_not_matter(
    customers: list[tuple[float, float]], random: Any
) -> None:
    """Sums are integers, so any order and any split over partitions gives the same centres."""
    one = PopulationKMeans.from_centres(CENTRES, rate=1.0)
    for x in customers:
        one.learn_one(dict(enumerate(x)))
    shuffled = list(customers)
    random.shuffle(shuffled)
    other = PopulationKMeans.from_centres(CENTRES, rate=1.0)
    for x in shuffled:
        other.learn_one(dict(enumerate(x)))
    one.step()
    other.step()
    assert one.to_array().tolist() == other.to_array().tolist()


def test_predicting_changes_nothing() -> None:
    """`predict_one` is pure: asking moves no centre and counts nobody."""
    model = PopulationKMeans.from_centres(CENTRES, rate=1.0)
    assert model.predict_one({0: 9.0, 1: 9.0}) == 1
    model.step()
    assert model.to_array().tolist() == CENTRES.tolist()


def test_a_step_goes_the_rate_of_the_way() -> None:
    """A fifth of the way to the mean; a centre that nobody is near stays."""
    model = PopulationKMeans.from_centres(CENTRES, rate=0.2)
    model.add_totals(np.array([2, 0]), np.array([[10, 20], [0, 0]]) * VECTOR_ONE)
    model.step()
    assert model.to_array().tolist() == [[1.0, 2.0], [10.0, 10.0]]


def test_rivers_kmeans_starts_where_it_is_told() -> None:
    """Given every coordinate, river's K-Means draws nothing at random and pulls one centre."""
    model = river_kmeans(CENTRES, halflife=0.5)
    model.learn_one({0: 2.0, 1: 4.0})  # type: ignore[no-untyped-call]
    assert river_centres(model, 2).tolist() == [[1.0, 2.0], [10.0, 10.0]]
