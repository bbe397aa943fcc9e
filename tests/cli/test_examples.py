"""The example settings, each on its data set: what each study's reader looks for is there."""

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from tests.cli.commands import Place, segstream
from tests.example_states import Streamed

from segstream.insights_view import insights_of_state
from segstream.view import View, open_view

pytestmark = pytest.mark.slow


def view_of(place: Place) -> View:
    return open_view(place.state, place.out)


def test_coupons(shared_data: Callable[[str], Path], streamed: Streamed) -> None:
    """Six segments with gender, city, branch, merchant, and coupons claimed and redeemed."""
    source = shared_data("coupons_ecommerce/transactions.csv")
    table = insights_of_state(view_of(streamed("coupons")))
    assert len(table.segments) == 6
    rows = pd.read_csv(source)
    shares = {name: {s.value: s.customers for s in v} for name, v in table.all.shares.items()}
    assert shares["coupon"]["claimed"] == rows["customer_id"].nunique()
    burned = rows[rows["transaction_status"] == "burned"]
    assert shares["coupon"]["redeemed"] == burned["customer_id"].nunique()
    assert set(shares["gender"]) == {"Male", "Female"}
    assert len(shares["city"]) == 20
    branches = pd.read_csv(source.with_name("branches.csv")).set_index("branch_id")["merchant_id"]
    merchants = rows.assign(m=rows["branch_id"].map(branches)).groupby("m")["customer_id"].nunique()
    assert shares["merchant"] == {str(m): n for m, n in merchants.items()}
    for group in table.segments.values():
        assert sum(s.customers for s in group.shares["gender"]) == group.customers


def test_total_value(shared_data: Callable[[str], Path], streamed: Streamed) -> None:
    """Five segments by totals; likelihoods with the names of the study's own table."""
    source = shared_data("total_value") / "Transactions.csv"
    table = insights_of_state(view_of(streamed("total-value")), products=None)
    assert len(table.segments) == 5
    rows = pd.read_csv(source)
    assert table.all.revenue == pytest.approx(rows["TotalValue"].sum())
    bought = rows.groupby("ProductID")["CustomerID"].nunique()
    assert {p.id: p.customers for p in table.all.products} == bought.to_dict()
    assert all(p.name != p.id for p in table.all.products)
    assert {c.name for c in table.countries} == {
        "Asia", "Europe", "North America", "South America",
    }  # fmt: skip


def test_online_retail(streamed: Streamed) -> None:
    """Seven segments with countries, named products, and both exports; the first months of it."""
    place = streamed("online-retail")
    table = insights_of_state(view_of(place))
    assert len(table.segments) == 7
    assert table.countries[0].name == "United Kingdom"
    assert table.top_products[0].name != table.top_products[0].id
    assert table.all.pairs
    segment = max(table.segments, key=lambda i: table.segments[i].buyers)
    for what in ("likelihoods", "top-products"):
        ended = segstream("export", what, "--state", place.state, "--segment", segment)
        frame = pd.read_csv(io.StringIO(ended.out))
        best = table.segments[segment].products
        assert set(frame["segment_id"]) == {int(segment)}
        if what == "likelihoods":
            assert frame["id"].astype(str).head(5).tolist() == [p.id for p in best[:5]]
            assert frame["likelihood"].head(5).tolist() == [p.likelihood for p in best[:5]]
        else:
            assert len(frame) == 50
            assert frame["orders"].is_monotonic_decreasing
    assert "What they buy" in (place.out / "report.html").read_text("utf-8")


def test_refusals(tmp_path: Path) -> None:
    """A window for a table without one, and a state that keeps no purchases, are told."""
    ended = segstream("export", "customers", "--days", "3", "--state", tmp_path)
    assert ended.code == 2
    assert "--days" in ended.err
    source = tmp_path / "visits.jsonl"
    source.write_text('{"event_id":"1","customer_id":"c","ts":0,"type":"visit"}\n')
    place = Place(tmp_path)
    assert segstream("run", "--source", source, "--state", place.state, "--out", place.out,
                     "--json").code == 0  # fmt: skip
    ended = segstream("export", "likelihoods", "--state", place.state)
    assert ended.code == 5
    assert "expected purchases to count, got none" in ended.err
    missing = segstream("run", "--source", source, "--state", tmp_path / "other", "--products",
                        tmp_path / "none.csv")  # fmt: skip
    assert missing.code == 3
    assert "insights.products_file: expected a CSV file" in missing.err
