"""One bad event in a feed: told with its place, kept as it was, and nothing of it applied."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli import feeds
from tests.cli.commands import Place, small_batches

from segstream.core.partition import PartitionMeta
from segstream.errors import TooManyDeadLettersError
from segstream.settings import Settings

NOON = feeds.START_MS + 43_200_000


def event(**changed: Any) -> dict[str, Any]:
    """A good purchase, with what a test changes; `...` leaves a field out."""
    plain = {
        "event_id": "bad", "customer_id": "c1", "ts": NOON, "type": "purchase", "amount": 5.0,
    }  # fmt: skip
    return {k: v for k, v in {**plain, **changed}.items() if v is not ...}


def good(n: int = 12) -> list[bytes]:
    """Good purchases, one an hour, around noon."""
    start = NOON - n * 1_800_000
    return feeds.lines(
        [
            event(event_id=f"e{i}", customer_id=f"c{i % 3}", ts=start + i * 3_600_000)
            for i in range(n)
        ]
    )


def line(**changed: Any) -> bytes:
    return json.dumps(event(**changed)).encode()


CASES: dict[str, tuple[bytes, str, str]] = {
    "not JSON": (b"event_id=1&ts=2", "not_json", "expected one JSON object"),
    "cut off": (line()[:-9], "not_json", "expected one JSON object"),
    "an array": (b"[1,2]", "bad_field", "Expected `object`, got `array`"),
    "NaN": (line(amount=float("nan")), "not_json", "expected one JSON object"),
    "infinity": (line(amount=float("inf")), "not_json", "expected one JSON object"),
    "over all numbers": (line().replace(b"5.0", b"1e999"), "bad_field", "out of range"),
    "too much money": (line(amount=1e9), "bad_field", "`$.amount`"),
    "half a surrogate pair": (line(customer_id="\ud83d"), "not_json", "surrogate"),
    "not UTF-8": (b'{"event_id":"\xff"}', "not_json", "expected one JSON object"),
    "very deep": (b'{"a":' + b"[" * 100_000, "not_json", "expected one JSON object"),
    "a number as id": (line(customer_id=17), "bad_field", "got `int` - at `$.customer_id`"),
    "text as amount": (line(amount="5"), "bad_field", "got `str` - at `$.amount`"),
    "no customer": (line(customer_id=...), "bad_field", "missing required field `customer_id`"),
    "no time": (line(ts=...), "bad_field", "missing required field `ts`"),
    "no amount": (line(amount=...), "no_amount", "`amount`, `unit_price` or `items`"),
    "unknown type": (line(type="buy"), "bad_field", "Invalid enum value 'buy'"),
    "reserved type": (line(type="merge"), "merge_reserved", "reserved"),
    "empty customer": (line(customer_id=""), "bad_field", "`$.customer_id`"),
    "empty event id": (line(event_id=""), "bad_field", "`$.event_id`"),
    "negative quantity": (line(quantity=-1), "bad_field", ">= 0.0 - at `$.quantity`"),
    "negative amount": (line(amount=-5), "bad_field", ">= 0.0 - at `$.amount`"),
    "before 1970": (line(ts=-1), "time_before_1970", "expected ts >= 0 ms"),
    "before 1970, ISO": (
        line(ts="1969-12-31T23:59:59Z"),
        "time_before_1970",
        "expected ts >= 0 ms",
    ),
    "far future": (line(ts=NOON + 70 * feeds.DAY_MS), "time_in_future", "clock.max_jump_days"),
    "year 9999": (line(ts="9999-12-31T23:59:59Z"), "time_in_future", "clock.max_jump_days"),
    "no such time": (line(ts=10**18), "bad_field", "`$.ts`"),
    "time without zone": (line(ts="2024-01-01T12:00:00"), "bad_field", "`$.ts`"),
    "1 MiB": (line(city="x" * (1 << 20)), "too_large", "1048576"),
    "items": (line(items=[{"amount": 4.0}]), "items_mismatch", "add up to amount 5.0, got 4"),
    "another currency": (line(currency="USD"), "wrong_currency", "EUR"),
}


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the good events alone come to."""
    place = Place(tmp_path_factory.mktemp("good"))
    feed = feeds.write(place.folder / "feed.jsonl", good())
    place.stream(feed, settings=Settings(currency="EUR"))
    return place.result()


def counted(without: dict[str, object], **counts: int) -> PartitionMeta:
    """The good events' counts, and what became of the bad one."""
    meta = without["meta"]
    assert isinstance(meta, PartitionMeta)
    return msgspec.structs.replace(meta, **counts)


@pytest.mark.parametrize("name", CASES)
def test_a_bad_event(place: Place, without: dict[str, object], name: str) -> None:
    """It becomes one dead letter with code, message, place and bytes; the rest is as without it."""
    payload, code, message = CASES[name]
    rows = good()
    rows.insert(6, payload)
    feed = feeds.write(place.folder / "feed.jsonl", rows)
    place.stream(feed, settings=Settings(currency="EUR"))
    (letter,) = place.dead()
    assert letter["code"] == code
    assert message in letter["message"]
    assert letter["place"] == f"{feed}:7"
    if name == "not UTF-8":
        assert letter["payload_base64"] == "eyJldmVudF9pZCI6Iv8ifQ=="
    else:
        assert letter["payload"].encode() == payload
    assert place.accounted() == len(rows)
    result = place.result()
    assert result["records"] == without["records"]
    assert result["changes.jsonl"] == without["changes.jsonl"]
    assert place.meta() == counted(without, dead=1)


def test_the_same_event_twice_with_other_content(place: Place, without: dict[str, object]) -> None:
    """Of two events under one id the first counts, and the other is counted as a duplicate."""
    rows = good()
    rows.insert(7, rows[6].replace(b"5.0", b"900.0"))
    place.stream(feeds.write(place.folder / "feed.jsonl", rows), settings=Settings(currency="EUR"))
    assert place.result()["records"] == without["records"]
    assert place.meta() == counted(without, duplicates=1)
    assert place.dead() == []
    assert place.accounted() == len(rows)


IDS = (
    "ö", "日本語", "🛒🛒", "a b\tc", "null", "-1", "c\u0000d", "\u202e", "\u00e9", "e\u0301",
    "\ufeff",
    "'\"\\", "../..", "x" * 1024, "\u2028", "\U0010ffff",
)  # fmt: skip


def test_ids_of_any_unicode(place: Place) -> None:
    """Every id is a customer of its own, and comes out as it went in, in changes too."""
    made = [
        event(
            event_id=f"{day} {name}"[:1024], customer_id=name, amount=day + len(name) % 7 + 1.0,
            ts=NOON + day * feeds.DAY_MS,
        )
        for day in range(3)
        for name in IDS
    ]  # fmt: skip
    model = {"k": 2, "start": "early", "min_panel": 2}
    place.stream(
        feeds.write(place.folder / "feed.jsonl", feeds.lines(made)),
        settings=msgspec.convert({"model": model}, Settings),
    )
    assert place.dead() == []
    assert place.meta().customers == len(set(IDS)) == len(IDS)
    changes = [json.loads(one) for one in (place.out / "changes.jsonl").read_bytes().splitlines()]
    assert {change["data"]["customer_id"] for change in changes} == set(IDS)
    assert {change["subject"] for change in changes} == set(IDS)


class TestTooManyDeadLetters:
    """A feed that is mostly broken stops before the batch that crosses the limit."""

    def rows(self) -> list[bytes]:
        """2,000 good ones, then every third is bad."""
        made = feeds.lines(feeds.events(130, 100, erase=False))[:2400]
        return [b"{" if i > 2000 and i % 3 == 0 else row for i, row in enumerate(made)]

    def test_stops_and_goes_on(self, place: Place, tmp_path: Path) -> None:
        """What was committed before stays; with the limit raised it goes on to the same bytes."""
        feed = feeds.write(tmp_path / "feed.jsonl", self.rows())
        strict = small_batches(dead_letters={"max_share": 0.02}, batch_bytes=20_000)
        with pytest.raises(TooManyDeadLettersError, match=r"segstream doctor.*max_share"):
            place.stream(feed, settings=strict)
        assert place.dead() == [] or place.meta().dead == len(place.dead())
        before = place.entries()
        assert 1900 < before < 2400
        assert place.accounted() == before
        with pytest.raises(TooManyDeadLettersError):
            place.stream(feed, settings=strict)
        lax = small_batches(dead_letters={"max_share": 1.0}, batch_bytes=20_000)
        assert place.stream(feed, settings=lax)
        whole = Place(tmp_path / "whole")
        assert whole.stream(feed, settings=lax)
        assert place.result() == whole.result()
        assert place.accounted() == 2400
        assert len(place.dead()) == 133

    def test_a_mended_feed(self, place: Place, tmp_path: Path) -> None:
        """Where the first batch crosses, nothing was begun: the mended file is welcome."""
        feed = feeds.write(tmp_path / "feed.jsonl", [b"{"] * 90 + good(100))
        with pytest.raises(TooManyDeadLettersError):
            place.stream(feed)
        assert place.accounted() == 0
        assert place.dead() == []
        feeds.write(feed, good(100))
        assert place.stream(feed)
        assert place.meta().applied == 100
