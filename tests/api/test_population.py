"""What the API says of all customers is what the tables of the state say."""

import httpx
import msgspec
import pytest
from tests.cli.commands import Place

from segstream.api import answers, pages
from segstream.core.insights_answer import InsightsTable
from segstream.report import gather
from segstream.report.facts import to_json
from segstream.view import open_view

TYPES = {
    "/segments": answers.Segments,
    "/segments/2": answers.SegmentPage,
    "/segments/2/customers": answers.Members,
    "/customers/c0040": answers.Customer,
    "/customers/c0040/why": answers.Why,
    "/overview": pages.Overview,
    "/map": pages.Map,
    "/models": pages.Models,
    "/models/1": pages.ModelPage,
    "/changes": answers.Changes,
    "/insights": InsightsTable,
}


@pytest.mark.parametrize("path", TYPES)
def test_an_answer_reads_back_as_its_type(reader: httpx.Client, path: str) -> None:
    """Every page is JSON of the type that the document promises."""
    found = reader.get(path)
    assert found.status_code == 200, found.text
    assert found.headers["content-type"] == "application/json"
    msgspec.json.decode(found.content, type=TYPES[path])


def test_segments_are_those_of_the_export(reader: httpx.Client, shop: Place) -> None:
    """Customers, shares and averages are `segstream export segments`'s."""
    view = open_view(shop.state, shop.out)
    told = {row.segment_id: row for row in view.segments.itertuples()}
    found = reader.get("/segments").json()
    assert {s["id"] for s in found["segments"]} == set(told)
    for segment in found["segments"]:
        row = told[segment["id"]]
        assert segment["customers"] == row.customers
        assert segment["share"] == pytest.approx(row.share)
        assert segment["averages"]["spend_112d"] == pytest.approx(row.spend_112d)


def test_the_overview_is_the_summary(reader: httpx.Client, shop: Place) -> None:
    """GET /overview says what summary.json says, and sizes that add up to the customers."""
    told = to_json(gather(open_view(shop.state, shop.out)).summary)
    found = reader.get("/overview").json()
    assert {name: found[name] for name in told} == told
    last = max(size["day"] for size in found["sizes"])
    of_the_last_day = [s["customers"] for s in found["sizes"] if s["day"] == last]
    assigned = sum(s["customers"] for s in reader.get("/segments").json()["segments"])
    assert sum(of_the_last_day) == assigned


def test_pages_of_a_segment_hold_every_customer_once(reader: httpx.Client, shop: Place) -> None:
    """Following next_cursor to its end gives each member, in order, whatever its id."""
    view = open_view(shop.state, shop.out)
    members = view.customers[view.customers["segment_id"] == 2]["customer_id"]
    cursor, found = "", []
    while cursor is not None:
        page = reader.get("/segments/2/customers", params={"limit": 7, "cursor": cursor}).json()
        found += [c["customer_id"] for c in page["customers"]]
        cursor = page["next_cursor"]
    assert found == sorted(members)


def test_distributions_count_everybody(reader: httpx.Client) -> None:
    """A histogram's counts are the segment's customers and all customers."""
    page = reader.get("/segments/2").json()
    everybody = reader.get("/segments").json()["customers"]
    for histogram in page["distributions"].values():
        assert sum(histogram["counts"]) == page["customers"]
        assert sum(histogram["population_counts"]) == everybody
        assert len(histogram["edges"]) == len(histogram["counts"]) + 1


def test_the_map_keeps_distances(reader: httpx.Client) -> None:
    """Components are orthogonal: variance explained is at most all, the largest first."""
    found = reader.get("/map", params={"sample": 50}).json()
    assert 0 < len(found["points"]) <= 50
    assert found["explained"] == sorted(found["explained"], reverse=True)
    assert sum(found["explained"]) <= 1.0 + 1e-9
    assert len(found["points"][0]["values"]) == len(found["features"])


def test_a_page_of_changes_goes_on_where_it_ended(reader: httpx.Client, shop: Place) -> None:
    """Following `next` gives changes.jsonl, line by line."""
    lines = (shop.out / "changes.jsonl").read_bytes().splitlines()
    after, found = None, []
    while True:
        asked = {"limit": "40"} | ({"after": after} if after else {})
        page = reader.get("/changes", params=asked).json()
        if not page["changes"]:
            break
        found += page["changes"]
        after = page["next"]
    assert found == [msgspec.json.decode(line) for line in lines]
    newest = reader.get("/changes", params={"newest": "true", "limit": 3}).json()["changes"]
    assert newest == found[-3:]


def test_a_change_out_of_reach_is_gone(reader: httpx.Client) -> None:
    """410 says that nothing may be assumed in between."""
    assert reader.get("/changes", params={"after": "0" * 32}).status_code == 410
