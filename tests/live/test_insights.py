"""`segstream insights` on a real broker and Redis: what the embedded run counts and says, once."""

import json
import os
import random
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from deploy.local.local_stack import LocalStack
from deploy.local.process import LEASH, free_ports
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from redis import Redis
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import SEGSTREAM, config_text, end
from tests.live.chaos.shop import Row, fixed_model, rows
from tests.live.small_shop import place_of

from segstream.adapters import redis_keys
from segstream.adapters.kafka_models import model_key
from segstream.adapters.memory import MemorySink, MemorySource
from segstream.adapters.sqlite_store import SqliteStore
from segstream.core.events import parse_json_lines
from segstream.engine import Engine
from segstream.insights_view import insights_of_state
from segstream.report.facts import gather, to_json
from segstream.report.retrospect import Retrospect
from segstream.settings import Settings, compile_spec
from segstream.view import View

pytestmark = pytest.mark.slow

PATIENCE_S = 90.0
KILLS = 3


def with_products(row: Row) -> list[Row]:
    """The same message with what insights count, where it is an order; after some a coupon."""
    try:
        event = json.loads(row.value)
    except ValueError:
        return [row]
    if not isinstance(event, dict) or event.get("type") not in ("purchase", "return"):
        return [row]
    luck = sum(event["event_id"].encode())
    country = "NL" if sum(row.key) % 3 else "BE"
    told = {"product_id": f"p{luck % 7}", "category": f"c{luck % 7 % 2}", "country": country,
            "city": f"city {sum(row.key) % 4}"}  # fmt: skip
    made = [event | told]
    if luck % 3:
        kind = "coupon_redeemed" if luck % 9 == 1 else "coupon_claimed"
        known = {name: event[name] for name in ("customer_id", "ts")}
        made.append(known | {"event_id": f"{event['event_id']}-k", "type": kind,
                             "coupon_id": f"k{luck % 2}", "branch_id": f"b{luck % 5}"})  # fmt: skip
    return [Row(row.key, json.dumps(one).encode(), row.time_ms) for one in made]


def feed(customers: int, days: int, seed: int) -> list[Row]:
    """A log of a shop whose events say all that insights count."""
    return [made for row in rows(customers, days, seed) for made in with_products(row)]


def embedded(settings: Settings, log: list[Row], folder: Path) -> tuple[View, list[bytes]]:
    """An undisturbed embedded run, and the changes it published."""
    store = SqliteStore(folder, compile_spec(settings).spec.digest, "token")
    sink = MemorySink()
    try:
        engine = Engine(settings, store, sink, fixed_model=fixed_model())
        payloads = [row.value for row in log]
        engine.run(MemorySource(payloads, parse_json_lines(payloads), "shop"))
        changes = [body for _, body in sink.changes]
        view = View(
            settings, engine.partition, engine.trainer_state, [fixed_model()], store.ledger(),
            changes, store.purchases(),
        )  # fmt: skip
        return view, changes
    finally:
        store.close()


class Scene:
    """A namespace that is filled, and the role as a process."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self.folder, self.port = place, folder, free_ports(1)[0]
        self.config = folder / "segstream.toml"
        self.config.write_text(config_text(place))
        self.process: subprocess.Popen[bytes] | None = None

    def fill(self, log: list[Row], changes: list[bytes]) -> None:
        """Send transactions, the changes to the partition of their customer, and the model."""
        self.place.create()
        self.place.send(log)
        producer = KafkaProducer(bootstrap_servers=self.place.kafka.bootstrap, linger_ms=5)
        try:
            for body in changes:
                key = json.loads(body)["data"]["customer_id"].encode()
                producer.send(self.place.names.changes, body, key)
            model = fixed_model()
            body = msgspec.json.encode(model)
            producer.send(self.place.names.models, body, model_key(model.number))
            producer.flush()
        finally:
            producer.close()

    def start(self) -> subprocess.Popen[bytes]:
        command = [
            *LEASH, str(SEGSTREAM), "insights", "--config", str(self.config), "--every", "0.2",
            "--state", str(self.folder / "insights"), "--metrics-port", str(self.port),
        ]  # fmt: skip
        env = os.environ | {
            "SEGSTREAM_KAFKA": self.place.kafka.bootstrap, "SEGSTREAM_REDIS": self.place.redis,
        }  # fmt: skip
        with (self.folder / "said.log").open("ab") as out:
            self.process = subprocess.Popen(command, env=env, stdout=out, stderr=out)
        return self.process

    def said(self) -> str:
        return (self.folder / "said.log").read_text()

    def _told(self, key: str) -> bytes | None:
        with Redis.from_url(self.place.redis) as redis:
            return cast("bytes | None", redis.get(key))

    def table(self) -> dict[str, Any] | None:
        body = self._told(redis_keys.insights(self.place.namespace))
        return None if body is None else json.loads(body)

    def retrospect(self) -> Retrospect | None:
        body = self._told(redis_keys.retrospect(self.place.namespace))
        return None if body is None else msgspec.json.decode(body, type=Retrospect)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def check(self) -> None:
        assert self.process is not None
        assert self.process.poll() is None, self.said()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            end(self.process, signal.SIGKILL)


@pytest.fixture
def scene(stack: LocalStack, namespace: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(place_of(stack.kafka, stack.redis, namespace), tmp_path)
    yield made
    made.close()


def test_killed_and_started_again_it_counts_what_the_embedded_run_counts(scene: Scene) -> None:
    """SIGKILL at any moment: table and look back are those of an undisturbed embedded run."""
    log = feed(120, 110, seed=5)
    view, changes = embedded(scene.place.settings, log, scene.folder / "embedded")
    expected, said = insights_of_state(view), to_json(gather(view).summary)
    assert said["aftermath"]
    assert said["sentences"]
    scene.fill(log, changes)
    rng = random.Random(3)
    for _ in range(KILLS):
        process = scene.start()
        until(lambda: (scene.folder / "insights").exists(), PATIENCE_S, scene.check, scene.said)
        time.sleep(rng.uniform(0.0, 0.8))
        end(process, signal.SIGKILL)
    process = scene.start()
    plain = msgspec.json.decode(msgspec.json.encode(expected))
    assert plain["all"]["orders"] > 100
    assert len(plain["all"]["products"]) == 7
    assert [one["kind"] for one in plain["places"]] == ["city", "coupon", "branch"]
    assert all(one["claimed_redeemed"] > 10 for one in plain["places"])
    until(lambda: scene.table() == plain, PATIENCE_S, scene.check,
          lambda: f"{scene.said()}\n{scene.table()}\n{plain}")  # fmt: skip

    def looks_back() -> bool:
        told = scene.retrospect()
        return told is not None and to_json(gather(view, told=told).summary) == said

    until(looks_back, PATIENCE_S, scene.check,
          lambda: f"{scene.said()}\n{scene.retrospect()}\n{said}")  # fmt: skip
    assert scene.get("/readyz") == (200, "ready\n")
    assert scene.get("/healthz")[0] == 200
    assert "segstream_insights_lag_messages" in scene.get("/metrics")[1]
    assert end(process, signal.SIGTERM) == 0, scene.said()


def test_a_log_that_begins_behind_the_position_is_refused(scene: Scene) -> None:
    """Where messages between are deleted it stops and says so, instead of counting with a gap."""
    log = feed(30, 10, seed=6)
    half = len(log) // 2
    scene.fill(log[:half], [])
    process = scene.start()
    until(lambda: scene.table() is not None, PATIENCE_S, scene.check, scene.said)
    assert end(process, signal.SIGTERM) == 0
    scene.place.send(log[half:])
    admin = KafkaAdminClient(bootstrap_servers=scene.place.kafka.bootstrap)
    try:
        topic = scene.place.names.transactions
        admin.delete_records({TopicPartition(topic, p): -1 for p in scene.place.partitions})
    finally:
        admin.close()
    assert scene.start().wait(60) == 5
    assert "Choose a new --state directory" in scene.said()
