"""One customer over HTTP: what it is, why, and what if."""

from urllib.parse import quote

import httpx
import numpy as np
import pytest
from tests.api.shops import ODD_IDS
from tests.cli.commands import Place

from segstream.cli.look import customer_answer
from segstream.core.vectors import nearest_rows
from segstream.view import open_view


@pytest.mark.parametrize("name", ODD_IDS)
def test_any_id_finds_its_customer(reader: httpx.Client, name: str) -> None:
    """Slashes, quotes, glob characters, percent signs and any script are part of an id."""
    path = f"/customers/{quote(name, safe='')}"
    for found in (reader.get(path), reader.get(f"{path}/why")):
        assert found.status_code == 200, found.text
        assert found.json()["customer_id"] == name


def test_a_customer_is_as_the_command_shows_it(reader: httpx.Client, shop: Place) -> None:
    """`segstream customer --json` and GET /customers/{id} say the same."""
    told = customer_answer(open_view(shop.state, shop.out), "c0040")
    found = reader.get("/customers/c0040").json()
    assert found["segment_id"] == told["segment_id"]
    assert [f["value"] for f in found["features"]] == [f["value"] for f in told["features"]]
    assert [f["text"] for f in found["features"]] == [f["text"] for f in told["features"]]
    assert [h["reason"] for h in found["history"]] == [h["reason"] for h in told["history"]]
    ours = {d["segment_id"]: d["distance"] for d in found["distances"]}
    theirs = {d["segment_id"]: d["distance"] for d in told["distances"]}
    assert ours == pytest.approx(theirs)


def test_every_customers_own_features_answer_its_nearest_segment(
    reader: httpx.Client, shop: Place
) -> None:
    """POST /assign calls the kernel's functions: the same vector, the same nearest centre."""
    view = open_view(shop.state, shop.out)
    assert view.model is not None
    ids, raw, scaled = view.vectors
    index, distance = nearest_rows(view.model.centres, scaled)
    names = view.spec.spec.names
    for row, customer_id in enumerate(ids):
        given = {n: v for n, v in zip(names, raw[row].tolist(), strict=True) if not np.isnan(v)}
        found = reader.post("/assign", json={"features": given}).json()
        assert found["segment_id"] == view.model.segments[index[row]].id, customer_id
        assert found["distance"] == distance[row]
        assert found["assumed"] == [] or len(given) < len(names)


def test_drivers_add_up_to_the_margin(reader: httpx.Client) -> None:
    """What speaks for the segment and against the next is all that separates them."""
    for name in ("c0040", "c0041", "c0042"):
        why = reader.get(f"/customers/{name}/why").json()
        assert sum(d["contribution"] for d in why["drivers"]) == pytest.approx(why["margin"])
        customer = reader.get(f"/customers/{name}").json()
        assert customer["margin"] == why["margin"]


def test_an_unknown_feature_is_refused_with_those_there_are(reader: httpx.Client) -> None:
    """422 names the features, and nothing is assumed instead."""
    found = reader.post("/assign", json={"features": {"spend": 3}})
    assert found.status_code == 422
    assert found.headers["content-type"] == "application/problem+json"
    assert "spend_112d" in found.json()["detail"]


def test_what_is_not_given_is_the_median_and_said_so(reader: httpx.Client) -> None:
    """The answer names every clustered feature that it assumed."""
    found = reader.post("/assign", json={"features": {"spend_112d": 300.0}}).json()
    assert found["given"] == {"spend_112d": 300.0}
    assumed = {a["name"] for a in found["assumed"]}
    assert assumed == {"orders_112d", "overdue", "order_value", "order_units", "orders_total"}


def test_an_unknown_customer_is_not_found(reader: httpx.Client) -> None:
    """404 with a problem, and the id is not repeated."""
    found = reader.get("/customers/nobody%2Fhere")
    assert found.status_code == 404
    assert found.json()["type"] == "urn:segstream:problem:unknown-customer"
    assert found.json()["instance"] == "/customers/nobody%2Fhere"
