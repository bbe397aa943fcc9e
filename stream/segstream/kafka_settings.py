"""Settings of the Kafka side: where the brokers are, and how the topics are laid out."""

import re
from contextlib import AbstractContextManager
from typing import Final, Literal, NamedTuple

import msgspec

from segstream.errors import ConfigError
from segstream.extras import extra

DAY_MS: Final = 86_400_000
# Beyond the longest window: time to notice, mend and replay before anything needed is gone.
SPARE_DAYS: Final = 30
RETENTION: Final = "retention.ms"
"""Kafka's own name for how long a topic's messages stay."""
PASSWORD_VARIABLE: Final = "SEGSTREAM_KAFKA_PASSWORD"  # noqa: S105 - a name, not a password
# Kafka allows 249 characters in a topic's name; the longest suffix takes 16 of them.
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9._-]{1,230}")


class TopicNames(NamedTuple):
    """The topics of one namespace."""

    transactions: str
    changes: str
    current_segment: str
    dead_letters: str
    models: str
    evidence: str


class KafkaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How Kafka is used.

    Attributes
    ----------
    bootstrap
        `host:port`, several separated by commas.
    partitions
        Of transactions and of everything that follows its partition numbers. A customer's
        partition depends on it: choose it once, with room to grow.
    replication
        Copies of each partition.
    group
        Consumer group of the workers; `<namespace>-workers` where empty.
    partitioner
        What puts a key on its partition upstream. `murmur2` is checked by the worker (the Java
        client's and kafka-python's default); `any` is trusted to keep a customer on one.
    retention_days
        How long transactions, changes and dead letters stay, by the events' own time. `auto`:
        the longest window and 30 days. `forever` for replays of old histories, which a broker
        would otherwise delete within minutes.
    session_timeout_ms
        Silence after which a worker's partitions go to others.
    trainer_wait_s
        How long a replay waits at the end of a day for a trainer that makes no progress; it
        goes on without until the trainer does.
    security_protocol
        `SSL` encrypts, `SASL_` asks for a name and a password.
    sasl_mechanism
        How the password, from the environment variable `SEGSTREAM_KAFKA_PASSWORD`, is shown.
    sasl_username
        Who asks.
    ssl_cafile
        PEM file of the certificates to trust; the system's where empty.
    """

    bootstrap: str = "127.0.0.1:9092"
    partitions: int = 6
    replication: int = 1
    group: str = ""
    partitioner: Literal["murmur2", "any"] = "murmur2"
    retention_days: float | Literal["auto", "forever"] = "auto"
    session_timeout_ms: int = 10_000
    trainer_wait_s: float = 30.0
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str = ""
    ssl_cafile: str = ""

    @property
    def encrypted(self) -> bool:
        """Whether the connection is TLS."""
        return self.security_protocol in ("SSL", "SASL_SSL")

    @property
    def authenticated(self) -> bool:
        """Whether the brokers ask for a name and a password."""
        return self.security_protocol.startswith("SASL_")

    def topics(self, namespace: str) -> TopicNames:
        """Names of the topics of a namespace."""
        return TopicNames(
            transactions=f"{namespace}.transactions",
            changes=f"{namespace}.segment-changes",
            current_segment=f"{namespace}.current-segment",
            dead_letters=f"{namespace}.dead-letters",
            models=f"{namespace}.models",
            evidence=f"{namespace}.evidence",
        )

    def workers_group(self, namespace: str) -> str:
        """Consumer group of the workers."""
        return self.group or f"{namespace}-workers"

    def retention_ms(self, longest_window_days: float) -> int:
        """Milliseconds that transactions stay; -1 is Kafka's word for forever.

        >>> KafkaSettings().retention_ms(91.0) // DAY_MS
        121
        """
        if self.retention_days == "forever":
            return -1
        if self.retention_days == "auto":
            return round((longest_window_days + SPARE_DAYS) * DAY_MS)
        return round(self.retention_days * DAY_MS)


def check_kafka(kafka: KafkaSettings, namespace: str, longest_window_days: float) -> None:
    """Refuse values that types alone do not.

    Raises
    ------
    ConfigError
    """
    days = kafka.retention_days
    enough = isinstance(days, str) or days >= longest_window_days
    rules = (
        ("namespace", namespace, _NAMESPACE.fullmatch(namespace) is not None,
         "letters, digits, . _ or -, at most 230: it begins the topics' names"),
        ("kafka.bootstrap", kafka.bootstrap, _is_bootstrap(kafka.bootstrap),
         "host:port, several separated by commas"),
        ("kafka.partitions", kafka.partitions, kafka.partitions >= 1, ">= 1"),
        ("kafka.replication", kafka.replication, kafka.replication >= 1, ">= 1"),
        ("kafka.retention_days", days, enough,
         f'at least the longest window, {longest_window_days:g} days, "auto" or "forever"'),
        ("kafka.session_timeout_ms", kafka.session_timeout_ms, kafka.session_timeout_ms >= 1_000,
         ">= 1000"),
        ("kafka.trainer_wait_s", kafka.trainer_wait_s, kafka.trainer_wait_s >= 0, ">= 0"),
        ("kafka.sasl_username", kafka.sasl_username,
         bool(kafka.sasl_username) == kafka.authenticated,
         "a name with SASL_PLAINTEXT or SASL_SSL, and none without"),
    )  # fmt: skip
    for key, value, fine, expected in rules:
        if not fine:
            raise ConfigError(f"{key}: expected {expected}, got {value!r}")


def _is_bootstrap(text: str) -> bool:
    parts = [one.strip().rpartition(":") for one in text.split(",")]
    return all(host and port.isdigit() and 0 < int(port) < 65_536 for host, _, port in parts)


def kafka_extra() -> AbstractContextManager[None]:
    """Name the remedy where an import needs a package of the extra `kafka`.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    return extra("kafka", "for Kafka")
