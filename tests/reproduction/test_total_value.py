"""The TotalValue study's matrix comes out of events, and its score out of the matrix."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from benchmarks.reproduction.total_value import Found


@pytest.fixture(scope="module")
def found(recomputed: Callable[[str], Any]) -> Found:
    result: Found = recomputed("total-value")
    return result


@pytest.mark.slow
def test_the_engine_gives_the_studys_matrix(found: Found) -> None:
    assert found.table.shape == (199, 3)
    np.testing.assert_allclose(found.theirs.raw, found.table, rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["by_table", "by_events"])
def test_the_score_that_was_never_printed(found: Found, source: str) -> None:
    fit = getattr(found, source)
    assert fit.sse == pytest.approx(159.4580, abs=5e-4)
    assert fit.davies_bouldin == pytest.approx(0.9183, abs=5e-4)
    assert fit.silhouette == pytest.approx(0.3354, abs=5e-4)
    assert fit.largest_first == (58, 50, 43, 28, 20)


@pytest.mark.slow
def test_who_spends_most_buys_most(found: Found) -> None:
    """There are no high spenders with low quantities."""
    assert found.correlation == pytest.approx(0.885, abs=1e-3)
    assert found.averages[:, 0].argmax() == found.averages[:, 1].argmax() == 0


@pytest.mark.slow
def test_money_per_unit_is_another_price(found: Found) -> None:
    assert found.by_unit_price.sse == pytest.approx(153.116, abs=0.02)
    assert found.by_unit_price.davies_bouldin == pytest.approx(0.840, abs=0.005)
