"""The local stack: Redis, Kafka and, if asked, Prometheus, on free loopback ports.

::

    FOLDER/stack.json     which parts, their ports, their processes
    FOLDER/<part>/        configuration and data
    FOLDER/<part>.log     what it said

Nothing outside the folder is written, but for Kafka's jars in the cache; `down` removes it.
"""

import json
import shutil
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final

from deploy.local.parts import Kafka, Part, Prometheus, Redis
from deploy.local.process import (
    Running,
    StackError,
    end,
    free_ports,
    is_alive,
    kill,
    reap,
    start,
    tail,
    wait_until,
)
from deploy.local.watchdog import Watchdog

STATE: Final = "stack.json"
# A broker starts in 4 s; a machine whose cores are all taken needs several times that.
START_PATIENCE_S: Final = 90.0


@dataclass(frozen=True)
class Placed:
    """A part in its place: its ports, and its process once it has one."""

    ports: tuple[int, ...]
    process: Running | None = None


@dataclass(frozen=True)
class Status:
    """How a part is; `alive` is its process, `answers` what a client would see."""

    name: str
    address: str
    pid: int | None
    alive: bool
    answers: bool


class LocalStack:
    """Real services for tests, benchmarks and people without Docker.

    As a context manager it is up inside and gone after, also when who entered is killed. Started by
    `up` alone it stays. A part that was killed comes back on the
    same ports with the same data.

    Parameters
    ----------
    folder
        A directory of its own; made by `up`, removed by `down`.
    prometheus
        Whether to start Prometheus too.
    prometheus_files
        Files of its folder, prometheus.yml among them; what is found in `targets` where absent.
    kafka_properties
        Broker properties added to those of `segstream`'s, or in their place.

    Examples
    --------
    ::

        with LocalStack(tmp_path / "stack") as stack:
            admin = KafkaAdminClient(bootstrap_servers=stack.kafka)
            stack.kill_broker()
            stack.restart_broker()
    """

    def __init__(
        self,
        folder: Path,
        *,
        prometheus: bool = False,
        prometheus_files: Mapping[str, str] | None = None,
        kafka_properties: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self._placed = self._read()
        parts: list[Part] = [Redis(), Kafka(kafka_properties)]
        if prometheus or Prometheus.name in self._placed:
            parts.append(Prometheus(prometheus_files))
        self._parts = {part.name: part for part in parts}
        self._watchdog: Watchdog | None = None

    def __enter__(self) -> "LocalStack":
        self._watchdog = Watchdog(self.folder)
        try:
            self.up()
        except BaseException:
            self._watchdog.dismiss()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()
        if self._watchdog is not None:
            self._watchdog.dismiss()

    @property
    def kafka(self) -> str:
        """`host:port` to bootstrap from."""
        return self._address("kafka")

    @property
    def redis(self) -> str:
        """URL of Redis."""
        return self._address("redis")

    @property
    def prometheus(self) -> str:
        """URL of Prometheus."""
        return self._address("prometheus")

    def up(self) -> None:
        """Start what does not run, and wait until every part answers.

        Raises
        ------
        StackError
            With the remedy, and the end of the failing part's log. Of a first start nothing
            stays behind then; a stack that was up before keeps its data.
        """
        fresh = not self._placed
        if fresh and self.folder.exists() and any(self.folder.iterdir()):
            raise StackError(
                f"expected {self.folder} to be empty or a stack's, got other files; name another"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in self._parts:
                self._launch(name)
            for name in self._parts:
                self._wait(name)
        except BaseException:
            if fresh:
                self.down()
            raise

    def down(self) -> None:
        """End every part and remove the folder; nothing where there is no stack."""
        for name, placed in self._placed.items():
            if placed.process is not None:
                end(placed.process, self._part(name).stop_patience_s)
        if self._placed:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._placed = {}

    def status(self) -> list[Status]:
        """How each part is."""
        return [self._status(name) for name in self._placed]

    def pid(self, name: str) -> int:
        """Process id of a part, for signals such as SIGSTOP."""
        return self._process(name).pid

    def kill(self, name: str) -> None:
        """SIGKILL a part and wait until it is gone; its data stays."""
        process = self._process(name)
        kill(process, signal.SIGKILL)
        wait_until(lambda: not is_alive(process), START_PATIENCE_S)
        reap(process)

    def restart(self, name: str) -> None:
        """Start a part again where it was, and wait until it answers."""
        self._launch(name)
        self._wait(name)

    def kill_broker(self) -> None:
        """SIGKILL Kafka."""
        self.kill("kafka")

    def restart_broker(self) -> None:
        """Start Kafka again."""
        self.restart("kafka")

    def kill_redis(self) -> None:
        """SIGKILL Redis."""
        self.kill("redis")

    def restart_redis(self) -> None:
        """Start Redis again."""
        self.restart("redis")

    def _launch(self, name: str) -> None:
        """Start a part unless it runs; its first time it is prepared."""
        part, placed = self._parts[name], self._placed.get(name)
        if placed is not None and placed.process is not None and is_alive(placed.process):
            return
        own = self.folder / name
        if placed is None:
            placed = Placed(tuple(free_ports(part.port_count)))
            self._write(name, placed)
        if placed.process is None:
            shutil.rmtree(own, ignore_errors=True)
            own.mkdir()
            part.prepare(own, placed.ports)
        process = start(part.command(own, placed.ports), self._log(name))
        self._write(name, replace(placed, process=process))

    def _wait(self, name: str) -> None:
        part, placed = self._parts[name], self._placed[name]
        process = self._process(name)

        def settled() -> bool:
            return part.answers(placed.ports) or not is_alive(process)

        if not wait_until(settled, START_PATIENCE_S) or not is_alive(process):
            raise StackError(
                f"expected {name} to answer at {part.address(placed.ports)} within"
                f" {START_PATIENCE_S:.0f} s, it did not; the end of its log:\n"
                f"{tail(self._log(name))}"
            )

    def _status(self, name: str) -> Status:
        part, placed = self._part(name), self._placed[name]
        alive = placed.process is not None and is_alive(placed.process)
        return Status(
            name=name,
            address=part.address(placed.ports),
            pid=placed.process.pid if placed.process and alive else None,
            alive=alive,
            answers=alive and part.answers(placed.ports),
        )

    def _part(self, name: str) -> Part:
        return self._parts[name]

    def _address(self, name: str) -> str:
        if name not in self._placed:
            raise StackError(f"expected {name} to be up, it is not; start it with `up`")
        return self._part(name).address(self._placed[name].ports)

    def _process(self, name: str) -> Running:
        process = self._placed[name].process if name in self._placed else None
        if process is None:
            raise StackError(f"expected {name} to be started, it is not; start it with `up`")
        return process

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _read(self) -> dict[str, Placed]:
        path = self.folder / STATE
        if not path.exists():
            return {}
        found = json.loads(path.read_text("utf-8"))
        return {
            name: Placed(tuple(one["ports"]), Running(**one["process"]) if one["process"] else None)
            for name, one in found.items()
        }

    def _write(self, name: str, placed: Placed) -> None:
        self._placed[name] = placed
        path = self.folder / STATE
        new = path.with_suffix(".new")
        new.write_text(json.dumps({n: asdict(p) for n, p in self._placed.items()}), "utf-8")
        new.replace(path)
