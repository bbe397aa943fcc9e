"""ClusterCart's seven segments of Online Retail are bands of the customer number."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from benchmarks.reproduction.cluster_cart import (
    PUBLISHED_SIZES,
    SETTINGS,
    Found,
    bands_ari,
    study_matrix,
)

from segstream.errors import ConfigError
from segstream.settings import compile_spec, load_settings


@pytest.fixture(scope="module")
def found(recomputed: Callable[[str], Any]) -> Found:
    result: Found = recomputed("cluster-cart")
    return result


def test_bands_agree_with_themselves_and_not_with_what_is_across_them() -> None:
    numbers = np.random.default_rng(1).permutation(700)

    assert bands_ari(numbers, numbers // 100) == 1.0
    assert abs(bands_ari(numbers, numbers % 7)) < 0.01


def test_the_matrix_has_the_number_then_products_then_countries() -> None:
    """Anna buys in two countries and is two rows; what she returns is subtracted."""
    lines = pd.DataFrame(
        [(12, "UK", "A", 3), (12, "UK", "A", -1), (12, "France", "B", 5), (13, "UK", "B", 7)],
        columns=["CustomerID", "Country", "StockCode", "Quantity"],
    )
    artefact = study_matrix(lines)

    assert artefact.products == ["A", "B"]
    assert artefact.matrix.tolist() == [[12, 0, 5, 1, 0], [12, 2, 0, 0, 1], [13, 0, 7, 0, 1]]


def test_an_identifier_is_refused_as_a_feature() -> None:
    spec = '[[features]]\nname = "customer_id"\nkind = "tenure"\n'

    with pytest.raises(ConfigError, match="identifiers are refused"):
        compile_spec(load_settings(SETTINGS + spec, "test"))


@pytest.mark.slow
def test_the_published_sizes_come_out_with_the_customer_number_left_in(found: Found) -> None:
    assert found.shape == (4380, 3722)
    assert found.sizes == PUBLISHED_SIZES


@pytest.mark.slow
def test_the_published_segments_are_bands_of_the_number(found: Found) -> None:
    assert found.bands_ari == pytest.approx(0.9196, abs=5e-4)
    assert found.id_share == pytest.approx(0.8327, abs=5e-4)


@pytest.mark.slow
def test_without_the_number_single_customers_split_off(found: Found) -> None:
    assert found.sizes_without_id == (4372, 3, 1, 1, 1, 1, 1)


@pytest.mark.slow
def test_a_softmax_of_means_is_no_likelihood(found: Found) -> None:
    """What the study calls all but certain, 4 of 634 customers bought."""
    assert found.furthest.name == "ASSTD DESIGN 3D PAPER STICKERS"
    assert found.furthest.softmax == pytest.approx(0.9996, abs=1e-4)
    assert found.furthest.bought == pytest.approx(4 / 634)


@pytest.mark.slow
def test_corrected_segments_know_nothing_of_the_number(found: Found) -> None:
    assert found.features.scaled.shape == (4372, 6)
    assert abs(found.corrected_ari) < 0.02
    assert min(found.best.sizes) > 50
    assert found.best.silhouette == pytest.approx(0.326, abs=0.01)
    assert found.best.davies_bouldin == pytest.approx(0.970, abs=0.02)


@pytest.mark.slow
def test_every_corrected_segment_has_a_most_bought_product(found: Found) -> None:
    assert len(found.likely) == 7
    assert all(0 < product.bought <= 1 for product in found.likely)
