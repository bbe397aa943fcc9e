"""The example settings, each on its data set: what each study's reader looks for is there."""

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import binomtest
from tests.cli.commands import Place, segstream
from tests.example_states import Streamed

from segstream.core.places_answer import Looked, Places
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


def test_coupons_by_city_branch_and_merchant(
    shared_data: Callable[[str], Path], streamed: Streamed
) -> None:
    """Every claim and redemption, rate and interval is pandas' on the study's own tables."""
    source = shared_data("coupons_ecommerce/transactions.csv")
    rows = pd.read_csv(source)
    for name, key in (("customers", "customer_id"), ("cities", "city_id"),
                      ("branches", "branch_id")):  # fmt: skip
        rows = rows.merge(pd.read_csv(source.with_name(f"{name}.csv")), on=key, how="left")
    rows["burned"] = rows["transaction_status"] == "burned"
    view = view_of(streamed("coupons"))
    table = insights_of_state(view, products=None)
    segment = view.customers.set_index("customer_id")["segment_id"]
    rows["segment"] = rows["customer_id"].astype(str).map(segment)
    lists: dict[str, Places] = {one.kind: one for one in table.places}
    for kind, column in (("city", "city_name"), ("merchant", "merchant_id"),
                         ("branch", "branch_id")):  # fmt: skip
        one = lists[kind]
        assert (one.claimed, one.claimed_redeemed, one.redeemed) == (5_000, 2_516, 2_516)
        assert (one.customers, one.without, one.rate) == (989, 0, 0.5032)
        plain = rows.groupby(column).agg(
            customers=("customer_id", "nunique"), claimed=("burned", "size"),
            burned=("burned", "sum"),
        )  # fmt: skip
        found = {row.value: row for row in one.rows}
        assert set(found) == set(map(str, plain.index))
        for value, row in plain.iterrows():
            told, sure = found[str(value)], proportion(row["burned"], row["claimed"])
            assert told.customers == row["customers"]
            assert (told.claimed, told.redeemed) == (row["claimed"], row["burned"])
            assert told.claimed_redeemed == row["burned"]
            assert (told.low, told.high) == pytest.approx(sure)
            mine = rows[rows[column] == value].drop_duplicates("customer_id")
            assert {s.segment_id: s.customers for s in told.segments if s.customers} == (
                mine["segment"].value_counts().to_dict()
            )
        # Genders, cities and burns of the study were drawn at random: nothing is claimed of any.
        assert one.redemption.differ == one.segments.differ == 0
        assert not [said for row in one.rows for said in row.advice]
    assert (lists["coupon"].count, lists["coupon"].rows) == (5_000, [])
    assert lists["city"].redemption == Looked(20, 1, 0)


def proportion(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's interval, by scipy."""
    found = binomtest(int(successes), int(trials)).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


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
