"""The OpenAPI document is true of every endpoint, whatever is asked."""

from collections.abc import Iterator

import pytest
from tests.api.fuzz import fuzz
from tests.api.served import Served, served_state
from tests.cli.commands import Place

ENDPOINTS = {
    "why", "customer", "erase", "assign", "segments", "segment", "members", "overview", "map",
    "insights", "models", "model", "recluster", "promote", "rollback", "changes", "healthz",
    "readyz", "metrics",
}  # fmt: skip


@pytest.fixture
def own(shop: Place, tmp_path: Place) -> Iterator[Served]:
    """A copy of the shop, for what changes it."""
    import shutil

    copy = Place(tmp_path)  # type: ignore[arg-type]
    shutil.copytree(shop.state, copy.state)
    shutil.copytree(shop.out, copy.out)
    with served_state(copy.state, copy.out) as running:
        yield running


@pytest.mark.slow
# The server is in this process, and its clients draw random pauses while a request is generated.
@pytest.mark.filterwarnings("ignore:Do not use the .random. module")
def test_generated_requests_are_answered_as_documented(own: Served) -> None:
    """No 500, and every answer is of its schema: all operations over a state directory."""
    assert set(fuzz(own)) == ENDPOINTS
