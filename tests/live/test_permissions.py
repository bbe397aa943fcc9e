"""Names, passwords, rights, encryption: against servers that ask for them, and what is said where
one is missing."""

import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from deploy.local.local_stack import LocalStack
from deploy.local.parts import HOST, Kafka, Redis
from deploy.local.process import free_ports
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)
from redis.asyncio.connection import SSLConnection
from tests.live.chaos.place import Place, Sent
from tests.live.chaos.roles import Roles, end
from tests.live.chaos.shop import BASE, Expected, expected, fixed_model, rows
from tests.needed import lacking, running

from segstream.adapters.kafka_clients import connection
from segstream.adapters.redis_store import connect
from segstream.core.events import Event, epoch_ms, parse_json
from segstream.errors import ConfigError, SourceError
from segstream.kafka_settings import PASSWORD_VARIABLE, KafkaSettings, check_kafka
from segstream_producers.cli import producers

PATIENCE_S = 120.0
PASSWORD = "open sesame"  # noqa: S105 - of a broker that lives as long as the test


def assert_current(place: Place, told: Expected) -> None:
    """The compacted topic has every customer with a change, as soon as the change is there."""
    changed = {msgspec.json.decode(body)["subject"].encode() for body in told.changes}
    assert {record.key for record in place.read(place.names.current_segment)} == changed


LOGIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_shop="{PASSWORD}";'


@dataclass(frozen=True)
class Certificate:
    """A certificate of 127.0.0.1 that vouches for itself, made for one session."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    @property
    def both(self) -> Path:
        return self.folder / "both.pem"

    def make(self) -> None:
        openssl = shutil.which("openssl") or lacking("no openssl; apt-get install openssl")
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=IP:{HOST}",
             "-keyout", str(self.key), "-out", str(self.certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        self.both.write_text(self.key.read_text() + self.certificate.read_text())


class GuardedKafka(Kafka):
    """A broker with two listeners more that ask for name, password and rights; one encrypts."""

    def __init__(self, ports: Sequence[int], own: Certificate) -> None:
        super().__init__()
        self.guarded, self.encrypted = (f"{HOST}:{port}" for port in ports)
        self._certificate = own

    def prepare(self, folder: Path, ports: Sequence[int]) -> None:
        each = (
            f"PLAINTEXT://{HOST}:{ports[0]},SASL_PLAINTEXT://{self.guarded},"
            f"SASL_SSL://{self.encrypted}"
        )
        self._own = {
            "listeners": f"{each},CONTROLLER://{HOST}:{ports[1]}",
            "advertised.listeners": each,
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,"
                "SASL_SSL:SASL_SSL"
            ),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": LOGIN,
            "listener.name.sasl_ssl.plain.sasl.jaas.config": LOGIN,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._certificate.both),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
        super().prepare(folder, ports)


class EncryptedRedis(Redis):
    """A Redis with a second port that encrypts and asks for a password."""

    def __init__(self, port: int, own: Certificate) -> None:
        self._port, self._certificate = port, own
        self.encrypted = (
            f"rediss://shop:secret@{HOST}:{port}?ssl_ca_certs={self._certificate.certificate}"
        )

    def prepare(self, folder: Path, ports: Sequence[int]) -> None:
        super().prepare(folder, ports)
        with (folder / "redis.conf").open("a") as file:
            file.write(
                f"tls-port {self._port}\ntls-cert-file {self._certificate.certificate}\n"
                f"tls-key-file {self._certificate.key}\ntls-auth-clients no\n"
                "user shop on >secret ~* &* +@all\n"
            )


@dataclass(frozen=True)
class Guarded:
    """A stack of its own, and where it asks who you are."""

    stack: LocalStack
    kafka: GuardedKafka
    redis: EncryptedRedis
    certificate: Certificate


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Kafka with name, password and rights; both servers also encrypted."""
    own = Certificate(tmp_path_factory.mktemp("certificate"))
    own.make()
    local = LocalStack(tmp_path_factory.mktemp("guarded") / "stack")
    ports = free_ports(3)
    kafka, redis = GuardedKafka(ports[:2], own), EncryptedRedis(ports[2], own)
    local._parts |= {"kafka": kafka, "redis": redis}
    with running(local):
        yield Guarded(local, kafka, redis, own)


def allow(bootstrap: str, kind: str, name: str, operation: str, prefixed: bool = False) -> None:
    """Give `shop` a right, as kafka-acls.sh would."""
    pattern = ResourcePattern(
        ResourceType[kind], name,
        ACLResourcePatternType.PREFIXED if prefixed else ACLResourcePatternType.LITERAL,
    )  # fmt: skip
    right = ACL("User:shop", "*", ACLOperation[operation], ACLPermissionType.ALLOW, pattern)
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_acls([right])
    finally:
        admin.close()


@pytest.mark.slow
def test_rights(
    guarded: Guarded, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """A worker says what it lacks, with the commands that give it; once given, it works."""
    stack, address = guarded.stack, guarded.kafka.guarded
    settings = msgspec.structs.replace(BASE, namespace=namespace)
    kafka = KafkaSettings(bootstrap=stack.kafka, partitions=2, retention_days="forever")
    place = Place(settings, kafka, stack.redis)
    place.create()
    log = rows(60, 20, seed=7)
    place.send(log)
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    (tmp_path / "model.json").write_bytes(msgspec.json.encode(fixed_model()))
    extra = 'security_protocol = "SASL_PLAINTEXT"\nsasl_username = "shop"\n'
    asks = Place(settings, msgspec.structs.replace(kafka, bootstrap=address), stack.redis)
    roles = Roles(asks, tmp_path, tmp_path / "model.json", extra)
    names = place.names
    try:
        allow(stack.kafka, "TOPIC", names.transactions, "READ")
        assert roles.add("w").wait(PATIENCE_S) == 4
        said = roles.log()
        assert "Traceback" not in said
        assert f"User:shop --operation WRITE --topic {names.changes}" in said
        assert f"User:shop --operation READ --group {namespace}-workers" in said
        assert f"--operation READ --topic {names.transactions}" not in said
        allow(stack.kafka, "TOPIC", f"{namespace}.", "ALL", prefixed=True)
        allow(stack.kafka, "GROUP", f"{namespace}-", "READ", prefixed=True)
        assert roles.add("w").wait(PATIENCE_S) == 4
        assert f"--operation WRITE --transactional-id {namespace}-worker-" in roles.log()
        allow(stack.kafka, "TRANSACTIONAL_ID", f"{namespace}-", "ALL", prefixed=True)
        worker = roles.add("w")
        told = expected(settings, log, fixed_model())
        place.wait(told.clock_minute, PATIENCE_S, lambda: None)
        assert place.outcome().differences(told) == []
        assert_current(place, told)
        assert end(worker, signal.SIGTERM) == 0
    finally:
        roles.close()


@pytest.mark.slow
def test_all_of_it_encrypted(
    guarded: Guarded, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Sent, applied and published over TLS with name and password, the end is the same."""
    stack, address = guarded.stack, guarded.kafka.encrypted
    settings = msgspec.structs.replace(BASE, namespace=namespace)
    kafka = KafkaSettings(bootstrap=stack.kafka, partitions=2, retention_days="forever")
    place = Place(settings, kafka, stack.redis)
    place.create()
    (tmp_path / "model.json").write_bytes(msgspec.json.encode(fixed_model()))
    extra = (
        'security_protocol = "SASL_SSL"\nsasl_username = "shop"\n'
        f'ssl_cafile = "{guarded.certificate.certificate}"\n'
    )
    asks = Place(
        settings, msgspec.structs.replace(kafka, bootstrap=address), guarded.redis.encrypted
    )
    roles = Roles(asks, tmp_path, tmp_path / "model.json", extra)
    parsed = [(parse_json(row.value), row) for row in rows(60, 20, seed=7)]
    good = [(epoch_ms(event.ts), row) for event, row in parsed if isinstance(event, Event)]
    log = [row for _, row in sorted(good, key=itemgetter(0))]  # as a file is sent
    feed, config = tmp_path / "feed.jsonl", tmp_path / f"{namespace}.toml"
    feed.write_bytes(b"".join(row.value + b"\n" for row in log))
    send = ["send", str(feed), "--config", str(config), "--bootstrap", address]
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    refused = CliRunner().invoke(producers, send)
    assert isinstance(refused.exception, SourceError)
    assert "kafka.security_protocol" in str(refused.exception)
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    refused = CliRunner().invoke(producers, send)
    assert "or shop may not see it" in str(refused.exception)
    allow(stack.kafka, "TOPIC", f"{namespace}.", "ALL", prefixed=True)
    allow(stack.kafka, "GROUP", f"{namespace}-", "READ", prefixed=True)
    allow(stack.kafka, "TRANSACTIONAL_ID", f"{namespace}-", "ALL", prefixed=True)
    try:
        sent = CliRunner().invoke(producers, send)
        assert sent.exit_code == 0, (sent.output, sent.exception)
        assert f"the topic has {len(log):,} more" in sent.output
        worker = roles.add("w")
        place.sent = [
            Sent(r.partition, r.offset, log[0]) for r in place.read(place.names.transactions)
        ]
        told = expected(settings, log, fixed_model())
        place.wait(told.clock_minute, PATIENCE_S, roles.check)
        assert place.outcome().differences(told) == []
        assert_current(place, told)
        assert end(worker, signal.SIGTERM) == 0
    finally:
        roles.close()


TLS = msgspec.structs.replace(
    KafkaSettings(), security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512",
    sasl_username="shop",
)  # fmt: skip


def test_settings_reach_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encryption, name and password are arguments of every client."""
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    given = connection(TLS)
    assert isinstance(given.pop("ssl_context"), ssl.SSLContext)
    assert given == {
        "bootstrap_servers": ["127.0.0.1:9092"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "shop",
        "sasl_plain_password": PASSWORD,
    }


def test_nothing_is_asked_by_default() -> None:
    """A broker that asks for nothing is given an address."""
    assert connection(KafkaSettings()) == {
        "bootstrap_servers": ["127.0.0.1:9092"],
        "security_protocol": "PLAINTEXT",
    }


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without password, certificates or name the message says which setting."""
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=f"kafka.sasl_username.*{PASSWORD_VARIABLE}"):
        connection(TLS)
    with pytest.raises(ConfigError, match=r"kafka\.ssl_cafile.*nowhere\.pem"):
        connection(msgspec.structs.replace(TLS, ssl_cafile="nowhere.pem"))
    with pytest.raises(ConfigError, match=r"kafka\.sasl_username"):
        check_kafka(msgspec.structs.replace(TLS, sasl_username=""), "shop", 91.0)


def test_encrypted_redis() -> None:
    """`rediss://` with a name and a password is a Redis as any other."""
    options = connect("rediss://me:secret@cache:6380/2").connection_pool
    assert options.connection_class is SSLConnection
    assert options.connection_kwargs["username"] == "me"
    assert options.connection_kwargs["password"] == "secret"  # noqa: S105
