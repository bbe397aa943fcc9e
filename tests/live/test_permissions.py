"""Names, passwords and rights: what reaches the clients, and what is said where one is missing."""

import signal
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from deploy.local.local_stack import LocalStack
from deploy.local.parts import HOST, Kafka
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
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import Roles, end
from tests.live.chaos.shop import BASE, expected, fixed_model, rows
from tests.needed import running

from segstream.adapters.faust_app import new_app
from segstream.adapters.kafka_clients import connection
from segstream.adapters.redis_store import connect
from segstream.errors import ConfigError
from segstream.kafka_settings import PASSWORD_VARIABLE, KafkaSettings, check_kafka
from segstream.settings import Settings

PATIENCE_S = 120.0
PASSWORD = "open sesame"  # noqa: S105 - of a broker that lives as long as the test


class GuardedKafka(Kafka):
    """A broker with a second listener that asks for name and password, and for rights."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.guarded = f"{HOST}:{port}"

    def prepare(self, folder: Path, ports: Sequence[int]) -> None:
        both = f"PLAINTEXT://{HOST}:{ports[0]},SASL_PLAINTEXT://{self.guarded}"
        self._own = {
            "listeners": f"{both},CONTROLLER://{HOST}:{ports[1]}",
            "advertised.listeners": both,
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT"
            ),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
                "org.apache.kafka.common.security.plain.PlainLoginModule required "
                f'user_shop="{PASSWORD}";'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
        super().prepare(folder, ports)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalStack, str]]:
    """A stack of its own, and the address that asks who you are."""
    local = LocalStack(tmp_path_factory.mktemp("guarded") / "stack")
    kafka = GuardedKafka(free_ports(1)[0])
    local._parts["kafka"] = kafka
    with running(local):
        yield local, kafka.guarded


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
    guarded: tuple[LocalStack, str], namespace: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A worker says what it lacks, with the commands that give it; once given, it works."""
    stack, address = guarded
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
        current = names.current_segment
        until(lambda: len(place.read(current)) == len(told.changes), PATIENCE_S)
        assert end(worker, signal.SIGTERM) == 0
    finally:
        roles.close()


TLS = msgspec.structs.replace(
    KafkaSettings(), security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512",
    sasl_username="shop",
)  # fmt: skip


def test_settings_reach_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encryption, name and password are arguments of every client, Faust's included."""
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
    found: Any = new_app(Settings(), TLS, [], []).conf.broker_credentials
    assert (found.username, found.password) == ("shop", PASSWORD)
    assert (found.protocol.value, found.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-512")
    assert found.ssl_context is not None


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
