"""`segstream topics`: what is created, and what is said where it differs."""

import pytest
from click.testing import CliRunner, Result
from deploy.local.local_stack import LocalStack

from segstream.adapters.kafka_topics import TopicAdmin, mismatches, wanted_topics
from segstream.cli.topics import topics
from segstream.errors import ConfigError, SourceError
from segstream.kafka_settings import DAY_MS, KafkaSettings, check_kafka


def run(stack: LocalStack, *arguments: str) -> Result:
    command = [arguments[0], "--bootstrap", stack.kafka, *arguments[1:]]
    return CliRunner().invoke(topics, command)


@pytest.mark.slow
def test_created_topics_are_as_wanted(stack: LocalStack, namespace: str) -> None:
    """Six topics, laid out as the settings say; creating them again changes nothing."""
    first = run(stack, "create", "--namespace", namespace, "--bytes-per-day", "1000")
    assert first.exit_code == 0, first.exception
    assert first.output.count("created ") == 6
    assert "142 days: the longest window, 112, and 30 to spare; 142,000 bytes" in first.output
    again = run(stack, "create", "--namespace", namespace)
    assert (again.exit_code, again.output.count("exists ")) == (0, 6)
    with TopicAdmin(stack.kafka) as admin:
        names = KafkaSettings().topics(namespace)
        found = admin.describe(names)
    assert {name: topic.partitions for name, topic in found.items()} == {
        names.transactions: 6, names.changes: 6, names.current_segment: 6,
        names.dead_letters: 6, names.models: 1, names.evidence: 1,
    }  # fmt: skip
    compacted = {n for n, t in found.items() if t.configs["cleanup.policy"] == "compact"}
    assert compacted == {names.current_segment, names.models, names.evidence}
    assert found[names.transactions].configs["retention.ms"] == str(142 * DAY_MS)
    assert found[names.evidence].configs["max.message.bytes"] == str(8 << 20)


@pytest.mark.slow
def test_mismatch_is_reported_with_the_remedy(stack: LocalStack, namespace: str) -> None:
    """Another number of partitions, or another retention, is said and never changed."""
    assert run(stack, "create", "--namespace", namespace).exit_code == 0
    for command in ("create", "describe"):
        result = run(stack, command, "--namespace", namespace, "--partitions", "4")
        assert isinstance(result.exception, ConfigError)
        assert "expected partitions 4, got 6; set kafka.partitions = 6" in str(result.exception)
    result = run(stack, "describe", "--namespace", namespace, "--retention-days", "forever")
    assert "--add-config retention.ms=-1" in str(result.exception)
    result = run(stack, "describe", "--namespace", namespace)
    assert (result.exit_code, result.output.count("bytes on disk")) == (0, 6)


@pytest.mark.slow
def test_retention_nobody_chose_is_no_mismatch(stack: LocalStack, namespace: str) -> None:
    """Made with a longer retention all is well, with a shorter one it is said; neither exits 3."""
    made = run(stack, "create", "--namespace", namespace, "--retention-days", "forever")
    assert made.exit_code == 0
    result = run(stack, "describe", "--namespace", namespace)
    assert (result.exit_code, result.stderr) == (0, "")
    short = f"{namespace}-short"
    made = run(stack, "create", "--namespace", short, "--retention-days", "130")
    assert made.exit_code == 0
    result = run(stack, "describe", "--namespace", short)
    assert (result.exit_code, result.stderr.count("warning: ")) == (0, 3)
    assert f"expected retention.ms {142 * DAY_MS}, got {130 * DAY_MS}" in result.stderr


@pytest.mark.slow
def test_missing_topics_and_too_many_copies(stack: LocalStack, namespace: str) -> None:
    """What does not exist is named; one broker cannot keep three copies."""
    result = run(stack, "describe", "--namespace", namespace)
    assert "run `segstream topics create`" in str(result.exception)
    result = run(stack, "create", "--namespace", namespace, "--replication", "3")
    assert isinstance(result.exception, ConfigError)
    assert "kafka.replication: expected at most the number of brokers" in str(result.exception)


def test_absent_broker_is_named() -> None:
    """Where nothing listens the message says where, and how to name another."""
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:1, got .*--bootstrap") as caught:
        TopicAdmin("127.0.0.1:1", bootstrap_ms=200)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (KafkaSettings(bootstrap="nowhere"), "kafka.bootstrap"),
        (KafkaSettings(partitions=0), "kafka.partitions"),
        (KafkaSettings(replication=0), "kafka.replication"),
        (KafkaSettings(retention_days=90.0), "kafka.retention_days"),
        (KafkaSettings(session_timeout_ms=10), "kafka.session_timeout_ms"),
    ],
)
def test_unusable_settings_are_refused(settings: KafkaSettings, named: str) -> None:
    """Each refusal names the key."""
    with pytest.raises(ConfigError, match=named):
        check_kafka(settings, "shop", 91.0)


def test_wanted_topics_have_no_mismatch_with_themselves() -> None:
    """What was made as wanted is as wanted."""
    for topic in wanted_topics(KafkaSettings(replication=3), "shop", 91.0):
        assert mismatches(topic, topic, "b:1") == []
        assert topic.configs["min.insync.replicas"] == "2"
