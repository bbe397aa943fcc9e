"""The parts of the stack: what each needs, how it starts, and when it answers."""

import base64
import shutil
import socket
import struct
import subprocess
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Protocol

from deploy.local.jars import kafka_jars
from deploy.local.process import MissingError, StackError

HOST: Final = "127.0.0.1"
_ANSWER_S: Final = 2.0
_HEAP: Final = ("-Xms96m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class Part(Protocol):
    """One service of the stack."""

    name: str
    port_count: int
    stop_patience_s: float

    def address(self, ports: Sequence[int]) -> str:
        """What a client is told."""
        ...

    def prepare(self, folder: Path, ports: Sequence[int]) -> None:
        """Write what the first start needs; raises `StackError` where a program is missing."""
        ...

    def command(self, folder: Path, ports: Sequence[int]) -> list[str]:
        """Return the command line."""
        ...

    def answers(self, ports: Sequence[int]) -> bool:
        """Whether it takes requests."""
        ...


def program(name: str, package: str) -> str:
    """Path of a program.

    Raises
    ------
    MissingError
    """
    found = shutil.which(name)
    if found is None:
        raise MissingError(f"expected {name}, found none; on Debian: apt-get install {package}")
    return found


class Redis:
    """Redis as Segstream wants it: every answer is on disk, nothing is ever evicted."""

    name = "redis"
    port_count = 1
    stop_patience_s = 10.0
    settings: ClassVar[Mapping[str, str]] = {
        "appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction",
        "auto-aof-rewrite-min-size": "512mb",
        "save": '""',
    }  # fmt: skip

    def address(self, ports: Sequence[int]) -> str:
        """URL of the server."""
        return f"redis://{HOST}:{ports[0]}"

    def prepare(self, folder: Path, ports: Sequence[int]) -> None:
        """Write redis.conf."""
        program("redis-server", "redis-server")
        settings = {
            "bind": HOST,
            "port": ports[0],
            "dir": folder,
            "daemonize": "no",
            **self.settings,
        }
        lines = [f"{key} {value}\n" for key, value in settings.items()]
        (folder / "redis.conf").write_text("".join(lines), "utf-8")

    def command(self, folder: Path, ports: Sequence[int]) -> list[str]:
        """Return the command line."""
        del ports
        return [program("redis-server", "redis-server"), str(folder / "redis.conf")]

    def answers(self, ports: Sequence[int]) -> bool:
        """PING; a server that still loads its file answers with an error."""
        return _asked(ports[0], b"PING\r\n", 7) == b"+PONG\r\n"


class Kafka:
    """Kafka, one node, broker and controller (KRaft).

    Parameters
    ----------
    properties
        Added to the broker's, or in their place.
    """

    name = "kafka"
    port_count = 2
    stop_patience_s = 15.0

    def __init__(self, properties: Mapping[str, str] | None = None) -> None:
        self._own = dict(properties or {})

    def address(self, ports: Sequence[int]) -> str:
        """The `host:port` to bootstrap from."""
        return f"{HOST}:{ports[0]}"

    def prepare(self, folder: Path, ports: Sequence[int]) -> None:
        """Write server.properties and format the log directory."""
        properties = broker_properties(folder / "log", *ports) | self._own
        lines = [f"{key}={value}\n" for key, value in properties.items()]
        (folder / "server.properties").write_text("".join(lines), "utf-8")
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # An id may begin with a dash, which the tool would read as an option.
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c"]
        done = subprocess.run(  # noqa: S603 - our own command line, no shell
            [*_java(), *tool, str(folder / "server.properties")],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        if done.returncode:
            raise StackError(f"expected Kafka to format {folder / 'log'}, got:\n{done.stderr}")

    def command(self, folder: Path, ports: Sequence[int]) -> list[str]:
        """Return the command line."""
        del ports
        return [*_java(), "kafka.Kafka", str(folder / "server.properties")]

    def answers(self, ports: Sequence[int]) -> bool:
        """Ask for metadata: the broker must know of a broker, itself."""
        return _brokers(ports[0]) > 0


class Prometheus:
    """Prometheus, scraping whatever is listed in its folder `targets`.

    Parameters
    ----------
    files
        Written to its folder; a prometheus.yml among them stands in place of that one.
    """

    name = "prometheus"
    port_count = 1
    stop_patience_s = 10.0

    def __init__(self, files: Mapping[str, str] | None = None) -> None:
        self._files = dict(files or {})

    def address(self, ports: Sequence[int]) -> str:
        """URL of the server."""
        return f"http://{HOST}:{ports[0]}"

    def prepare(self, folder: Path, ports: Sequence[int]) -> None:
        """Write prometheus.yml."""
        del ports
        program("prometheus", "prometheus")
        (folder / "targets").mkdir()
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 5s, evaluation_interval: 5s}\n"
            "scrape_configs:\n"
            "  - job_name: segstream\n"
            f"    file_sd_configs: [{{files: ['{folder}/targets/*.json']}}]\n",
            "utf-8",
        )
        for name, text in self._files.items():
            (folder / name).write_text(text, "utf-8")

    def command(self, folder: Path, ports: Sequence[int]) -> list[str]:
        """Return the command line."""
        return [
            program("prometheus", "prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address={HOST}:{ports[0]}",
        ]

    def answers(self, ports: Sequence[int]) -> bool:
        """Ask /-/ready."""
        try:
            with urllib.request.urlopen(
                f"http://{HOST}:{ports[0]}/-/ready", timeout=_ANSWER_S
            ) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def broker_properties(log: Path, port: int, controller_port: int) -> dict[str, str]:
    """Return what a single small broker for tests needs; the rest is Kafka's default."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(log),
        # A missing topic is an error, not a topic with one partition.
        "auto.create.topics.enable": "false",
        "num.partitions": "4",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # Nobody else joins: do not wait for them.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # A killed broker registers again only when its former session is over (default: 9 s).
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
        # A killed producer's transaction is aborted soon after its own timeout.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        # The default, 128 MiB, is half of the heap.
        "log.cleaner.dedupe.buffer.size": str(16 << 20),
        "num.network.threads": "2",
        "num.io.threads": "2",
        "background.threads": "2",
        "controlled.shutdown.enable": "false",
    }


def _java() -> list[str]:
    java = program("java", "openjdk-17-jre-headless")
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    dated = "-Dorg.slf4j.simpleLogger.showDateTime=true"
    return [java, *_HEAP, quiet, dated, "-cp", f"{kafka_jars()}/*"]


def _brokers(port: int) -> int:
    """Brokers in the answer to a metadata request (version 4, no topics); 0 without an answer."""
    client = b"stack"
    body = struct.pack(">hhih", 3, 4, 1, len(client)) + client + struct.pack(">i?", 0, False)
    # Length, correlation id, throttle time, number of brokers.
    answer = _asked(port, struct.pack(">i", len(body)) + body, 16)
    return int(struct.unpack(">iiii", answer)[3]) if len(answer) == 16 else 0


def _asked(port: int, question: bytes, size: int) -> bytes:
    """First bytes of the answer to a question; fewer where the server is not there."""
    answer = b""
    try:
        with socket.create_connection((HOST, port), timeout=_ANSWER_S) as wire:
            wire.sendall(question)
            while len(answer) < size and (more := wire.recv(size - len(answer))):
                answer += more
    except OSError:
        return b""
    return answer
