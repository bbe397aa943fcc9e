"""What each segment buys on Online Retail, beside a recount of the raw file with pandas."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.core.engine import model_of

from segstream.adapters.files import FileSource
from segstream.adapters.mapping_files import named_mapping
from segstream.adapters.memory import MemorySink
from segstream.adapters.product_names import read_product_names
from segstream.adapters.sqlite_store import SqliteStore
from segstream.core.insights_answer import InsightsTable
from segstream.engine import Engine
from segstream.insights_view import insights_of_state
from segstream.settings import InsightsSettings, PolicySettings, Settings, compile_spec
from segstream.view import View

pytestmark = pytest.mark.slow

DAYS = 112
MOST_BOUGHT = 200
TOP = 10


def run(source: Path, state: Path) -> View:
    """Stream the whole file with a fixed model of three segments."""
    # Without a margin: the features that do not tell make every distance alike.
    settings = Settings(
        namespace="online-retail", currency="GBP", policy=PolicySettings(margin=0.0)
    )
    spec = compile_spec(settings)
    # Nothing, some 400 and some 1,800 pounds in 112 days; the other features do not tell.
    centres = np.zeros((3, len(spec.spec.names)))
    centres[:, spec.spec.names.index("spend_112d")] = np.log1p((0.0, 400.0, 1800.0))
    store, sink = SqliteStore(state, spec.spec.digest, "token"), MemorySink()
    feed = FileSource([source], named_mapping("online-retail"))
    try:
        engine = Engine(settings, store, sink, model_of(settings.spec, centres.tolist()))
        engine.run(feed)
        return View(
            settings, engine.partition, engine.trainer_state, store.models(), b"", [],
            store.purchases(),
        )  # fmt: skip
    finally:
        feed.close()
        store.close()


def raw_lines(source: Path) -> pd.DataFrame:
    """Lines of known customers in the window, as the file has them."""
    table = pd.read_csv(source, dtype={"InvoiceNo": str, "StockCode": str, "CustomerID": str})
    table = table.dropna(subset="CustomerID")
    table["day"] = pd.to_datetime(table["InvoiceDate"]).dt.floor("D")
    recent = table["day"] > table["day"].max() - pd.Timedelta(days=DAYS)
    found: pd.DataFrame = table.loc[recent]
    return found.assign(back=found["InvoiceNo"].str.startswith("C"))


def recount(lines: pd.DataFrame, customers: pd.DataFrame) -> pd.DataFrame:
    """Distinct customers who bought each product and did not return all of it, by segment."""
    units = lines["Quantity"].abs()
    pairs = lines.assign(
        taken=units.where(~lines["back"], 0), back_units=units.where(lines["back"], 0)
    )
    found = (
        pairs.assign(n=~lines["back"])
        .groupby(["CustomerID", "StockCode"])[["taken", "back_units", "n"]]
        .sum()
        .reset_index()
    )
    kept = found[
        (found["n"] > 0) & ((found["back_units"] == 0) | (found["taken"] > found["back_units"]))
    ]
    joined = kept.merge(customers, left_on="CustomerID", right_on="customer_id")
    counts = joined.groupby(["segment_id", "StockCode"]).size().rename("customers")
    return counts.reset_index()


@pytest.fixture(scope="module")
def counted(
    shared_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[View, InsightsTable, pd.DataFrame]:
    source = shared_data("online_retail/online_retail.csv.gz")
    view = run(source, tmp_path_factory.mktemp("likelihoods") / "state")
    return view, insights_of_state(view, DAYS, products=None), raw_lines(source)


def test_likelihoods_are_exact_for_the_most_bought_products(
    counted: tuple[View, InsightsTable, pd.DataFrame],
) -> None:
    """Of the 200 products most bought, each segment's likelihood is that of pandas."""
    view, table, lines = counted
    customers = view.customers[["customer_id", "segment_id"]]
    sizes = customers["segment_id"].value_counts()
    plain = recount(lines, customers)
    total = plain.groupby("StockCode")["customers"].sum().sort_values(ascending=False)
    most = list(total.index[:MOST_BOUGHT])
    assert len(sizes) == 3
    assert sizes.min() > 200
    for segment, size in sizes.items():
        told = {p.id: p for p in table.segments[str(segment)].products}
        here = plain[plain["segment_id"] == segment].set_index("StockCode")["customers"]
        for product in most:
            expected = int(here.get(product, 0))
            assert (told[product].customers if product in told else 0) == expected
            if expected:
                assert told[product].likelihood == expected / size
                everybody = total[product] / len(customers)
                assert told[product].lift == pytest.approx(expected / size / everybody)


def test_the_top_ten_of_each_segment_are_those_of_pandas(
    counted: tuple[View, InsightsTable, pd.DataFrame],
) -> None:
    """The ten likeliest products of each segment are the same, ties at the end included."""
    view, table, lines = counted
    plain = recount(lines, view.customers[["customer_id", "segment_id"]])
    for segment, found in plain.groupby("segment_id"):
        best = found.sort_values("customers", ascending=False)["customers"].head(TOP)
        top = table.segments[str(segment)].products[:TOP]
        assert [p.customers for p in top] == best.tolist()
        known = found.set_index("StockCode")["customers"]
        assert all(known[p.id] == p.customers for p in top)
        # Everything that must be among them is: more customers than the tenth has.
        sure = set(found[found["customers"] > best.iloc[-1]]["StockCode"])
        assert sure <= {p.id for p in top}


def test_likelihoods_are_no_softmax(counted: tuple[View, InsightsTable, pd.DataFrame]) -> None:
    """Shares of people do not add up to 1 over the products, and each is inside its interval."""
    _, table, _ = counted
    buying = [g for g in (table.all, *table.segments.values()) if g.buyers > g.customers / 2]
    assert len(buying) >= 3
    for group in buying:
        assert sum(p.likelihood for p in group.products) > 2
        assert all(0 <= p.low <= p.likelihood <= p.high <= 1 for p in group.products)


def test_revenue_and_countries_are_those_of_the_file(
    counted: tuple[View, InsightsTable, pd.DataFrame],
) -> None:
    """Revenue is the window's, returns subtracted; every customer has the country told last."""
    view, table, lines = counted
    assert table.all.revenue == pytest.approx((lines["Quantity"] * lines["UnitPrice"]).sum())
    assert sum(c.customers for c in table.countries) == len(view.customers)
    assert table.countries[0].name == "United Kingdom"
    assert len(table.top_products) == 50


def test_names_come_from_a_table(shared_data: Callable[[str], Path]) -> None:
    """Of an id with several names the most common one is taken."""
    path = shared_data("online_retail/online_retail.csv.gz")
    names = read_product_names(
        InsightsSettings(
            products_file=str(path), product_id="StockCode", product_name="Description"
        )
    )
    assert names["85123A"] == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert len(names) > 3_900
