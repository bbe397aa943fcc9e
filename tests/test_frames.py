"""`segstream.run` on a pandas frame: the same engine, and what frames are like."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.cli import feeds
from tests.cli.commands import Place

import segstream
from segstream.errors import ConfigError, TooManyDeadLettersError
from segstream.settings import Settings
from segstream.view import open_view

FIELDS = ("event_id", "customer_id", "ts", "type", "order_id", "amount", "quantity", "channel")
WHOLE = {name: name for name in FIELDS}
SALES = {"customer_id": "who", "ts": "when", "amount": "paid"}


def sales(**columns: Any) -> pd.DataFrame:
    """Three purchases of two customers, with columns replaced or added."""
    plain: dict[str, Any] = {
        "who": ["a", "b", "a"],
        "when": ["2024-01-01", "2024-01-02T10:00", "2024-01-03 12:30:00"],
        "paid": [10.0, 20.0, 30.0],
    }
    return pd.DataFrame({**plain, **columns})


def small(frame: pd.DataFrame, **fields: str) -> segstream.Result:
    return segstream.run(frame, mapping={**SALES, **fields})


def messages(result: segstream.Result) -> list[str]:
    return [] if result.dead_letters.empty else result.dead_letters["message"].tolist()


def spend(result: segstream.Result) -> dict[str, float]:
    return dict(zip(result.customers["customer_id"], result.customers["spend_112d"], strict=True))


@pytest.fixture(scope="module")
def made() -> list[dict[str, Any]]:
    """A third of a year of a shop, with a model and changes."""
    return feeds.events(150, 150, erase=False)


class TestTheSameAsTheCommandLine:
    def test_same_result(self, made: list[dict[str, Any]], tmp_path: Path) -> None:
        """A frame and a file of the same events give the same customers, segments and changes."""
        frame = pd.DataFrame(made)
        result = segstream.run(frame.assign(ts=pd.to_datetime(frame["ts"], unit="ms")), WHOLE, k=3)
        place = Place(tmp_path)
        settings = msgspec.convert({"model": {"k": 3}}, Settings)
        place.stream(feeds.write(tmp_path / "feed.jsonl", feeds.lines(made)), settings=settings)
        view = open_view(place.state, place.out)
        pd.testing.assert_frame_equal(result.customers, view.customers.drop(columns="slot"))
        pd.testing.assert_frame_equal(result.segments, view.segments)
        pd.testing.assert_frame_equal(result.changes, view.changes)
        assert len(result.segments) == 3
        assert len(result.changes) > len(result.customers)
        assert result.dead_letters.empty
        assert {"first", "time"} <= set(result.changes["reason"])

    def test_any_order_of_rows(self, made: list[dict[str, Any]]) -> None:
        """Rows are streamed in time order, whatever order they are given in."""
        frame = pd.DataFrame(made)
        result = segstream.run(frame, WHOLE, k=3)
        shuffled = segstream.run(frame.sample(frac=1, random_state=3), WHOLE, k=3)
        # Events of one moment keep the frame's order, and with it who came first.
        pd.testing.assert_frame_equal(
            result.customers.set_index("customer_id").sort_index(),
            shuffled.customers.set_index("customer_id").sort_index(),
        )

    def test_a_named_mapping(self, made: list[dict[str, Any]]) -> None:
        """A mapping that comes with Segstream reads a frame as it reads a file."""
        frame = pd.DataFrame(made)
        by_name = segstream.run(frame, "plain", k=3)
        pd.testing.assert_frame_equal(by_name.customers, segstream.run(frame, WHOLE, k=3).customers)
        assert by_name.dead_letters.empty

    def test_a_model_says_what_it_is(self, made: list[dict[str, Any]]) -> None:
        """The model's frame has a row per segment and feature."""
        result = segstream.run(pd.DataFrame(made), WHOLE, k=4)
        assert len(result.model) == 4 * len(Settings().spec.features)
        assert set(result.model["segment_id"]) == set(result.segments["segment_id"])


def test_online_retail_by_name() -> None:
    """Ids that a missing value made floats are the ids of the file."""
    frame = pd.DataFrame(
        {
            "InvoiceNo": ["536365", "536365", "C536379", "536414"],
            "StockCode": ["85123A", "71053", "D", "22139"],
            "Description": ["x", "y", "z", None],
            "Quantity": [6, 6, -1, 56],
            "InvoiceDate": pd.to_datetime(["2010-12-01 08:26"] * 2 + ["2010-12-01 09:41"] * 2),
            "UnitPrice": [2.55, 3.39, 1.5, 0.0],
            "CustomerID": [17850.0, 17850.0, 14527.0, np.nan],
            "Country": ["United Kingdom"] * 4,
        }
    )
    result = segstream.run(frame, "online-retail")
    assert result.customers["customer_id"].tolist() == ["17850", "14527"]
    assert result.dead_letters.empty
    assert spend(result)["17850"] == pytest.approx(6 * 2.55 + 6 * 3.39)


def test_naive_and_aware_times() -> None:
    """Naive times are UTC; aware ones, epoch milliseconds and text are the same moments."""
    naive = pd.to_datetime(sales()["when"], format="ISO8601")
    columns = [
        naive,
        naive.dt.tz_localize("UTC"),
        naive.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
        naive.astype("datetime64[s]"),
        naive.dt.as_unit("ms").astype("int64"),
        naive.dt.as_unit("ms").astype("int64").astype("float64"),
        naive.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        naive.dt.strftime("%Y-%m-%d %H:%M"),
        pd.Series(naive.dt.to_pydatetime(), dtype=object),
    ]
    expected = small(sales()).customers
    for column in columns:
        pd.testing.assert_frame_equal(small(sales(when=column)).customers, expected)


def test_times_that_are_none() -> None:
    """A missing time and an unreadable one are dead letters that say so; the rest is applied."""
    result = small(sales(when=["2024-01-01", None, "01/02/2024"]))
    assert spend(result) == {"a": 10.0}
    missing, unreadable = messages(result)
    assert "missing required field `ts`" in missing
    assert "got '01/02/2024'; convert the column with pandas.to_datetime" in unreadable


def test_missing_cells() -> None:
    """A missing cell is a field that is not there, whatever pandas calls it."""
    frame = sales(
        shop=["x", None, np.nan],
        units=pd.array([1, None, 3], dtype="Int64"),
        paid=[10.0, np.nan, 30.0],
        price=[np.nan, 4.0, np.nan],
    )
    result = small(frame, branch_id="shop", quantity="units", unit_price="price")
    assert spend(result) == {"a": 40.0, "b": 4.0}
    assert messages(result) == []
    (no_amount,) = messages(small(frame, quantity="units"))
    assert "expected `amount`, `unit_price` or `items`" in no_amount
    (no_customer,) = messages(small(sales(who=["a", None, "b"])))
    assert "missing required field `customer_id`" in no_customer


def test_numbers_that_are_none() -> None:
    """Infinite and negative amounts are dead letters that keep the row."""
    result = small(sales(paid=[np.inf, -5.0, 30.0]))
    assert spend(result) == {"a": 30.0}
    assert result.dead_letters["code"].tolist() == ["bad_field"] * 2
    assert [json.loads(p)["paid" if "paid" in p else "amount"] for p in
            result.dead_letters["payload"]] == ["inf", "-5.0"]  # fmt: skip


def test_ids_of_every_kind() -> None:
    """Numbers are ids as they would be written; a float that a missing cell made has no `.0`."""
    for ids in ([1, 2, 1], [1.0, 2.0, 1.0], pd.array([1, 2, 1], dtype="Int64"), ["1", "2", "1"]):
        frame = sales(who=ids, branch=[7.0, np.nan, 8.0])
        result = small(frame, branch_id="branch", order_id="branch")
        assert result.customers["customer_id"].tolist() == ["1", "2"]
        assert messages(result) == []
    assert small(sales(who=["ö", "日本", "ö"])).customers["customer_id"].tolist() == ["ö", "日本"]


def test_profiles_and_items() -> None:
    """Whole numbers stay whole, times are times, and lists of items are items."""
    frame = pd.DataFrame(
        {
            "who": ["a", "a"],
            "when": ["2024-01-01", "2024-01-02"],
            "what": ["profile", "purchase"],
            "born": [1980.0, np.nan],
            "since": [pd.Timestamp("2020-05-01"), pd.NaT],
            "lines": [None, [{"amount": 3.0}, {"amount": 4.0}]],
        }
    )
    fields = {"customer_id": "who", "ts": "when", "type": "what", "birth_year": "born",
              "joined_at": "since", "items": "lines"}  # fmt: skip
    result = segstream.run(frame, fields)
    assert messages(result) == []
    assert spend(result) == {"a": 7.0}


def test_any_index() -> None:
    """The index of a frame does not matter, nor that its labels repeat, as after a concat."""
    frame = sales()
    expected = small(frame).customers
    for index in (["x", "y", "z"], [0, 0, 0], pd.date_range("2024-01-01", periods=3)):
        pd.testing.assert_frame_equal(small(frame.set_axis(index, axis=0)).customers, expected)


def test_the_frame_stays_as_it_was() -> None:
    """The frame that is given is not changed."""
    frame = sales(who=[1.0, 2.0, np.nan])
    before = frame.copy(deep=True)
    small(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_an_empty_frame() -> None:
    """A frame without rows gives empty frames with their columns."""
    for frame in (sales().iloc[:0], pd.DataFrame({"who": [], "when": [], "paid": []})):
        result = small(frame)
        assert len(result.customers) == len(result.changes) == len(result.segments) == 0
        assert {"customer_id", "segment", "spend_112d"} <= set(result.customers.columns)
        assert {"reason", "customer_id"} <= set(result.changes.columns)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({**SALES, "amount": "price"}, "no such column: price"),
        ({**SALES, "colour": "paid"}, "no such field: colour"),
        ({"customer_id": "who"}, "missing: ts"),
        ("online-retial", "Did you mean `online-retail`"),
        ("online-retail", "expected column `CustomerID`"),
    ],
)
def test_a_mapping_with_a_mistake(mapping: Any, said: str) -> None:
    """A mistake in the mapping names the column or field."""
    with pytest.raises(ConfigError, match=said):
        segstream.run(sales(), mapping)


@pytest.mark.parametrize("k", [0, 65])
def test_k_out_of_range(k: int) -> None:
    """A number of segments out of range is refused."""
    with pytest.raises(ConfigError, match=r"model\.k: expected 1 to 64"):
        segstream.run(sales(), SALES, k=k)


def test_a_frame_that_is_mostly_bad() -> None:
    """A frame of another shape stops instead of giving a few customers."""
    frame = pd.DataFrame({"who": ["a"] * 200, "when": ["never"] * 200, "paid": [1.0] * 200})
    with pytest.raises(TooManyDeadLettersError, match="max_share"):
        small(frame)


def test_settings_are_taken() -> None:
    """Settings other than k are those given."""
    settings = msgspec.convert({"currency": "EUR"}, Settings)
    frame = sales(money=["EUR", "USD", "EUR"])
    result = segstream.run(frame, {**SALES, "currency": "money"}, settings=settings)
    assert spend(result) == {"a": 40.0}
    assert result.dead_letters["code"].tolist() == ["wrong_currency"]
