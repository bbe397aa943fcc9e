"""`segstream-producers send`: every event arrives once, under its customer, at its time."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from deploy.local.local_stack import LocalStack
from kafka.partitioner.default import murmur2
from tests.needed import lacking

from segstream.adapters.files import FileSource
from segstream.adapters.mapping_files import named_mapping
from segstream.core.events import Event, epoch_ms, parse_json
from segstream.errors import ConfigError, SourceError
from segstream_producers.cli import COMPLETE_JOURNEY, producers
from segstream_producers.pacing import Pacer
from segstream_producers.sender import partition_of

ReadTopic = Callable[[str], list[Any]]
MakeTopic = Callable[..., str]
ROOT = Path(__file__).parents[2]
BEGIN_MS = 1_700_000_000_000


def run(stack: LocalStack, namespace: str, *arguments: str) -> Result:
    own = ["--bootstrap", stack.kafka, "--namespace", namespace]
    return CliRunner().invoke(producers, ["send", *arguments, *own])


def line(at: int, **fields: object) -> str:
    event = {"event_id": f"e{at}", "customer_id": f"küné{at % 40}", "ts": BEGIN_MS + at * 1_000}
    return json.dumps(event | {"type": "purchase", "amount": 1.5} | fields)


@pytest.mark.slow
def test_plain_file_passes_unchanged(
    stack: LocalStack, namespace: str, make_topic: MakeTopic, read_topic: ReadTopic, tmp_path: Path
) -> None:
    """Bytes, key, partition and time are the event's own; dead letters stay behind, counted."""
    topic = make_topic("transactions", partitions=5)
    future = line(900, ts=int(time.time() * 1_000) + 10_000_000)
    bad = [line(901, type="bought"), "{", line(902, ts=-5)]
    lines = [line(at) for at in range(500)]
    feed = tmp_path / "feed.jsonl"
    feed.write_text("\n".join([*lines[::-1], *bad, future]) + "\n", "utf-8")
    result = run(stack, namespace, str(feed))
    assert result.exit_code == 0, result.exception
    assert "501 events sent" in result.output
    assert "3 dead letters" in result.output
    assert "the topic has 501 more" in result.output
    assert "feed.jsonl:501" in result.output
    records = read_topic(topic)
    assert sorted(r.value.decode() for r in records) == sorted([*lines, future])
    for record in records:
        event = parse_json(record.value)
        assert isinstance(event, Event)
        assert record.key == event.customer_id.encode()
        assert record.partition == partition_of(record.key, 5)
        assert record.timestamp == min(epoch_ms(event.ts), record.timestamp)
    for partition in range(5):
        times = [r.timestamp for r in records if r.partition == partition]
        assert times == sorted(times)
    # A message is never dated later than it was sent; the worker sees the future in its `ts`.
    assert max(r.timestamp for r in records) < time.time() * 1_000 + 1_000


@pytest.mark.slow
def test_head_of_complete_journey(
    stack: LocalStack, namespace: str, make_topic: MakeTopic, read_topic: ReadTopic, tmp_path: Path
) -> None:
    """A mapped feed arrives as events of the contract, the same as a run reads them."""
    whole = ROOT / COMPLETE_JOURNEY
    if not whole.exists():
        lacking(f"no {COMPLETE_JOURNEY}; make writes it")
    feed = tmp_path / "head.jsonl"
    with whole.open("rb") as file:
        feed.write_bytes(b"".join(next(file) for _ in range(1_000)))
    topic = make_topic("transactions", partitions=6)
    result = run(stack, namespace, str(feed), "--mapping", "complete-journey")
    assert result.exit_code == 0, result.exception
    source = FileSource([feed], named_mapping("complete-journey"))
    chunk = source.read(0, 1 << 30)
    source.close()
    assert chunk is not None
    wanted = {one.event_id: one for one in chunk.parsed if isinstance(one, Event)}
    records = read_topic(topic)
    found = {one.event_id: one for r in records if isinstance(one := parse_json(r.value), Event)}
    assert found == wanted
    assert len(records) == len(wanted) >= 1_000
    homes = {(r.key, r.partition) for r in records}
    assert max(Counter(key for key, _ in homes).values()) == 1


@pytest.mark.slow
def test_old_feed_is_refused_where_retention_would_eat_it(
    stack: LocalStack, namespace: str, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """A replay of old events into a topic with a retention is refused, with the remedy."""
    make_topic("transactions", retention_ms="86400000")
    feed = tmp_path / "feed.jsonl"
    feed.write_text(line(1) + "\n", "utf-8")
    result = run(stack, namespace, str(feed))
    assert isinstance(result.exception, ConfigError)
    assert "--retention-days forever" in str(result.exception)
    assert run(stack, namespace, str(feed), "--expired").exit_code == 0


@pytest.mark.slow
def test_missing_topic_is_named(stack: LocalStack, namespace: str, tmp_path: Path) -> None:
    """Nothing is created by sending."""
    feed = tmp_path / "feed.jsonl"
    feed.write_text(line(1) + "\n", "utf-8")
    result = run(stack, namespace, str(feed))
    assert "run `segstream topics create`" in str(result.exception)


@pytest.mark.slow
def test_stop_and_go_on(
    stack: LocalStack, namespace: str, make_topic: MakeTopic, read_topic: ReadTopic, tmp_path: Path
) -> None:
    """Ctrl-C sends what is under way and says where to go on; nothing is lost or doubled."""
    topic = make_topic("transactions")
    feed = tmp_path / "feed.jsonl"
    feed.write_text("".join(line(at) + "\n" for at in range(400)), "utf-8")
    own = ["--bootstrap", stack.kafka, "--namespace", namespace]
    command = [sys.executable, "-c", "from segstream_producers.cli import main; main()", "send"]
    with subprocess.Popen(
        [*command, str(feed), "--rate", "100", *own],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while not read_topic(topic):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    skip = said.strip().rpartition(" ")[2]
    assert 0 < int(skip) < 400
    assert len(read_topic(topic)) == int(skip)
    assert run(stack, namespace, str(feed), "--skip", skip).exit_code == 0
    assert Counter(r.value for r in read_topic(topic)).total() == 400
    assert len({r.value for r in read_topic(topic)}) == 400


@pytest.mark.slow
@pytest.mark.parametrize("client", ["kafka-python", "aiokafka"])
def test_synthetic_feed_arrives_as_made(
    client: str, stack: LocalStack, namespace: str, make_topic: MakeTopic, read_topic: ReadTopic,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Every line arrives, damaged ones too, in the order of arrival and under its customer."""
    topic = make_topic("transactions", partitions=4)
    options = ["--customers", "200", "--days", "60", "--late", "0.02", "--duplicates", "0.02",
               "--out-of-order", "0.05", "--bad", "0.02"]  # fmt: skip
    truth, written = tmp_path / "truth.jsonl", tmp_path / "feed.jsonl"
    made = ["--truth", str(truth), *options]
    result = run(stack, namespace, "synthetic", *made, "--client", client)
    assert result.exit_code == 0, result.exception
    counts = json.loads(truth.read_bytes().splitlines()[0])["counts"]
    records = read_topic(topic)
    assert len(records) == counts["lines"]
    assert f"the topic has {counts['lines']:,} more" in result.output
    wrote = CliRunner().invoke(producers, ["write", "synthetic", str(written), *options])
    assert wrote.exit_code == 0
    lines = written.read_bytes().splitlines()
    assert Counter(r.value for r in records) == Counter(lines)
    at = {line: place for place, line in enumerate(lines)}
    for partition in range(4):
        own = [r for r in records if r.partition == partition]
        assert [r.timestamp for r in own] == sorted(r.timestamp for r in own)
        once = [at[r.value] for r in own if Counter(lines)[r.value] == 1][:50]
        assert once == sorted(once)
    for record in records:
        assert record.partition == partition_of(record.key, 4)
        parsed = parse_json(record.value)
        assert not isinstance(parsed, Event) or parsed.customer_id.encode() == record.key


@pytest.mark.slow
def test_history_is_moved_to_now(
    stack: LocalStack, namespace: str, make_topic: MakeTopic, read_topic: ReadTopic, tmp_path: Path
) -> None:
    """With --now the last event is now and the distances stay, so retention takes nothing."""
    topic = make_topic("transactions", retention_ms="86400000")
    feed = tmp_path / "feed.jsonl"
    feed.write_text("".join(line(at) + "\n" for at in range(50)), "utf-8")
    before = time.time() * 1_000
    assert run(stack, namespace, str(feed), "--now", "--speed", "100x").exit_code == 0
    found = [parse_json(r.value) for r in read_topic(topic)]
    times = sorted(epoch_ms(one.ts) for one in found if isinstance(one, Event))
    assert before - 1_000 <= times[-1] <= time.time() * 1_000
    assert [b - a for a, b in pairwise(times)] == [1_000] * 49


@pytest.mark.slow
def test_stdin_goes_as_it_comes(
    stack: LocalStack, namespace: str, make_topic: MakeTopic, read_topic: ReadTopic
) -> None:
    """A pipe is sent in the order it arrives."""
    topic = make_topic("transactions", partitions=1)
    command = [sys.executable, "-c", "from segstream_producers.cli import main; main()", "send"]
    lines = [line(at) for at in (3, 1, 2)]
    done = subprocess.run(
        [*command, "-", "--bootstrap", stack.kafka, "--namespace", namespace],
        input="\n".join(lines) + "\n", text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [r.value.decode() for r in read_topic(topic)] == lines


@pytest.mark.slow
@pytest.mark.parametrize("client", ["kafka-python", "aiokafka"])
def test_broker_away_midway_is_waited_for(
    client: str, stack: LocalStack, namespace: str, make_topic: MakeTopic, read_topic: ReadTopic
) -> None:
    """When a broker is back everything arrives, once; kafka-python says that it is silent."""
    topic = make_topic("transactions")
    command = [sys.executable, "-c", "from segstream_producers.cli import main; main()", "send"]
    feed = ["synthetic", "--customers", "200", "--limit", "3000", "--rate", "1000"]
    own = ["--bootstrap", stack.kafka, "--namespace", namespace, "--client", client]
    broker = stack.pid("kafka")
    with subprocess.Popen(
        [*command, *feed, *own], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not read_topic(topic):
            time.sleep(0.1)
        os.kill(broker, signal.SIGSTOP)
        try:
            time.sleep(9)
        finally:
            os.kill(broker, signal.SIGCONT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert client == "aiokafka" or said.count("no answer from") == 1
    values = [r.value for r in read_topic(topic)]
    assert len(values) == len(set(values)) == 3000


@pytest.mark.slow
def test_no_broker_at_the_start() -> None:
    """A broker that is away at the start is named, and nothing waits for it for long."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    for client in ("kafka-python", "aiokafka"):
        own = ["synthetic", "--bootstrap", f"127.0.0.1:{port}", "--client", client]
        result = CliRunner().invoke(producers, ["send", *own])
        assert isinstance(result.exception, SourceError)
        assert f"127.0.0.1:{port}" in str(result.exception)


@pytest.mark.parametrize(
    ("key", "java"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_the_java_clients(key: bytes, java: int) -> None:
    """The vectors of Kafka's own tests (UtilsTest.testMurmur2)."""
    assert murmur2(key) == java % (1 << 32)
    assert partition_of(key, 7) == (java & 0x7FFFFFFF) % 7


def test_pace_is_even_and_never_bursts() -> None:
    """A rate is kept against the schedule; after a stall the schedule begins anew."""
    pacer = Pacer(100.0, now_s=0.0)
    assert pacer.slice == 2
    assert pacer.wait_s(100, 0.4) == pytest.approx(0.6)
    assert pacer.wait_s(100, 1.5) == 0.0
    assert pacer.wait_s(100, 11.0) == 0.0  # ten seconds lost
    assert pacer.wait_s(110, 11.0) == pytest.approx(0.1)
    assert Pacer(None, 0.0).wait_s(10**9, 0.0) == 0.0
