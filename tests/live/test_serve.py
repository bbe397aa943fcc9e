"""The API over a real Kafka and Redis says what it says over the state directory they came from."""

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
from tests.api.fuzz import fuzz
from tests.api.moved import moved
from tests.api.served import Served, served, served_state
from tests.api.shops import ODD_IDS, events
from tests.api.test_document import ENDPOINTS
from tests.cli import feeds
from tests.cli.commands import Place

from segstream.api.live import LiveDesk, LiveReader, partition_of
from segstream.settings import Settings

pytestmark = pytest.mark.slow
PATIENCE_S = 30.0
# What the ledger of a state directory knows, and Redis does not.
OF_THE_LEDGER = {"orders", "share_of_spend", "spend_each", "last_order_days"}


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
    reader, desk = LiveReader(settings, stack.redis, None), LiveDesk(settings, stack.redis)
    with served_state(place.state, place.out) as state, served(reader, desk) as live:
        _until_ready(live)
        yield Both(settings, state, live)


def _until_ready(api: Served) -> None:
    deadline = time.monotonic() + PATIENCE_S
    with api.client(None) as client:
        while (found := client.get("/readyz")).status_code != 200:
            assert time.monotonic() < deadline, found.text
            time.sleep(0.1)


def without(told: Any) -> Any:
    """An answer without what only the ledger knows."""
    if isinstance(told, dict):
        return {name: without(v) for name, v in told.items() if name not in OF_THE_LEDGER}
    return [without(value) for value in told] if isinstance(told, list) else told


def apart(one: Any, other: Any, where: str = "") -> list[str]:
    """In what two answers differ; floats but for the order in which they were added."""
    if isinstance(one, float) and isinstance(other, float | int):
        near = one == pytest.approx(other, rel=1e-9, abs=1e-9)
        return [] if near else [f"{where}: {one} {other}"]
    if isinstance(one, dict) and one.keys() == other.keys():
        return [found for n in one for found in apart(one[n], other[n], f"{where}.{n}")]
    if isinstance(one, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for i, pair in pairs for found in apart(*pair, f"{where}[{i}]")]
    return [] if one == other else [f"{where}: {one!r} {other!r}"]


@pytest.mark.parametrize("name", [*ODD_IDS, "c0040", "c0077"])
def test_a_customer_is_the_same_in_both_modes(both: Both, name: str) -> None:
    """From its packed record alone, whatever its id: features, segment, distances, history, why."""
    for path in (f"/customers/{quote(name, safe='')}", f"/customers/{quote(name, safe='')}/why"):
        with both.state.client() as state, both.live.client() as live:
            one, other = without(state.get(path).json()), without(live.get(path).json())
        assert not apart(one, other)


def _by_id(told: Any) -> Any:
    return sorted(told["segments"], key=lambda segment: segment["id"])


def test_segments_models_and_members_are_the_same(both: Both) -> None:
    """Swept aggregates are those of the state directory."""
    with both.state.client() as state, both.live.client() as live:
        one, other = (_by_id(without(c.get("/segments").json())) for c in (state, live))
        assert not apart(one, other)
        for path in ("/segments/2", "/segments/2/customers?limit=9", "/models", "/insights"):
            assert not apart(without(state.get(path).json()), without(live.get(path).json()))


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
    assert any(r.key.startswith(b"command:") for r in read_topic(topic))


# The server is in this process, and its clients draw random pauses while a request is generated.
@pytest.mark.filterwarnings("ignore:Do not use the .random. module")
def test_generated_requests_are_answered_as_documented(both: Both) -> None:
    """No 500, and every answer is of its schema: all operations over Kafka and Redis."""
    # Each of these opens clients of its own: tried one by one above.
    tried = fuzz(both.live, leave_out=frozenset(("erase", "recluster", "promote", "rollback")))
    assert len(tried) == len(ENDPOINTS) - 4


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
