"""Cities and coupons as the API tells them, and as `segstream export` writes them."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pandas as pd
import pytest
from tests.api.served import served_state
from tests.cli.commands import Place, segstream
from tests.planted_coupons import CITIES, CROWD, EAGER, IDLE, WEAK

from segstream.core.insights_answer import InsightsTable
from segstream.stored_state import SETTINGS_FILE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lists(planted: Place) -> Iterator[dict[str, Any]]:
    with served_state(planted.state, planted.out) as api, api.client() as client:
        found = client.get("/insights")
        msgspec.json.decode(found.content, type=InsightsTable)
        yield {one["kind"]: one for one in found.json()["places"]}


def test_what_was_planted_is_told_with_what_to_do(lists: dict[str, Any]) -> None:
    """The playbook's words for the two cities and the coupon that differ; names as they are."""
    cities = {row["value"]: row for row in lists["city"]["rows"]}
    assert set(cities) == set(CITIES)
    assert [row["differs"] for row in lists["city"]["rows"][:3]].count("same") == 1
    assert {cities[name]["advice"][0]["name"] for name in (EAGER, IDLE)} == {
        "Coupons work here", "Claimed and left",
    }  # fmt: skip
    assert EAGER in cities[EAGER]["advice"][0]["strategy"]
    where = [said for said in cities[CROWD]["advice"] if said["segment_id"] is not None]
    assert {said["name"] for said in where} == {"Where a segment lives"}
    assert lists["city"]["without"] == 24
    weak = lists["coupon"]["rows"][0]
    assert (weak["value"], weak["advice"][0]["name"]) == (WEAK, "Coupon to change")
    for kind in ("merchant", "branch"):
        assert not [said for row in lists[kind]["rows"] for said in row["advice"]]


def test_the_export_has_the_same_figures(planted: Place, lists: dict[str, Any]) -> None:
    """Row by row what the API says, in CSV; a segment's rows alone where it is asked for."""
    for what, kinds in (("places", ["city"]), ("coupons", ["coupon", "merchant", "branch"])):
        ended = segstream("export", what, "--state", planted.state)
        assert ended.code == 0, ended.err
        assert lists[kinds[0]]["says"][0] in ended.err
        frame = pd.read_csv(io.StringIO(ended.out))
        rows = [(lists[kind], row) for kind in kinds for row in lists[kind]["rows"]]
        whole = frame[frame["segment_id"].isna()]
        assert whole["value"].astype(str).tolist() == [row["value"] for _, row in rows]
        for name in ("customers", "claimed", "claimed_redeemed", "redeemed", "rate", "low", "high"):
            assert whole[name].tolist() == [row[name] for _, row in rows]
        assert whole["rate_of_all"].tolist() == [every["rate"] for every, _ in rows]
        assert whole["advice"].fillna("").tolist() == [
            next((a["name"] for a in row["advice"] if a["segment_id"] is None), "")
            for _, row in rows
        ]
        parts = [part for _, row in rows for part in row["segments"]]
        assert frame[frame["segment_id"].notna()]["customers"].tolist() == [
            part["customers"] for part in parts
        ]
        segment = parts[0]["segment_id"]
        one = segstream("export", what, "--state", planted.state, "--segment", segment)
        assert set(pd.read_csv(io.StringIO(one.out))["segment_id"]) == {segment}


def test_without_cities_and_coupons_there_is_a_header_and_a_word(
    reader: httpx.Client, shop: Place
) -> None:
    """A shop of purchases alone has no list; its exports say so and are empty tables."""
    assert reader.get("/insights").json()["places"] == []
    for what in ("places", "coupons"):
        ended = segstream("export", what, "--state", shop.state)
        assert ended.code == 0
        assert pd.read_csv(io.StringIO(ended.out)).empty
        assert "so there are no rows" in ended.err


def test_a_playbook_out_of_reach_takes_the_advice_away_and_nothing_else(
    planted: Place, tmp_path: Path
) -> None:
    """Figures stay, and a notice says what is missing; an edited file speaks at the next look."""
    copy = Place(tmp_path)
    shutil.copytree(planted.state, copy.state)
    settings, own = copy.state / SETTINGS_FILE, tmp_path / "shop.toml"
    told = msgspec.json.decode(settings.read_bytes())
    settings.write_bytes(msgspec.json.encode(told | {"playbook": str(own)}))
    ended = segstream("export", "places", "--state", copy.state)
    assert "no advice on cities and coupons: playbook: expected a readable playbook" in ended.err
    frame = pd.read_csv(io.StringIO(ended.out))
    assert frame["advice"].isna().all()
    assert "more" in set(frame["differs"])
    own.write_text('[[place]]\nname = "Mine"\nof = ["city"]\nredeemed = "more"\n'
                   'strategy = "Look at {place}."\nactions = ["Go."]\n', "utf-8")  # fmt: skip
    ended = segstream("export", "places", "--state", copy.state)
    advised = pd.read_csv(io.StringIO(ended.out)).dropna(subset="advice")
    assert advised[["value", "strategy"]].to_numpy().tolist() == [[EAGER, f"Look at {EAGER}."]]
