"""`segstream-producers rekey`: an exact copy under other keys, whatever stops it."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from deploy.local.local_stack import LocalStack
from kafka import KafkaProducer, TopicPartition

from segstream.errors import ConfigError
from segstream.kafka_settings import KafkaSettings
from segstream_producers.cli import producers
from segstream_producers.rekey import Backlog, Copied, Rekey, customer_reader, rekey
from segstream_producers.sender import partition_of

ReadTopic = Callable[[str], list[Any]]
MakeTopic = Callable[..., str]
FillTopic = Callable[..., None]
BEGIN_MS = 1_700_000_000_000
COPY = """
import sys
from segstream.kafka_settings import KafkaSettings
from segstream_producers.rekey import Rekey, customer_reader, rekey
bootstrap, source, target = sys.argv[1:]
reader = customer_reader("plain")
brokers = KafkaSettings(bootstrap=bootstrap)
plan = Rekey(brokers, source, target, reader, per_transaction=200, patience_s=6.0)
rekey(plan, lambda copied: print(copied.copied, flush=True), lambda: False)
"""


def message(at: int) -> tuple[bytes, bytes, int]:
    """A message keyed by order."""
    value = json.dumps({"customer_id": f"c{at % 300}", "n": at}).encode()
    return f"order{at}".encode(), value, BEGIN_MS + at


def copy(stack: LocalStack, source: str, target: str, **given: Any) -> Copied:
    brokers = KafkaSettings(bootstrap=stack.kafka)
    plan = Rekey(brokers, source, target, customer_reader("plain"), **given)
    return rekey(plan, lambda _: None, lambda: False)


@pytest.mark.slow
def test_copy_is_keyed_by_customer_in_time_order(
    stack: LocalStack, make_topic: MakeTopic, fill_topic: FillTopic, read_topic: ReadTopic
) -> None:
    """Value and time stay, key and partition are the customer's; aborted messages stay behind."""
    source, target = make_topic("src", 3), make_topic("dst", 5)
    odd = [(b"old", b"junk", BEGIN_MS), (b"gone", None, BEGIN_MS), (None, b"{}", BEGIN_MS)]
    fill_topic(source, [*odd, *(message(at) for at in range(2_000))])
    abort(stack, source)
    command = ["rekey", source, target, "--bootstrap", stack.kafka, "--until-end"]
    result = CliRunner().invoke(producers, command)
    assert result.exit_code == 0, result.exception
    assert "2,003 messages copied" in result.output
    assert "of 3 the customer could not be read" in result.output
    records = read_topic(target)
    read = [r for r in records if r.value and b"customer_id" in r.value]
    assert {(r.value, r.timestamp) for r in read} == {
        (value, at) for _, value, at in map(message, range(2_000))
    }
    assert len(records) == 2_003
    for record in read:
        assert record.key == json.loads(record.value)["customer_id"].encode()
        assert record.partition == partition_of(record.key, 5)
    for partition in range(5):
        times = [r.timestamp for r in read if r.partition == partition]
        assert times == sorted(times)
    kept = {(r.key, r.value) for r in records if r not in read}
    assert kept == {(b"old", b"junk"), (b"gone", None), (None, b"{}")}
    assert copy(stack, source, target).copied == 0


def abort(stack: LocalStack, topic: str) -> None:
    """Leave an aborted transaction at the end of every partition."""
    producer = KafkaProducer(bootstrap_servers=stack.kafka, transactional_id=f"abort-{topic}")
    producer.init_transactions()
    producer.begin_transaction()
    for at in range(30):
        producer.send(topic, b"aborted", key=b"%d" % at)
    producer.flush()
    producer.abort_transaction()
    producer.close()


@pytest.mark.slow
def test_sigkill_in_the_middle_loses_and_doubles_nothing(
    stack: LocalStack, make_topic: MakeTopic, fill_topic: FillTopic, read_topic: ReadTopic
) -> None:
    """Killed twice at work and started again, the copy holds every message exactly once."""
    source, target = make_topic("src", 3), make_topic("dst", 4)
    fill_topic(source, [message(at) for at in range(12_000)])
    reached = []
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", COPY, stack.kafka, source, target],
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            while int(process.stdout.readline()) < 1_500:
                pass
            process.kill()
        reached.append(len(read_topic(target)))
    assert 1_500 <= reached[0] < reached[1] < 12_000
    done = copy(stack, source, target)
    assert 0 < done.copied <= 12_000 - reached[1]
    found = Counter(r.value for r in read_topic(target))
    assert found == Counter(message(at)[1] for at in range(12_000))


@pytest.mark.slow
def test_second_copy_fences_the_first(
    stack: LocalStack, make_topic: MakeTopic, fill_topic: FillTopic, read_topic: ReadTopic
) -> None:
    """A copy that another one has overtaken commits nothing more and says why it stops."""
    source, target = make_topic("src", 1), make_topic("dst", 1)
    fill_topic(source, [message(at) for at in range(600)])
    overtaken: list[Copied] = []

    def overtake(_: Copied) -> None:
        if not overtaken:
            overtaken.append(copy(stack, source, target))

    brokers = KafkaSettings(bootstrap=stack.kafka)
    plan = Rekey(brokers, source, target, customer_reader("plain"), per_transaction=200)
    with pytest.raises(Exception, match="another one that has started since"):
        rekey(plan, overtake, lambda: False)
    assert len(read_topic(target)) == 600


@pytest.mark.slow
def test_filled_target_is_refused_at_the_first_start(
    stack: LocalStack, make_topic: MakeTopic, fill_topic: FillTopic
) -> None:
    """A copy into a topic of somebody else's messages must be asked for."""
    source, target = make_topic("src", 1), make_topic("dst", 1)
    fill_topic(target, [message(1)])
    with pytest.raises(ConfigError, match="use --append"):
        copy(stack, source, target)
    assert copy(stack, source, target, append=True).copied == 0
    with pytest.raises(ConfigError, match="two topics"):
        copy(stack, source, source)


@pytest.mark.slow
def test_broker_that_comes_back(
    stack: LocalStack, make_topic: MakeTopic, fill_topic: FillTopic, read_topic: ReadTopic
) -> None:
    """A broker killed in the middle: the copy settles what is open and goes on by itself."""
    source, target = make_topic("src", 2), make_topic("dst", 2)
    fill_topic(source, [message(at) for at in range(6_000)])
    # In a process of its own: kafka-python leaves sockets behind that could not connect.
    with subprocess.Popen(
        [sys.executable, "-c", COPY, stack.kafka, source, target],
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        while int(process.stdout.readline()) < 1_000:
            pass
        stack.kill_broker()
        stack.restart_broker()
        said, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    assert int(said.split()[-1]) == 6_000
    found = Counter(r.value for r in read_topic(target))
    assert found == Counter(message(at)[1] for at in range(6_000))


class Record(NamedTuple):
    timestamp: int


def test_backlog_waits_for_what_may_be_earlier() -> None:
    """Nothing later is given out while an earlier message may still arrive."""
    one, two = TopicPartition("t", 0), TopicPartition("t", 1)
    backlog = Backlog()
    backlog.put({one: [Record(1), Record(5)]})
    assert backlog.take(10, {one, two}) == []
    backlog.put({two: [Record(2), Record(3)]})
    assert backlog.take(10, {one, two}) == [Record(1), Record(2), Record(3)]
    assert backlog.take(10, {one}) == [Record(5)]
    assert backlog.take(10, set()) == []
