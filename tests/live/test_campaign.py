"""`segstream campaign` on a real broker, Redis and webhook: each message once, none missing."""

import contextlib
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from deploy.local.local_stack import LocalStack
from deploy.local.process import LEASH, free_ports
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from redis import Redis
from tests.core.campaign_changes import MODEL, change, encoded
from tests.live.chaos.crew import Crew
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import SEGSTREAM, end
from tests.live.chaos.shop import BASE
from tests.live.messages import check
from tests.live.receiver import Receiver

from segstream.adapters import redis_keys
from segstream.core.campaign_messages import CODES
from segstream.core.campaigns import delivery_key
from segstream.core.changes import Change
from segstream.kafka_settings import KafkaSettings

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
SECRET = "correct horse"  # noqa: S105 - of this test alone
POINTS = ("1|2", "2|3", "3|4", "4|5", "5|6", "after 6")
RULES = """
holdout = 0.0
log = "{folder}/log.jsonl"
file = "{folder}/messages.jsonl"
suppress = "{folder}/suppressed.txt"
{top}
[webhook]
url = "{url}"
timeout_s = 2.0
backoff_s = [0.05, 0.2]
{web}
[dead_letters]
{dead}
[[campaign]]
name = "win-back"
enters = ["Gone quiet"]
{rule}
"""


class Scene:
    """One namespace with a receiver, a campaign file, and processes."""

    def __init__(self, place: Place, folder: Path, receiver: Receiver, crew: Crew) -> None:
        self.place, self.folder, self.receiver, self.crew = place, folder, receiver, crew
        self.sent = 0
        (self.port,) = free_ports(1)
        self.file = folder / "campaigns.toml"
        self._processes: list[subprocess.Popen[bytes]] = []
        (folder / "suppressed.txt").touch()
        self.rules()

    def rules(self, **parts: str) -> None:
        """Write the campaign file."""
        plain = {
            "top": "", "web": "give_up_after_s = 3600.0", "rule": "", "url": self.receiver.url,
            "dead": f'file = "{self.folder}/dead.jsonl"',
        }  # fmt: skip
        self.file.write_text(RULES.format(folder=self.folder, **(plain | parts)), "utf-8")

    def send(self, *changes: Change) -> list[str]:
        """Publish changes; returns the keys of their messages."""
        producer = KafkaProducer(bootstrap_servers=self.place.kafka.bootstrap, linger_ms=5)
        try:
            for one in changes:
                key = one.data.customer_id.encode()
                producer.send(self.place.names.changes, encoded(one), key)
            producer.flush()
        finally:
            producer.close()
        self.sent += len(changes)
        return [delivery_key("win-back", one.id) for one in changes]

    def fork(self, **job: Any) -> int:
        """Start the role, without the second that the command takes; returns its process id."""
        plain = {"campaigns": str(self.file), "instance": "c1", "secret": SECRET}
        return self.crew.start(self.place, **(plain | job))

    def start(self, *wrapper: str) -> subprocess.Popen[bytes]:
        """Start the command."""
        kafka = self.place.kafka
        config = self.folder / "segstream.toml"
        config.write_text(
            f'namespace = "{self.place.namespace}"\n[kafka]\nbootstrap = "{kafka.bootstrap}"\n'
            f"partitions = {kafka.partitions}\nsession_timeout_ms = {kafka.session_timeout_ms}\n"
        )
        command = [
            *LEASH, *wrapper, str(SEGSTREAM), "campaign", "--file", str(self.file),
            "--config", str(config), "--redis", self.place.redis, "--instance", "c1",
            "--metrics-port", str(self.port),
        ]  # fmt: skip
        env = os.environ | {"SEGSTREAM_WEBHOOK_SECRET": SECRET}
        with (self.folder / "said.log").open("ab") as out:
            self._processes.append(subprocess.Popen(command, env=env, stdout=out, stderr=out))
        return self._processes[-1]

    def said(self) -> str:
        """What the commands said."""
        return (self.folder / "said.log").read_text()

    def check(self) -> None:
        """Fail where a process has ended by itself."""
        self.crew.check()
        for process in self._processes:
            assert process.poll() is None, self.said()

    def until(self, fact: Callable[[], bool]) -> None:
        until(fact, PATIENCE_S, self.check, self.where)

    def where(self) -> str:
        return f"{len(self.receiver.posts)} posts, lag {self.lag()}\n{self.crew.log()}"

    def lag(self) -> int:
        """Changes whose offset is not committed; all while the broker does not say."""
        group = f"{self.place.namespace}-campaign"
        each = [TopicPartition(self.place.names.changes, p) for p in self.place.partitions]
        try:
            admin = KafkaAdminClient(bootstrap_servers=self.place.kafka.bootstrap)
            try:
                held = admin.list_group_offsets({group: each})[group]
            finally:
                admin.close()
        except KafkaError:
            return self.sent
        return self.sent - int(sum(max(0, one.offset) for one in held.values()))

    def get(self, path: str) -> str:
        """What the command answers over HTTP."""
        url = f"http://127.0.0.1:{self.port}/{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())

    def lines(self, name: str) -> list[Any]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def codes(self) -> dict[str, str]:
        """What the log says of each customer."""
        return {line["customer_id"]: line["code"] for line in self.lines("log.jsonl")}

    def close(self) -> None:
        self.crew.clear()
        for process in self._processes:
            if process.poll() is None:
                end(process, signal.SIGKILL)


@pytest.fixture
def place(stack: LocalStack, namespace: str) -> Place:
    kafka = KafkaSettings(
        bootstrap=stack.kafka, partitions=2, retention_days="forever", session_timeout_ms=4_000
    )
    made = Place(msgspec.structs.replace(BASE, namespace=namespace), kafka, stack.redis)
    made.create()
    return made


@pytest.fixture
def scene(place: Place, tmp_path: Path, crew: Crew) -> Iterator[Scene]:
    with Receiver() as receiver:
        made = Scene(place, tmp_path, receiver, crew)
        yield made
        made.close()


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    with contextlib.closing(
        Crew(tmp_path_factory.mktemp("campaigns"), "campaign_driver.py")
    ) as made:
        yield made


def now_ms(hours_ago: float = 0.0) -> int:
    return round((time.time() - hours_ago * 3600) * 1000)


def fresh(n: int, first: int = 0, **told: Any) -> list[Change]:
    """Changes of a minute ago, each of another customer."""
    return [change(f"C{i}", at_ms=now_ms(1 / 60), **told) for i in range(first, first + n)]


# ---- each message once -----------------------------------------------------------------


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(scene: Scene, point: str) -> None:
    """SIGKILL in any gap of the order of effects: no key is new for a change, none is missing."""
    keys = scene.send(*fresh(8))
    count = 1 if point == "after 6" else 4
    assert scene.crew.wait(scene.fork(point=point, count=count)) == -9
    pid = scene.fork()
    scene.until(lambda: scene.lag() == 0)
    # After 6 nothing is left to wait for, and the signal may come before anybody listens.
    assert scene.crew.end(pid) in (0, -signal.SIGTERM)
    assert set(scene.receiver.accepted) == set(keys)
    # Sent twice is only what was under way between sending and marking.
    assert sum(scene.receiver.accepted.values()) - len(keys) <= (8 if point == "4|5" else 4)
    if point in ("1|2", "2|3", "3|4", "after 6"):
        assert set(scene.receiver.accepted.values()) == {1}
    assert set(scene.codes().values()) == {"sent"}


def test_the_gates(scene: Scene) -> None:
    """Stale, suppressed, gone on, held out, repeated: nothing is sent; log and metrics say so.

    The receiver can check who sent what it got.
    """
    scene.rules(rule="holdout = 0.3")
    (scene.folder / "suppressed.txt").write_text("C3\n")
    with Redis.from_url(scene.place.redis) as redis:
        redis.sadd(redis_keys.suppressed(scene.place.namespace), "C4")
    changes = fresh(8)
    old = change("old", at_ms=now_ms(25))
    later = change("C5", 3, now_ms(), from_=2, to=1, reason="behaviour")
    model = change("model", at_ms=now_ms(), reason="model")
    scene.send(*changes, old, model, changes[0], later, changes[1])
    process = scene.start()
    scene.until(lambda: scene.lag() == 0 and len(scene.codes()) == 9)
    assert scene.codes() == {
        "C0": "sent", "C1": "sent", "C2": "held_out", "C3": "suppressed", "C4": "suppressed",
        "C5": "moved_on", "C6": "sent", "C7": "sent", "old": "stale",
    }  # fmt: skip
    assert set(scene.receiver.accepted.values()) == {1}
    for post in scene.receiver.posts:
        moment, proof = (
            part.partition("=")[2] for part in post.headers["Segstream-Signature"].split(",")
        )
        signed = hmac.new(SECRET.encode(), f"{moment}.".encode() + post.body, hashlib.sha256)
        assert hmac.compare_digest(signed.hexdigest(), proof)
        assert json.loads(post.body)["id"] == post.key
        check("campaign-message", json.loads(post.body))
    for line in scene.lines("log.jsonl"):
        check("campaign-log", line)
    codes = Counter(scene.codes().values())
    for code, n in {**dict.fromkeys(CODES, 0), **codes}.items():
        labels = f'{{campaign="win-back",code="{code}"}}'
        assert f"segstream_campaign_changes_total{labels} {n:.1f}" in scene.get("metrics")
    scene.until(lambda: 'lag_messages{partition="0"} 0.0' in scene.get("metrics"))
    assert scene.get("healthz") == "alive\n"
    assert scene.get("readyz") == "ready\n"
    assert end(process, signal.SIGTERM) == 0


def test_a_replay(scene: Scene) -> None:
    """By the clock of the events an old change is new; what is no change is a dead letter."""
    scene.rules(top='clock = "events"')
    new, old = change("C1", 2, now_ms(1000)), change("C1", 3, now_ms(1030))
    scene.send(new, old)
    producer = KafkaProducer(bootstrap_servers=scene.place.kafka.bootstrap)
    try:
        producer.send(scene.place.names.changes, b"nonsense", b"C1").get(timeout=30)
    finally:
        producer.close()
    scene.sent += 1
    pid = scene.fork()
    scene.until(lambda: scene.lag() == 0)
    assert scene.crew.end(pid) == 0
    codes = {line["change"]: line["code"] for line in scene.lines("log.jsonl")}
    assert codes == {new.id: "sent", old.id: "stale"}
    assert [line["message"] for line in scene.lines("dead.jsonl")] == ["nonsense"]
    check("campaign-dead-letter", scene.lines("dead.jsonl")[0])


# ---- a webhook that misbehaves ---------------------------------------------------------


def test_fails_hangs_and_refuses(scene: Scene) -> None:
    """What fails or hangs is tried again with the same key; what is refused is a dead letter."""
    odd: dict[str, list[int | float]] = {"C0": [500, 503], "C1": [3.0], "C2": [400], "C3": [302]}

    def answer(post: Any) -> int | float:
        left = odd.get(json.loads(post.body)["customer_id"])
        return left.pop(0) if left else 200

    scene.receiver.answer = answer
    keys = scene.send(*fresh(5))
    pid = scene.fork()
    scene.until(lambda: len(scene.codes()) == 5 and scene.lag() == 0)
    tried = scene.receiver.attempts
    assert [tried[key] for key in keys] == [3, 2, 1, 1, 1]
    assert [scene.receiver.accepted[key] for key in keys] == [1, 1, 0, 0, 1]
    dead = {line["id"]: line["why"] for line in scene.lines("dead.jsonl")}
    assert dead == {keys[2]: "HTTP 400", keys[3]: "HTTP 302"}
    bodies = {post.key: post.body for post in scene.receiver.posts}
    assert all(bodies[post.key] == post.body for post in scene.receiver.posts)
    assert scene.crew.end(pid) == 0


def test_an_outage_ends_in_dead_letters_and_recovers(scene: Scene, place: Place) -> None:
    """After as long as it may fail, a webhook's messages are dead letters, until one is accepted.

    Here the hour is two seconds.
    """
    scene.receiver.answer = lambda _: 500
    scene.rules(web="give_up_after_s = 2.0", dead=f'topic = "{place.names.dead_letters}"')
    lost = scene.send(*fresh(4))
    pid = scene.fork()
    scene.until(lambda: set(scene.codes().values()) == {"dead"} and scene.lag() == 0)
    assert min(scene.receiver.attempts.values()) > 3
    more = scene.send(*fresh(1, 10))
    scene.until(lambda: len(scene.codes()) == 5)
    assert scene.receiver.attempts[more[0]] == 1
    scene.receiver.answer = lambda _: 200
    keys = scene.send(*fresh(4, 20))
    scene.until(lambda: len(scene.receiver.accepted) == 4)
    assert set(scene.receiver.accepted) == set(keys)
    letters = [json.loads(r.value) for r in place.read(place.names.dead_letters)]
    assert {letter["id"] for letter in letters} == {*lost, *more}
    assert json.loads(letters[0]["message"])["campaign"] == "win-back"
    for letter in letters:
        check("campaign-dead-letter", letter)
    assert scene.crew.end(pid) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 0)])
def test_ended_while_it_waits(scene: Scene, number: signal.Signals, code: int) -> None:
    """Ended while the webhook is away, it sends later what waited, and asks suppression again."""
    scene.receiver.answer = lambda _: 503
    keys = scene.send(*fresh(3))
    pid = scene.fork()
    scene.until(lambda: set(scene.receiver.attempts) == set(keys))
    assert scene.crew.end(pid, number) == code
    (scene.folder / "suppressed.txt").write_text("C1\n")
    scene.receiver.answer = lambda _: 200
    pid = scene.fork()
    scene.until(lambda: scene.lag() == 0)
    assert scene.receiver.accepted == {keys[0]: 1, keys[2]: 1}
    assert scene.codes() == {"C0": "sent", "C1": "suppressed", "C2": "sent"}
    assert scene.crew.end(pid) == 0


# ---- the file sink ---------------------------------------------------------------------


def test_a_line_that_was_half_written(scene: Scene) -> None:
    """The file sink cuts a half line off, writes what it lacks once, and the cap holds."""
    scene.rules(rule='sink = "file"\ncap = { count = 1, days = 7.0 }\nreentry = "every"')
    keys = scene.send(*fresh(2), change("C0", 9, now_ms()))
    whole = json.dumps({"id": keys[0]})
    (scene.folder / "messages.jsonl").write_text(whole + "\n" + whole[:9])
    pid = scene.fork()
    scene.until(lambda: scene.lag() == 0)
    assert scene.crew.end(pid) == 0
    assert {line["id"] for line in scene.lines("messages.jsonl")} == set(keys[:2])
    assert len(scene.lines("messages.jsonl")) == 2
    assert sorted(line["code"] for line in scene.lines("log.jsonl")) == ["capped", "sent", "sent"]


def test_a_sink_that_cannot_be_written(scene: Scene) -> None:
    """A file that cannot be written ends the command with 7; the next start writes the rest."""
    scene.rules(rule='sink = "file"')
    messages = scene.folder / "messages.jsonl"
    messages.mkdir()
    assert scene.crew.wait(scene.fork()) == 7
    assert "messages.jsonl: expected a file of JSON lines" in scene.crew.log()
    messages.rmdir()
    keys = scene.send(*fresh(8))
    # A full disk, as far as the process can tell.
    full = scene.start("bash", "-c", 'ulimit -f 2; exec "$@"', "-")
    assert full.wait(PATIENCE_S) == 7
    scene._processes.clear()
    assert "messages.jsonl: expected to append, got" in scene.said()
    pid = scene.fork()
    scene.until(lambda: scene.lag() == 0)
    assert scene.crew.end(pid) == 0
    written = [line["id"] for line in scene.lines("messages.jsonl")]
    assert sorted(written) == sorted(keys)


def test_an_unknown_segment(scene: Scene) -> None:
    """A segment that the model does not have is refused, with those that it has."""
    scene.rules(rule='leaves = ["Loyall"]')
    producer = KafkaProducer(bootstrap_servers=scene.place.kafka.bootstrap)
    try:
        producer.send(scene.place.names.models, MODEL, b"model:1").get(timeout=30)
    finally:
        producer.close()
    assert scene.crew.wait(scene.fork()) == 3
    assert "leaves: expected a segment of model 1.0, got 'Loyall'. Did you mean 'Loyal'?" in (
        scene.crew.log()
    )
    assert "There are: 'Loyal' (1), 'Gone quiet' (2)." in scene.crew.log()


# ---- brokers away ----------------------------------------------------------------------


def test_the_broker_is_away(stack: LocalStack, scene: Scene) -> None:
    """A broker away at the start and midway is waited for; nothing is lost, nothing is doubled."""
    first = scene.send(*fresh(3))
    stack.kill("kafka")
    try:
        pid = scene.fork()
        until(lambda: "trying again" in scene.crew.log(), PATIENCE_S, scene.check)
        stack.restart("kafka")
        scene.until(lambda: len(scene.receiver.accepted) == 3)
        stack.kill("kafka")
        time.sleep(1.0)
    finally:
        stack.restart("kafka")
    second = scene.send(*fresh(3, 10))
    scene.until(lambda: scene.lag() == 0 and len(scene.receiver.accepted) == 6)
    assert scene.receiver.accepted == dict.fromkeys([*first, *second], 1)
    assert scene.crew.end(pid) == 0


def test_redis_is_away(stack: LocalStack, scene: Scene) -> None:
    """A Redis that is away midway is waited for; nothing is lost, nothing is doubled."""
    first = scene.send(*fresh(3))
    pid = scene.fork()
    scene.until(lambda: scene.lag() == 0)
    stack.kill("redis")
    try:
        second = scene.send(*fresh(3, 10))
        scene.until(lambda: "trying again" in scene.crew.log())
        assert len(scene.receiver.accepted) == 3
    finally:
        stack.restart("redis")
    scene.until(lambda: scene.lag() == 0)
    assert scene.receiver.accepted == dict.fromkeys([*first, *second], 1)
    assert scene.crew.end(pid) == 0


def test_plain_consumer(scene: Scene) -> None:
    """The plain example prints each change once, of those that the customer made."""
    changes = fresh(3)
    scene.send(*changes, changes[0], *fresh(1, 5, reason="model"))
    script = Path(__file__).parents[2] / "examples" / "plain_consumer.py"
    command = [
        *LEASH,
        sys.executable,
        str(script),
        scene.place.kafka.bootstrap,
        scene.place.namespace,
    ]
    with (scene.folder / "printed").open("wb") as out:
        process = subprocess.Popen(command, stdout=out)
        try:
            until(lambda: _lines(scene) >= 3, PATIENCE_S)
            time.sleep(1.0)
        finally:
            end(process, signal.SIGKILL)
    printed = sorted((scene.folder / "printed").read_text().splitlines())
    assert printed == [f"C{i} Loyal -> Gone quiet time" for i in range(3)]


def _lines(scene: Scene) -> int:
    return len((scene.folder / "printed").read_text().splitlines())
