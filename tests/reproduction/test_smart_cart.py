"""SmartCart's published averages are those of Ward's labels, not of K-Means."""

from collections.abc import Callable
from typing import Any

import pytest
from benchmarks.reproduction.smart_cart import PUBLISHED, Found


@pytest.fixture(scope="module")
def found(recomputed: Callable[[str], Any]) -> Found:
    result: Found = recomputed("smart-cart")
    return result


@pytest.mark.slow
def test_the_published_averages_come_out_to_the_last_digit(found: Found) -> None:
    for column, values in PUBLISHED.items():
        digits = 4 if column == "Response" else 2
        assert found.ward_averages[column].round(digits).tolist() == list(values)


@pytest.mark.slow
def test_they_are_of_wards_labels(found: Found) -> None:
    assert (found.customers, found.columns) == (2236, 18)
    assert found.ward.sizes == (905, 534, 444, 353)
    assert found.ward.silhouette == pytest.approx(0.3793, abs=5e-5)
    assert found.ward.davies_bouldin == pytest.approx(1.0683, abs=5e-5)


@pytest.mark.slow
def test_kmeans_is_better_by_each_score(found: Found) -> None:
    best, ward = found.best, found.ward
    assert best.sse == pytest.approx(6315.20, abs=0.05)
    assert sorted(best.sizes) == pytest.approx([351, 443, 621, 821], abs=2)
    assert best.silhouette == pytest.approx(0.3984, abs=5e-4)
    assert best.davies_bouldin == pytest.approx(1.0497, abs=5e-4)
    assert best.sse < ward.sse
    assert best.silhouette > ward.silhouette
    assert best.davies_bouldin < ward.davies_bouldin


@pytest.mark.slow
def test_kmeans_gives_other_averages(found: Found) -> None:
    assert found.ari == pytest.approx(0.869, abs=0.005)
    assert 95 <= found.moved <= 115
    assert (found.averages["Spending"].round(2).to_numpy() != PUBLISHED["Spending"]).all()
