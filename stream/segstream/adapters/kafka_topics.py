"""The topics: what they should be, what they are, and what to do where the two differ."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource
from kafka.errors import KafkaError, for_code

from segstream.adapters.kafka_clients import connection
from segstream.errors import ConfigError, SourceError
from segstream.kafka_settings import RETENTION, KafkaSettings

BOOTSTRAP_MS: Final = 5_000
# A day's panel vectors in one message.
EVIDENCE_BYTES: Final = 8 << 20
# A dead letter holds an event of the limit, and says more.
DEAD_LETTER_BYTES: Final = 2 << 20
# What was erased, or closed by the trainer, is off the disk about so long after.
GONE_WITHIN_MS: Final = 86_400_000
_EXISTS: Final = 36
_TOO_FEW_BROKERS: Final = 38
_COMPACTED: Final = {"cleanup.policy": "compact"}


@dataclass(frozen=True)
class Topic:
    """A topic as it should be, or as it is.

    Attributes
    ----------
    configs
        Kafka's own names and values. As it is, all of them; as it should be, those that matter.
    """

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]


@dataclass(frozen=True)
class Mismatch:
    """Where a topic is not what it should be, and how to mend it."""

    topic: str
    key: str
    expected: str
    got: str
    remedy: str

    @property
    def is_longer(self) -> bool:
        """Whether a retention is only longer than it need be."""
        if self.key != RETENTION or not self.got.lstrip("-").isdigit():
            return False
        return self.got == "-1" or int(self.got) >= int(self.expected) >= 0

    def __str__(self) -> str:
        return f"{self.topic}: expected {self.key} {self.expected}, got {self.got}; {self.remedy}"


def wanted_topics(
    kafka: KafkaSettings, namespace: str, longest_window_days: float
) -> tuple[Topic, ...]:
    """Every topic of a namespace, as it should be.

    Parameters
    ----------
    longest_window_days
        Of all features: a record can be rebuilt only while its window is still in the log.
    """
    names, p = kafka.topics(namespace), kafka.partitions
    kept = {
        "cleanup.policy": "delete",
        RETENTION: str(kafka.retention_ms(longest_window_days)),
    }
    dead = kept | {"max.message.bytes": str(DEAD_LETTER_BYTES)}
    personal = _COMPACTED | {"max.compaction.lag.ms": str(GONE_WITHIN_MS)}
    # Evidence is a day's panel vectors; the trainer's state holds them while it checks a refit.
    vectors = personal | {"max.message.bytes": str(EVIDENCE_BYTES)}
    laid_out = (
        (names.transactions, p, kept),
        (names.changes, p, kept),
        (names.current_segment, p, personal),
        (names.dead_letters, p, dead),
        (names.models, 1, vectors),
        (names.evidence, 1, vectors),
    )
    # With three copies two must have a message before it counts; with one there is no choice.
    safe = {"min.insync.replicas": str(max(1, kafka.replication - 1))}
    return tuple(
        Topic(name, count, kafka.replication, configs | safe) for name, count, configs in laid_out
    )


def mismatches(wanted: Topic, found: Topic | None, bootstrap: str) -> list[Mismatch]:
    """Compare a topic with what it should be; None is one that does not exist."""
    if found is None:
        remedy = "run `segstream topics create`"
        return [Mismatch(wanted.name, "a topic", "of that name", "none", remedy)]
    differing = []
    if found.partitions != wanted.partitions:
        differing.append(_partitions(wanted, found))
    if found.replication != wanted.replication:
        remedy = (
            f"set kafka.replication = {found.replication}, or add copies with"
            " kafka-reassign-partitions.sh"
        )
        copies = str(wanted.replication), str(found.replication)
        differing.append(Mismatch(wanted.name, "replication", *copies, remedy))
    alter = f"kafka-configs.sh --bootstrap-server {bootstrap} --alter --topic {wanted.name}"
    differing += [
        Mismatch(wanted.name, key, value, got, f"run `{alter} --add-config {key}={value}`")
        for key, value in wanted.configs.items()
        if (got := found.configs.get(key, "nothing")) != value
    ]
    return differing


def _partitions(wanted: Topic, found: Topic) -> Mismatch:
    remedy = (
        f"set kafka.partitions = {found.partitions}, or copy into a new topic with"
        " `segstream-producers rekey` and rebuild: adding partitions to this one would move"
        " customers away from their records"
    )
    if wanted.partitions == 1:
        remedy = "delete the topic while nothing runs and create it again: its order is one log's"
    return Mismatch(
        wanted.name, "partitions", str(wanted.partitions), str(found.partitions), remedy
    )


class TopicAdmin:
    """The brokers, asked about topics.

    Parameters
    ----------
    brokers
        How to reach them; an address where they ask for nothing.

    Raises
    ------
    SourceError
        No broker answers, or one refuses.
    """

    def __init__(self, brokers: str | KafkaSettings, bootstrap_ms: int = BOOTSTRAP_MS) -> None:
        settings = KafkaSettings(bootstrap=brokers) if isinstance(brokers, str) else brokers
        self._bootstrap = settings.bootstrap
        with broker_errors(self._bootstrap):
            self._client = KafkaAdminClient(
                **connection(settings), bootstrap_timeout_ms=bootstrap_ms
            )

    def __enter__(self) -> "TopicAdmin":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def create(self, topics: Sequence[Topic]) -> list[str]:
        """Create the topics that do not exist, and wait until they can be used.

        Returns
        -------
        list
            Names of those created now.

        Raises
        ------
        ConfigError
            The brokers cannot make one as wanted.
        """
        asked = {
            topic.name: {
                "num_partitions": topic.partitions,
                "replication_factor": topic.replication,
                "configs": dict(topic.configs),
            }
            for topic in topics
        }
        if not asked:
            return []
        with broker_errors(self._bootstrap):
            answers = self._client.create_topics(asked, raise_errors=False)["topics"]
            for answer in answers:
                _refused(answer, asked[answer["name"]])
            created = [answer["name"] for answer in answers if not answer["error_code"]]
            self._client.wait_for_topics(created)
        return created

    def describe(self, names: Sequence[str]) -> dict[str, Topic]:
        """Those of the topics that exist, as they are."""
        with broker_errors(self._bootstrap):
            there = set(self._client.list_topics())
            names = [name for name in names if name in there]
            if not names:
                return {}
            laid_out = self._client.describe_topics(names)
            resources = [ConfigResource("topic", name, None) for name in names]
            configs = self._client.describe_configs(resources, config_filter="all")["topic"]
        return {
            one["name"]: Topic(
                name=one["name"],
                partitions=len(one["partitions"]),
                replication=min(len(p["replica_nodes"]) for p in one["partitions"]),
                configs={key: found["value"] for key, found in configs[one["name"]].items()},
            )
            for one in laid_out
        }

    def sizes(self) -> dict[str, int]:
        """Bytes on the brokers' disks by topic, all copies."""
        with broker_errors(self._bootstrap):
            brokers = self._client.describe_log_dirs()
        sizes: dict[str, int] = {}
        for topic in (t for b in brokers for folder in b["log_dirs"] for t in folder["topics"]):
            held = sum(p["partition_size"] for p in topic["partitions"])
            sizes[topic["name"]] = sizes.get(topic["name"], 0) + held
        return sizes


@contextmanager
def broker_errors(bootstrap: str) -> Iterator[None]:
    """Turn what the client raises into an error that says what to do."""
    try:
        yield
    except (KafkaError, OSError) as error:
        raise SourceError(
            f"expected Kafka to answer at {bootstrap}, got {_named(error)}; start the brokers, or"
            " name them: --bootstrap, $SEGSTREAM_KAFKA or kafka.bootstrap; brokers that ask for"
            " encryption or a password hang up on who has none: kafka.security_protocol in --config"
        ) from error


def _named(error: BaseException) -> str:
    """Name and message of an error; the client's own messages begin with the name."""
    name, text = type(error).__name__, str(error)
    return text if name in text else f"{name}: {text}"


def _refused(answer: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise unless a topic was created, or existed."""
    code = answer["error_code"]
    if code in (0, _EXISTS):
        return
    why = f"{for_code(code).__name__}: {answer['error_message']}"
    if code == _TOO_FEW_BROKERS:
        raise ConfigError(
            f"kafka.replication: expected at most the number of brokers, got"
            f" {asked['replication_factor']} ({why}); lower it or add brokers"
        )
    raise ConfigError(
        f"{answer['name']}: expected the broker to create it, got {why}; ask whoever runs the"
        " brokers for the right to create topics, or to create it as `segstream topics describe`"
        " shows"
    )
