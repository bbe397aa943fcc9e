"""The coupon study's silhouette of 0.08 is that of two segments, and these are the genders."""

from collections.abc import Callable
from typing import Any

import pytest
from benchmarks.reproduction.coupons import Found


@pytest.fixture(scope="module")
def found(recomputed: Callable[[str], Any]) -> Found:
    result: Found = recomputed("coupons")
    return result


@pytest.mark.slow
def test_the_published_silhouette_is_of_two_segments(found: Found) -> None:
    assert found.table.shape == (5000, 27)
    assert found.two.silhouette == pytest.approx(0.08440, abs=5e-6)
    assert found.six.silhouette == pytest.approx(0.168, abs=0.005)


@pytest.mark.slow
def test_its_two_segments_are_the_genders(found: Found) -> None:
    assert found.gender_ari == 1.0


@pytest.mark.slow
def test_both_of_its_coupon_features_are_zero(found: Found) -> None:
    assert found.zero_columns == 2


@pytest.mark.slow
def test_events_give_each_customer_its_coupons(found: Found) -> None:
    assert found.features.raw.shape == (989, 2)
    assert found.features.raw.sum(axis=0).tolist() == [5000, 2516]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "sse", "silhouette"),
    [(2, 882.27, 0.4746), (4, 458.16, 0.3794), (6, 310.96, 0.3996), (8, 234.79, 0.4297),
     (10, 186.62, 0.4622)],
)  # fmt: skip
def test_corrected_fits(found: Found, k: int, sse: float, silhouette: float) -> None:
    """From six segments on a last bit decides which of several close fits is best of 50."""
    loose = k > 4
    fit = found.corrected[k]
    assert fit.sse == pytest.approx(sse, rel=0.02 if loose else 1e-5)
    assert fit.silhouette == pytest.approx(silhouette, abs=0.03 if loose else 5e-5)


@pytest.mark.slow
def test_more_starts_find_a_lower_fit(found: Found) -> None:
    assert found.lowest.sse < found.corrected[6].sse
