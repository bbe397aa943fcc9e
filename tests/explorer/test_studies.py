"""What the readers of five studies looked for is on a page: the tests of docs/studies.md."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.api.served import served_state
from tests.cli.commands import Place, segstream
from tests.example_states import EXAMPLES, Streamed
from tests.explorer.conftest import address, opened, words
from tests.planted_coupons import CROWD, EAGER, IDLE, WEAK

from segstream.explorer.client import Api
from segstream.report.markup import text

SharedData = Callable[[str], Path]

pytestmark = pytest.mark.slow


@contextmanager
def explored(place: Place) -> Iterator[Api]:
    """Serve an example's state."""
    with (
        served_state(place.state, place.out) as api,
        closing(Api(address(api), api.read)) as client,
    ):
        yield client


def figures(drawn: Any) -> int:
    return len(drawn.get("plotly_chart"))


def test_cluster_cart(streamed: Streamed) -> None:
    """ClusterCart: seven segments, a map in 2-D and 3-D, countries, top products, likelihoods."""
    with explored(streamed("online-retail")) as api:
        assert len(api.get("segments")["segments"]) == 7
        insights = api.get("insights")
        overview = words(opened("overview", api))
        assert "per country" in overview
        assert "United Kingdom" in overview
        assert all(product["name"].strip()[:8] in overview.replace("&amp;", "&").replace(
            "&#x27;", "'") for product in insights["top_products"][:5])  # fmt: skip
        segment = words(opened("segment", api))
        assert "What they buy" in segment
        assert "likelihood" in segment
        assert "Country" in segment
        turned = opened("map_page", api)
        assert "explain" in words(turned)
        turned.segmented_control[0].set_value("Components, 3-D").run()
        assert not turned.exception
        assert figures(turned) == 1


def test_coupons(streamed: Streamed) -> None:
    """Coupon study: gender, city, merchant and branch by segment, coupons claimed and redeemed."""
    with explored(streamed("coupons")) as api:
        drawn = opened("segment", api)
        told = words(drawn)
        for title in ("Gender", "City", "Merchant", "Branch", "Coupon use"):
            assert f"**{title}**" in told
        assert figures(drawn) >= 7
        assert "coupons claimed" in told
        assert "Where they live" in told
        overview = opened("overview", api)
        assert figures(overview) >= 5
        every = words(overview)
        for title in ("Cities", "Coupons", "Coupons by merchant", "Coupons by branch"):
            assert f"**{title}**" in every
        assert "None of 20 cities differs from the others in the share of coupons redeemed" in every
        assert '<td data-label="city">Port Said</td>' in every
        assert "2,516" in every
        report = (streamed("coupons").out / "report.html").read_text()
        for part in ("None of 20 cities differs", "Tree of the segments", 'id="figure-rates-city"'):
            assert part in report
        model = words(opened("model", api))
        assert "Tree of the segments" in model
        assert "they would be merged first" in model


def test_coupons_and_cities_that_differ(planted: Place) -> None:
    """Where a city or coupon differs, its card is on the Overview and on its segment's page."""
    with explored(planted) as api:
        told, report = words(opened("overview", api)), (planted.out / "report.html").read_text()
        for name, advice in ((EAGER, "Coupons work here"), (IDLE, "Claimed and left"),
                             (WEAK, "Coupon to change")):  # fmt: skip
            card = f"<h3>{text(name)}: {advice}</h3>"
            assert card in told
            assert card in report
        assert "24 customers told no city" in told
        cities = next(p for p in api.get("insights")["places"] if p["kind"] == "city")
        said = next(a for row in cities["rows"] if row["value"] == CROWD for a in row["advice"])
        drawn = opened("segment", api)
        drawn.selectbox("segment").set_value(said["segment_id"]).run()
        assert not drawn.exception
        assert f"<h3>{CROWD}: Where a segment lives</h3>" in words(drawn)


def test_a_shop_without_cities_and_coupons_shows_no_heading_of_them(reading: Api) -> None:
    """Nothing is drawn of what no event names."""
    for page in ("overview", "segment"):
        told = words(opened(page, reading))
        for title in ("Cities", "Coupons by", "Where they live"):
            assert title not in told


def test_total_value(streamed: Streamed) -> None:
    """TotalValue study: five segments, Davies-Bouldin, a scatter of two features, likelihoods."""
    with explored(streamed("total-value")) as api:
        segments = api.get("segments")
        assert len(segments["segments"]) == 5
        quality = api.get("models", segments["model"])["quality"]
        assert f"<b>{quality['davies_bouldin']:.2f}</b>" in words(opened("model", api))
        scatter = opened("map_page", api)
        scatter.segmented_control[0].set_value("Two features").run()
        assert not scatter.exception
        assert figures(scatter) == 1
        assert "What they buy" in words(opened("segment", api))


def test_marketing(shared_data: SharedData, tmp_path: Path) -> None:
    """Segment Explorer and SmartCart: seven inputs give segment, averages and strategy; elbow."""
    table = shared_data("marketing_campaign/customer_segmentation.csv")
    events = tmp_path / "events.jsonl"
    subprocess.run([sys.executable, EXAMPLES / "marketing_snapshot.py", table, events], check=True)
    place = Place(tmp_path)
    ended = segstream("run", "--source", events, "--config", EXAMPLES / "marketing.toml",
                      *place.options, "--json")  # fmt: skip
    assert ended.code == 0, ended.err
    with explored(place) as api:
        segments = api.get("segments")
        # The study's own table without 24 rows has 571/507/555/583 at its best.
        sizes = sorted(s["customers"] for s in segments["segments"])
        assert sizes == pytest.approx([507, 555, 571, 583], rel=0.05)
        drawn = opened("what_if", api)
        typed = {"age": 45.0, "income": 80_000.0, "spend": 1_500.0, "web_purchases": 6.0,
                 "store_purchases": 9.0, "web_visits": 3.0, "recency": 10.0}  # fmt: skip
        for name, value in typed.items():
            drawn.number_input(f"what_if_{name}").set_value(value)
        drawn.run()
        assert not drawn.exception
        asked = api.post("assign", body={"features": typed})
        told = words(drawn)
        assert asked["assumed"] == []
        for part in (asked["segment"], asked["action"]):
            assert part in told
        assert "Not given" not in told
        assert "Averages of" in told
        model = opened("model", api)
        assert "Elbow" in words(model)
        assert "silhouette" in words(model)
