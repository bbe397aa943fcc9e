"""A declared mapping turns any feed's rows into events, strictly."""

import csv
import io
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segstream.core.declaration import Declaration, Fields, ItemFields
from segstream.core.decoding import json_paths
from segstream.core.events import Event, Item, Parsed
from segstream.core.mapping import IDENTITY, load_mapping, unused_columns
from segstream.core.rows import compile_mapping, parse_row
from segstream.core.splitter import RowSplitter
from segstream.errors import BadEventError, ConfigError

HEAD = """
format = "{format}"
zone = "UTC"
"""
SHOP = """
[[event]]
type = "purchase"
event_id = "{id}:{line}"
customer_id = "customer"
ts = "when"
"""


def events(rule: str, row: dict[str, Any], head: str = "") -> list[Parsed]:
    """What a JSON row becomes under the shop's rule with more keys."""
    mapping = load_mapping(HEAD.format(format="json") + head + SHOP + rule, "shop.toml")
    base = {"id": "a", "customer": "c", "when": "2024-01-01"}
    return parse_row(compile_mapping(mapping), msgspec.json.encode(base | row), 7)


def event(rule: str, row: dict[str, Any], head: str = "") -> Event:
    found = one(rule, row, head)
    assert isinstance(found, Event)
    return found


def bad(rule: str, row: dict[str, Any], head: str = "") -> BadEventError:
    found = one(rule, row, head)
    assert isinstance(found, BadEventError)
    return found


def one(rule: str, row: dict[str, Any], head: str = "") -> Parsed:
    (found,) = events(rule, row, head)
    return found


def csv_events(text: str, rule: str, row: bytes, header: list[str]) -> list[Parsed]:
    mapping = load_mapping(HEAD.format(format="csv") + text + SHOP + rule, "shop.toml")
    return parse_row(compile_mapping(mapping, header, {}, "shop.csv"), row, 2)


CSV_HEADER = ["id", "customer", "when", "price"]


class TestValues:
    def test_template_joins_columns_and_line(self) -> None:
        """A template puts columns and the row's line together."""
        assert event("", {}).event_id == "a:7"

    def test_template_knows_the_file(self) -> None:
        """`{file}` is the file's name."""
        found = csv_events("", 'order_id = "{file}/{id}"\n', b"a,c,2024-01-01,1", CSV_HEADER)
        assert isinstance(found[0], Event)
        assert found[0].order_id == "shop.csv/a"

    def test_template_with_an_empty_column_is_empty(self) -> None:
        """A template with an empty column fills nothing, so an event id cannot be half a one."""
        assert "event_id" in bad("", {"id": ""}).message

    def test_nested_path(self) -> None:
        """A dotted name is a path into JSON; a step that is missing leaves it empty."""
        rule = 'order_id = "properties.order.id"\n'
        assert event(rule, {"properties": {"order": {"id": 5}}}).order_id == "5"
        assert event(rule, {"properties": None}).order_id is None

    def test_first_of(self) -> None:
        """`first_of` takes the first column that is not empty."""
        rule = 'category = { first_of = ["kind", "group"] }\n'
        assert event(rule, {"kind": "", "group": "g"}).category == "g"
        assert event(rule, {}).category is None

    def test_product_and_abs(self) -> None:
        """A product of columns, without its sign where `abs` says so."""
        rule = 'amount = { product = ["n", "price"], abs = true }\n'
        assert event(rule, {"n": -2, "price": "1.5"}).amount == 3.0

    def test_sum_to_a_whole_number(self) -> None:
        """A sum of columns fills a whole-number attribute."""
        rule = 'children = { sum = ["kids", "teens"] }\n'
        assert event(rule, {"kids": 1, "teens": "2"}).children == 3
        assert event(rule, {"kids": 1}).children is None
        assert bad(rule, {"kids": 1, "teens": 0.5}).code == "bad_field"

    def test_factor(self) -> None:
        """`factor` reads cents; a zero has no sign."""
        rule = 'amount = { column = "cents", factor = 0.01 }\nquantity = { value = 2 }\n'
        assert event(rule, {"cents": 1250}).amount == 12.5
        minus = event('amount = { column = "n", factor = -1 }\n', {"n": 0})
        assert str(minus.amount) == "0.0"

    def test_above_becomes(self) -> None:
        """A weight in grams counts as one unit."""
        rule = 'quantity = { column = "n", above = 100, becomes = 1 }\n'
        assert event(rule, {"n": 100}).quantity == 100
        assert event(rule, {"n": 15_000}).quantity == 1

    def test_decimal_comma(self) -> None:
        """With `decimal_comma` 1.234,56 is a number and 1.5 is none."""
        head = "decimal_comma = true\n"
        assert event('amount = "n"\n', {"n": "1.234,56"}, head).amount == 1234.56
        assert bad('amount = "n"\n', {"n": "1.5"}, head).code == "bad_field"

    def test_translation(self) -> None:
        """A value is translated; one that the table does not know is a dead letter."""
        rule = 'channel = { column = "via", values = { W = "web", "" = "none" } }\n'
        assert event(rule, {"via": "W"}).channel == "web"
        assert event(rule, {}).channel == "none"
        assert bad(rule, {"via": "X"}).code == "bad_value"

    def test_translation_default(self) -> None:
        """A declared default takes the place of that dead letter."""
        rule = 'income = { column = "band", values = { low = 10 }, default = 50 }\n'
        assert event(rule, {"band": "high"}).income == 50.0
        assert event(rule, {"band": "low"}).income == 10.0
        assert event(rule, {}).income is None

    def test_items(self) -> None:
        """A list of objects becomes items, field by field."""
        rule = """
[event.items]
list = "cart.lines"
fields = { product_id = "sku", quantity = "n", amount = { product = ["n", "price"] } }
"""
        found = event(rule, {"cart": {"lines": [{"sku": 9, "n": 2, "price": 1.5}, {"sku": "x"}]}})
        assert found.items == [
            Item(product_id="9", quantity=2.0, amount=3.0),
            Item(product_id="x"),
        ]
        assert event(rule, {}).items is None
        assert bad(rule, {"cart": {"lines": {"sku": 9}}}).code == "bad_field"
        assert bad(rule, {"cart": {"lines": [{"n": -1, "price": 2}]}}).code == "bad_field"

    def test_erase_and_profile(self) -> None:
        """Any type of the contract can be declared."""
        mapping = load_mapping(
            HEAD.format(format="json")
            + SHOP.replace("purchase", "erase")
            + SHOP.replace("purchase", "profile").replace("{line}", "p")
            + 'birth_year = "born"\n',
            "x",
        )
        row = b'{"id":1,"customer":"c","when":"2024-01-01","born":"1980"}'
        erase, profile = parse_row(compile_mapping(mapping), row, 1)
        assert isinstance(erase, Event)
        assert isinstance(profile, Event)
        assert (erase.type, profile.type, profile.birth_year) == ("erase", "profile", 1980)


class TestTimes:
    @pytest.mark.parametrize(
        ("form", "raw", "expected"),
        [
            ("iso", "1970-01-02", 86_400_000),
            ("iso", "1970-01-01T00:00:00.0019Z", 1),
            ("iso", "1970-01-01 02:00:00+02:00", 0),
            ("epoch_s", "1.001", 1001),
            ("epoch_s", 1.5, 1500),
            ("epoch_ms", 12, 12),
            ("%d/%m/%Y %H:%M", "02/01/1970 00:01", 86_460_000),
        ],
    )
    def test_formats(self, form: str, raw: object, expected: int) -> None:
        """Each time format comes to epoch ms, rounded down."""
        rule = f'joined_at = {{ column = "t", format = "{form}" }}\n'
        assert event(rule, {"t": raw}).joined_at == expected

    def test_zone_of_naive_times(self) -> None:
        """A naive time is wall time in `zone`, summer time included."""
        mapping = load_mapping('zone = "Europe/London"\n' + SHOP, "x")
        row = b'{"id":1,"customer":"c","when":"1971-07-01T01:00:00"}'
        (found,) = parse_row(compile_mapping(mapping), row, 1)
        assert isinstance(found, Event)
        assert found.ts == (365 + 181) * 86_400_000

    def test_naive_time_without_zone(self) -> None:
        """Without a declared zone a naive time is a dead letter that says what to declare."""
        mapping = load_mapping(SHOP, "x")
        row = b'{"id":1,"customer":"c","when":"2024-01-01"}'
        (found,) = parse_row(compile_mapping(mapping), row, 1)
        assert isinstance(found, BadEventError)
        assert "declare `zone`" in found.message

    @pytest.mark.parametrize("raw", ["yesterday", "", None, 5, True, "2024-13-01", [1]])
    def test_unreadable(self, raw: object) -> None:
        """What is no time is a dead letter."""
        assert bad("", {"when": raw}).code == "bad_field"


class TestConditions:
    @pytest.mark.parametrize(
        ("test", "row", "holds"),
        [
            ('equals = "x"', {"k": "x"}, True),
            ('equals = "x"', {}, False),
            ("equals = 1", {"k": 1}, True),
            ("equals = true", {"k": True}, True),
            ('in = ["x", "y"]', {"k": "y"}, True),
            ('starts_with = "C"', {"k": "C1"}, True),
            ('starts_with = "C"', {"k": "1C"}, False),
            ("empty = true", {"k": None}, True),
            ("empty = true", {"k": ""}, True),
            ("empty = false", {"k": 0}, True),
            ("above = 0", {"k": "0"}, False),
            ("above = 0", {}, False),
            ("at_least = 0, below = 2", {"k": 1.5}, True),
            ("at_least = 0, below = 2", {"k": 2}, False),
            ("at_most = 2", {"k": 2}, True),
        ],
    )
    def test_each(self, test: str, row: dict[str, Any], holds: bool) -> None:
        """Each condition, and its opposite under `not`."""
        plain = events(f'when = {{ column = "k", {test} }}\n', row)
        opposite = events(f'when = {{ not = {{ column = "k", {test} }} }}\n', row)
        assert isinstance(plain[0], Event) == holds
        assert isinstance(opposite[0], Event) != holds

    def test_several_must_all_hold(self) -> None:
        """A list of conditions holds where all do."""
        rule = 'when = [{ column = "a", equals = "1" }, { column = "b", equals = "1" }]\n'
        assert event(rule, {"a": 1, "b": 1})
        assert bad(rule, {"a": 1, "b": 2}).code == "bad_value"

    def test_comparison_with_no_number(self) -> None:
        """A comparison with what is no number is a dead letter, not false."""
        assert bad('when = { column = "k", above = 0 }\n', {"k": "many"}).code == "bad_field"

    def test_skip_is_counted_and_no_dead_letter(self) -> None:
        """A skipped row becomes nothing; the plan says why."""
        head = '[[skip]]\nreason = "anonymous"\nwhen = { column = "customer", empty = true }\n'
        mapping = load_mapping(HEAD.format(format="json") + head + SHOP, "x")
        reader = compile_mapping(mapping)
        row = b'{"id":1,"when":"2024-01-01"}'
        plan = reader.plan([row], [1])
        assert reader.skip_reasons[-1 - plan.rules[0]] == "anonymous"
        assert parse_row(reader, row, 1) == [None]

    def test_expect(self) -> None:
        """A row that breaks an expectation is a dead letter: a new status is not ignored."""
        head = '[[expect]]\ncolumn = "status"\nin = ["paid", "open"]\n'
        assert event("", {"status": "paid"}, head)
        assert bad("", {"status": "void"}, head).code == "bad_value"

    def test_one_row_several_events(self) -> None:
        """Each rule that applies makes one event."""
        more = SHOP.replace("{line}", "late").replace('"when"', '"burned"')
        more += 'when = { column = "burned", empty = false }\n'
        assert len(events(more, {})) == 1
        first, second = events(more, {"burned": "2024-02-01"})
        assert isinstance(first, Event)
        assert isinstance(second, Event)
        assert first.ts < second.ts  # type: ignore[operator]
        assert first.event_id != second.event_id


class TestBadInput:
    @pytest.mark.parametrize("payload", [b"{", b"[1]", b"null", b"\xff", b'{"a":NaN}', b"\x00"])
    def test_not_json(self, payload: bytes) -> None:
        """What is not one JSON object is a dead letter, mapped or not."""
        for mapping in (IDENTITY, load_mapping(SHOP, "x")):
            (found,) = parse_row(compile_mapping(mapping), payload, 1)
            assert isinstance(found, BadEventError)
            assert found.code in {"not_json", "bad_field"}

    @pytest.mark.parametrize(
        "amount",
        ["nan", "inf", "-Infinity", "1e999", "1_000", "x", -1, "-0.01", True, "١", 1e9],
    )
    def test_amounts(self, amount: object) -> None:
        """NaN, infinite, negative, too large and unparsable amounts are dead letters."""
        assert bad('amount = "n"\n', {"n": amount}).code == "bad_field"

    def test_huge_json_integer(self) -> None:
        """A number beyond a float's range is a dead letter."""
        mapping = load_mapping(HEAD.format(format="json") + SHOP + 'amount = "n"\n', "x")
        row = b'{"id":1,"customer":"c","when":"2024-01-01","n":' + b"9" * 400 + b"}"
        (found,) = parse_row(compile_mapping(mapping), row, 1)
        assert isinstance(found, BadEventError)

    @pytest.mark.parametrize("customer", ["", None, 17850.0, {"id": 1}])
    def test_customer_ids(self, customer: object) -> None:
        """An empty id, a decimal one (17850.0 is not 17850) and an object are dead letters."""
        assert bad("", {"customer": customer}).code == "bad_field"

    @given(st.text(min_size=1, max_size=50))
    def test_any_unicode_id(self, text: str) -> None:
        """Any Unicode is a customer id, and comes out as it went in."""
        assert event("", {"customer": text}).customer_id == text

    def test_negative_quantity_on_a_purchase(self) -> None:
        """A purchase of minus two is a dead letter: the type is the sign."""
        assert "quantity" in bad('quantity = "n"\n', {"n": -2}).message

    def test_missing_field(self) -> None:
        """A row without a required field is a dead letter that names it."""
        mapping = load_mapping(SHOP, "x")
        (found,) = parse_row(compile_mapping(mapping), b'{"id":1}', 1)
        assert isinstance(found, BadEventError)
        assert "customer_id" in found.message

    def test_unknown_type(self) -> None:
        """A type that is not in the contract is a dead letter."""
        text = SHOP.replace('type = "purchase"', 'type = { column = "kind" }')
        row = b'{"id":1,"customer":"c","when":"2024-01-01T00:00:00Z","kind":"gift"}'
        (found,) = parse_row(compile_mapping(load_mapping(text, "x")), row, 1)
        assert isinstance(found, BadEventError)
        assert found.code == "bad_field"

    def test_too_large(self) -> None:
        """A row over the limit is a dead letter, in each format."""
        row = msgspec.json.encode({"id": "x" * 2**20, "customer": "c", "when": "2024-01-01"})
        (found,) = parse_row(compile_mapping(load_mapping(SHOP, "x")), row, 1)
        assert isinstance(found, BadEventError)
        assert found.code == "too_large"
        (cells,) = csv_events("", "", b"a,c,2024-01-01," + b"x" * 2**20, CSV_HEADER)
        assert isinstance(cells, BadEventError)
        assert cells.code == "too_large"

    @pytest.mark.parametrize(
        "row", [b"a,c,2024-01-01", b"a,c,2024-01-01,1,2", b'a,"c,2024-01-01,1', b"\xff,c,d,e"]
    )
    def test_bad_csv_row(self, row: bytes) -> None:
        """A row of another width, with an open quote or another encoding is a dead letter."""
        (found,) = csv_events("", "", row, CSV_HEADER)
        assert isinstance(found, BadEventError)
        assert found.code == "bad_row"

    def test_a_bad_row_does_not_touch_its_neighbours(self) -> None:
        """In a run of rows only the bad one is a dead letter."""
        mapping = load_mapping(HEAD.format(format="csv") + SHOP, "x")
        reader = compile_mapping(mapping, CSV_HEADER, {}, "x")
        rows = [b"a,c,2024-01-01,1", b'b,"c,2024-01-01,1', b"d,c,2024-01-01,1"]
        found = reader.parse(rows, [2, 3, 4], reader.plan(rows, [2, 3, 4]).rules)
        assert [isinstance(one, Event) for one in found] == [True, False, True]


class TestLookups:
    LOOKUPS = """
[lookup.branches]
file = "branches.csv"
key = "id"
on = "branch"

[lookup.merchants]
file = "merchants.csv"
key = "id"
on = "branches.merchant"
"""
    TABLES = {  # noqa: RUF012 - read only
        "branches": {"1": {"id": "1", "merchant": "m1"}, "2": {"id": "2", "merchant": ""}},
        "merchants": {"m1": {"id": "m1", "name": "Acme"}},
    }
    RULE = 'merchant_id = "merchants.name"\n'

    def parsed(self, branch: object, lookups: str = LOOKUPS) -> Parsed:
        mapping = load_mapping(HEAD.format(format="json") + lookups + SHOP + self.RULE, "x")
        reader = compile_mapping(mapping, None, self.TABLES, "x")
        row = {"id": 1, "customer": "c", "when": "2024-01-01", "branch": branch}
        return parse_row(reader, msgspec.json.encode(row), 1)[0]

    def test_chain(self) -> None:
        """A lookup may take its key from the one before; an empty key finds nothing."""
        found = self.parsed(1)
        assert isinstance(found, Event)
        assert found.merchant_id == "Acme"
        for branch in (2, None):
            empty = self.parsed(branch)
            assert isinstance(empty, Event)
            assert empty.merchant_id is None

    def test_unknown_key(self) -> None:
        """A key that the lookup does not have is a dead letter, unless it is optional."""
        found = self.parsed("9")
        assert isinstance(found, BadEventError)
        assert found.code == "bad_value"
        optional = self.LOOKUPS.replace('on = "branch"', 'on = "branch"\noptional = true')
        assert isinstance(self.parsed("9", optional), Event)

    def test_unknown_column(self) -> None:
        """A column that the lookup does not have is refused with the nearest name."""
        mapping = load_mapping(
            HEAD.format(format="json") + self.LOOKUPS + SHOP + 'city = "merchants.nmae"\n', "x"
        )
        with pytest.raises(ConfigError, match="Did you mean `name`"):
            compile_mapping(mapping, None, self.TABLES, "x")


class TestDeclaration:
    @pytest.mark.parametrize(
        ("text", "remedy"),
        [
            ("x = ", "Mend that line"),
            ('formt = "csv"', "Did you mean `format`"),
            ('format = "xml"', "format"),
            ("", "at least one \\[\\[event\\]\\]"),
            ("contract = true\n" + SHOP, "nothing beside"),
            (SHOP.replace("ts", "tss"), "Did you mean `ts`"),
            (SHOP.replace('ts = "when"', ""), "expected `ts`"),
            (SHOP.replace("purchase", "purchas"), "Did you mean `purchase`"),
            (SHOP + 'amount = { column = "a", value = 1 }', "got 2"),
            (SHOP + "amount = { abs = true }", "got 0"),
            (SHOP + 'city = { column = "a", abs = true }', "numeric"),
            (SHOP + 'city = { column = "a", format = "iso" }', "for times"),
            (SHOP + 'amount = { column = "a", above = 1 }', "becomes"),
            (SHOP + 'amount = { column = "a", default = 1 }', "`values` table"),
            (SHOP + 'items = "a"', "from a `list`"),
            (SHOP + 'when = { column = "a" }', "a test"),
            (SHOP + "when = { equals = 1 }", "`column`"),
            (SHOP + 'amount = { value = "much" }', "finite number"),
            ('zone = "Mars/Olympus"\n' + SHOP, "time zone name"),
            ('format = "csv"\ndelimiter = "||"\n' + SHOP, "one ASCII character"),
            (SHOP + SHOP, "`event_id` of its own"),
            ("[lookup.x]\nfile = 'f'\n" + SHOP, "key"),
        ],
    )
    def test_refused(self, text: str, remedy: str) -> None:
        """A declaration that cannot be meant is refused, with the remedy."""
        with pytest.raises(ConfigError, match=remedy) as caught:
            compile_mapping(load_mapping(text, "shop.toml"))
        assert "shop.toml" in str(caught.value)

    def test_missing_column_lists_what_there_is(self) -> None:
        """A mapping that names a column the file has not says which there are."""
        with pytest.raises(ConfigError, match="Did you mean `whn`\\? There are: id, customer, whn"):
            csv_events("", "", b"", ["id", "customer", "whn"])

    def test_unused_columns(self) -> None:
        """Columns that are neither read nor ignored are reported."""
        text = 'ignore = ["c"]\n' + HEAD.format(format="csv") + SHOP
        mapping = load_mapping(text, "x")
        assert unused_columns(mapping, ["id", "customer", "when", "c", "d"]) == ["d"]

    def test_unused_paths(self) -> None:
        """Of JSON rows the paths are reported; an ignored object covers what is in it."""
        mapping = load_mapping(
            'ignore = ["context"]\n' + SHOP + '[event.items]\nlist = "l"\nfields.amount = "p"\n',
            "x",
        )
        row = {"id": 1, "context": {"ip": "::1"}, "l": [{"p": 1, "q": 2}], "extra": None}
        assert unused_columns(mapping, json_paths([row])) == ["l.q", "extra"]

    def test_identity_reports_what_the_contract_does_not_know(self) -> None:
        """The plain contract reports fields it does not read."""
        rows = [{"event_id": 1, "items": [{"sku": 1, "amount": 2}], "note": ""}]
        assert unused_columns(IDENTITY, json_paths(rows)) == ["items.sku", "note"]

    def test_fields_are_the_contract(self) -> None:
        """A mapping can fill every field of the contract, and no other."""
        assert Fields.__struct_fields__ == Event.__struct_fields__
        assert ItemFields.__struct_fields__ == Item.__struct_fields__


CELLS = st.text(alphabet='ab",;\n \r\té', max_size=6)


class TestSplitter:
    @given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=8), st.integers(1, 20))
    def test_any_block_size_gives_the_same_rows(self, rows: list[list[str]], size: int) -> None:
        """Rows, offsets and lines do not depend on how the bytes arrive, and are what csv reads."""
        out = io.StringIO()
        csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)
        content = out.getvalue().encode()
        splitter = RowSplitter(Declaration(format="csv"), "x")
        parts = [splitter.feed(content[at : at + size]) for at in range(0, len(content), size)]
        parts.append(splitter.finish())
        payloads = [payload for part in parts for payload in part.payloads]
        offsets = [at for part in parts for at in part.offsets.tolist()]
        lines = [line for part in parts for line in part.lines.tolist()]
        assert [next(csv.reader([p.decode()])) for p in payloads] == rows
        for payload, offset, line in zip(payloads, offsets, lines, strict=True):
            assert content[offset : offset + len(payload)] == payload
            assert content[:offset].count(b"\n") == line - 1

    def test_byte_order_mark_in_pieces(self) -> None:
        """A byte-order mark is left out, even if it comes in two blocks."""
        splitter = RowSplitter(Declaration(), "x")
        parts = [splitter.feed(b"\xef\xbb"), splitter.feed(b"\xbf{}\r\n\n{ }"), splitter.finish()]
        assert [part.payloads for part in parts] == [[], [b"{}"], [b"{ }"]]
        assert parts[1].offsets.tolist() == [3]
        assert (parts[2].offsets.tolist(), parts[2].lines.tolist()) == ([8], [3])

    def test_a_stray_quote_costs_what_it_swallows(self) -> None:
        """After a field that never closes the reader starts anew on the next line."""
        splitter = RowSplitter(Declaration(format="csv"), "x")
        rows = [b'1,"open'] + [b"%d,x" % at for at in range(2, 40_000)]
        found = splitter.feed(b"\n".join(rows) + b"\n").payloads + splitter.finish().payloads
        assert found[0].startswith(b'1,"open')
        assert b"\n".join(found) == b"\n".join(rows)
        assert found[-1] == b"39999,x"
