"""The API over a real Kafka and Redis says what it says over the state directory they came from."""

import datetime as dt
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from deploy.local.local_stack import LocalStack
from redis.exceptions import RedisError
from tests.api.fuzz import fuzz
from tests.api.moved import moved
from tests.api.served import Served, served, served_live, served_state
from tests.api.shops import ODD_IDS, events
from tests.api.test_document import ENDPOINTS
from tests.cli import feeds
from tests.cli.commands import Place

from segstream.api.live import LiveDesk, LiveReader, partition_of
from segstream.api.sweeper import Sweeper
from segstream.core.trainer_state import Command
from segstream.settings import Settings

pytestmark = pytest.mark.slow
PATIENCE_S = 30.0
REACH_DAYS = 112


@dataclass(frozen=True, slots=True)
class Both:
    """The same shop in both modes."""

    settings: Settings
    state: Served
    live: Served


@pytest.fixture(scope="module")
def both(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Stream a shop, move it to Kafka and Redis, serve both."""
    place = Place(tmp_path_factory.mktemp("serve"))
    feed = feeds.write(place.folder / "feed.jsonl", feeds.lines(events()))
    assert place.stream(feed)
    settings = moved(place, stack.kafka, stack.redis, f"serve{uuid.uuid4().hex[:8]}")
    with served_state(place.state, place.out) as state, served_live(settings, stack.redis) as live:
        yield Both(settings, state, live)


def within_reach(customer: Any) -> Any:
    """A customer without orders that a record has forgotten."""
    if "orders" not in customer:
        return customer
    clock = dt.datetime.fromisoformat(customer["as_of"])
    # A tile is an hour: of the day on which it leaves the window some hours are gone.
    first = (clock - dt.timedelta(days=REACH_DAYS - 1)).date().isoformat()
    return customer | {"orders": [o for o in customer["orders"] if o["day"] > first]}


def apart(one: Any, other: Any, where: str = "", within: float = 1e-9) -> list[str]:
    """In what two answers differ; floats but for the order in which they were added."""
    if isinstance(one, float) and isinstance(other, float | int):
        near = one == pytest.approx(other, rel=1e-9, abs=within)
        return [] if near else [f"{where}: {one} {other}"]
    if isinstance(one, dict) and one.keys() == other.keys():
        return [found for n in one for found in apart(one[n], other[n], f"{where}.{n}", within)]
    if isinstance(one, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for i, pair in pairs for found in apart(*pair, f"{where}[{i}]", within)]
    return [] if one == other else [f"{where}: {one!r} {other!r}"]


@pytest.mark.parametrize("name", [*ODD_IDS, "c0040", "c0077"])
def test_a_customer_is_the_same_in_both_modes(both: Both, name: str) -> None:
    """From its packed record alone, whatever its id: features, segment, distances, history, why."""
    for path in (f"/customers/{quote(name, safe='')}", f"/customers/{quote(name, safe='')}/why"):
        with both.state.client() as state, both.live.client() as live:
            one, other = (within_reach(client.get(path).json()) for client in (state, live))
        assert not apart(one, other)


@pytest.mark.parametrize(
    "path",
    ["/segments", "/segments/2", "/segments/2/customers?limit=9", "/models", "/insights"],
)
def test_segments_models_and_members_are_the_same(both: Both, path: str) -> None:
    """Swept aggregates are those of the state directory, spend and last orders among them."""
    with both.state.client() as state, both.live.client() as live:
        one, other = (client.get(path).json() for client in (state, live))
    for found in (one, other):
        found.pop("commands", None)  # other tests give some to one of them
    assert not apart(one, other)


def test_the_overview_is_the_same(both: Both) -> None:
    """Sizes, moves, freshness, names, what segments spend, what followed: of both modes alike."""
    with both.state.client() as state, both.live.client() as live:
        one, other = (client.get("/overview").json() for client in (state, live))
    kept = one.keys() - {"namespace"}
    for told in (one, other):
        # Its halves are drawn by place in the state; on Redis customers come by partition.
        del told["model"]["prediction_strength"]
    # Rounded to six decimals after sums in another order.
    assert not apart({n: one[n] for n in kept}, {n: other[n] for n in kept}, within=2e-6)
    assert one["orders"] > 1000
    assert one["spend_90d"] > 0
    assert all(segment["last_order_days"] is not None for segment in one["segments"])
    assert one["looked_back"] == one["customers"] > 0
    assert one["sentences"]


def test_the_map_is_the_same(both: Both) -> None:
    """The same axes; customers come by partition on Redis, so they are compared by their ids."""
    with both.state.client() as state, both.live.client() as live:
        found = [client.get("/map?sample=20000").json() for client in (state, live)]
    for told in found:
        told["points"].sort(key=lambda point: point["customer_id"])
    assert len(found[0]["points"]) == 150
    assert not apart(*found)


def test_a_what_if_is_the_same(both: Both) -> None:
    """The same medians, the same model, the same function."""
    asked = {"features": {"spend_112d": 250.0}}
    with both.state.client() as state, both.live.client() as live:
        found = [client.post("/assign", json=asked).json() for client in (state, live)]
    assert not apart(*found)


def test_an_erasure_is_an_event_on_the_customers_partition(
    both: Both, read_topic: Callable[[str], list[Any]]
) -> None:
    """Keyed by the customer, on the partition of its other events, at the clock of the shop."""
    name = "customer-ü-顧客-🛒"
    with both.live.client("operate") as client:
        found = client.delete(f"/customers/{quote(name)}")
    assert found.status_code == 202
    topic = both.settings.kafka.topics(both.settings.namespace).transactions
    sent = [r for r in read_topic(topic) if r.key == name.encode()]
    event = msgspec.json.decode(sent[-1].value)
    assert event["event_id"] == found.json()["event_id"]
    assert event["type"] == "erase"
    assert sent[-1].partition == partition_of(name, both.settings.kafka.partitions)
    assert event["ts"] < "2025"


def test_commands_travel_on_the_evidence_topic(
    both: Both, read_topic: Callable[[str], list[Any]]
) -> None:
    """A re-cluster is noted for the trainer, and the answer says when it takes effect."""
    with both.live.client("operate") as client:
        found = client.post("/models/recluster", json={"k": 4})
    assert found.status_code == 202
    assert found.json()["command"] == "recluster"
    topic = both.settings.kafka.topics(both.settings.namespace).evidence
    assert ("recluster", 4, None) in [
        (told.kind, told.k, told.model) for told in commands(read_topic(topic))
    ]


def test_a_command_waits_until_it_is_taken(both: Both) -> None:
    """It is listed after the next sweep; no trainer runs here that would take it."""
    deadline = time.monotonic() + 3 * PATIENCE_S  # a minute may lie between two sweeps
    with both.live.client("operate") as client:

        def waiting() -> int:
            return int(client.get("/models").json()["commands"].count("recluster"))

        before = waiting()
        assert client.post("/models/recluster", json={"k": 7}).status_code == 202
        while waiting() <= before:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def commands(records: list[Any]) -> list[Command]:
    """Commands on the evidence topic, the oldest first."""
    left = [r.value for r in records if r.key.startswith(b"command:")]
    return [msgspec.msgpack.decode(value, type=Command) for value in left]


def test_a_rollback_carries_the_model_to_the_trainer(
    both: Both, read_topic: Callable[[str], list[Any]]
) -> None:
    """The command on Kafka holds the model that is to serve again; `promote` of a version too."""
    topic = both.settings.kafka.topics(both.settings.namespace).evidence
    for verb in ("rollback", "promote"):
        with both.live.client("operate") as client:
            found = client.post(f"/models/1/{verb}")
        assert found.status_code == 202, found.text
        assert (found.json()["command"], found.json()["what"][:12]) == ("rollback", "roll back to")
        left = commands(read_topic(topic))[-1]
        assert left.kind == "rollback"
        assert left.model is not None
        assert left.model.version.startswith("1.")


def test_what_cannot_be_promoted_is_refused_with_the_reason(
    both: Both, read_topic: Callable[[str], list[Any]]
) -> None:
    """409, and nothing is sent: no candidate was refused, no such version, no such role."""
    topic = both.settings.kafka.topics(both.settings.namespace).evidence
    before = len(commands(read_topic(topic)))
    with both.live.client("operate") as client, both.live.client("read") as stranger:
        candidate = client.post("/models/candidate/promote")
        unknown = client.post("/models/99.9/rollback")
        assert stranger.post("/models/1/rollback").status_code == 403
    assert (candidate.status_code, unknown.status_code) == (409, 409)
    assert "expected a candidate that the gate refused" in candidate.json()["detail"]
    assert "expected one of the models" in unknown.json()["detail"]
    assert len(commands(read_topic(topic))) == before


# The server is in this process, and its clients draw random pauses while a request is generated.
@pytest.mark.filterwarnings("ignore:Do not use the .random. module")
def test_generated_requests_are_answered_as_documented(both: Both) -> None:
    """No 500, and every answer is of its schema: all operations over Kafka and Redis."""
    # Each of these opens clients of its own: tried one by one above.
    tried = fuzz(both.live, leave_out=frozenset(("erase", "recluster", "promote", "rollback")))
    assert len(tried) == len(ENDPOINTS) - 4


def test_the_process_that_sweeps_comes_back(both: Both, stack: LocalStack) -> None:
    """Killed, it is told of once; the next sweep starts another, which reads the same."""
    sweeper = Sweeper(both.settings, stack.redis)
    try:
        before = sweeper.sweep([])
        first = sweeper.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        with pytest.raises(OSError, match="has ended"):
            sweeper.sweep([])
        after = sweeper.sweep([])
        assert sweeper.pid != first
        assert [part.ids for part in after] == [part.ids for part in before]
        assert sum(len(part.ids) for part in after) > 0
    finally:
        sweeper.close()
    assert sweeper.pid is None


def test_a_sweep_of_a_redis_that_is_away_says_what_it_met(both: Both) -> None:
    """The error of the process is the caller's, who tries again; the process stays."""
    sweeper = Sweeper(both.settings, "redis://127.0.0.1:1/0")
    try:
        with pytest.raises(RedisError):
            sweeper.sweep([])
        assert sweeper.pid is not None
    finally:
        sweeper.close()


def test_a_redis_that_is_away_is_said_so(both: Both) -> None:
    """503 with a problem that names no address."""
    away = msgspec.structs.replace(both.settings, namespace=both.settings.namespace)
    url = "redis://:secret@127.0.0.1:1/0"
    with served(LiveReader(away, url, None), LiveDesk(away, url)) as api, api.client() as client:
        deadline = time.monotonic() + PATIENCE_S
        while (found := client.get("/customers/c0040")).status_code != 503:
            assert time.monotonic() < deadline
        assert found.headers["content-type"] == "application/problem+json"
        assert "secret" not in found.text
        ready: httpx.Response = client.get("/readyz")
        assert ready.status_code == 503
        assert "secret" not in ready.text
