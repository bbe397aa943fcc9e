"""The services of docker-compose.yml as processes: started, killed, started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.process import LEASH, free_ports, tail, wait_until
from tests.stack.compose import ROOT, Service
from tests.stack.place import METRICS_PORT, PORTS, Place

IMAGE: Final = ROOT / "deploy/image"
# A look is a process or a request: more of them would take the time that they wait for.
LOOK_S: Final = 0.5
_BIN: Final = Path(sys.executable).parent


@dataclass
class Member:
    """One container's worth of a service."""

    service: Service
    number: int
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def name(self) -> str:
        """As Compose names it."""
        return f"{self.service.name}-{self.number}"


class Crew:
    """Processes by name, each with the command and the environment of its service.

    They are killed when this process ends without `close`.

    Parameters
    ----------
    ports
        Of each service's replicas, as `ports_of` found them.
    kernels
        A folder that the image's compile.sh filled: the entry point copies it, as in a container.
        None where the checkout's own cache serves.
    """

    def __init__(
        self, services: Mapping[str, Service], place: Place, ports: Mapping[str, Sequence[int]],
        kernels: Path | None = None,
    ) -> None:  # fmt: skip
        self._services, self._place, self._kernels = services, place, kernels
        self._ports, self.members = ports, dict[str, Member]()

    @property
    def folder(self) -> Path:
        """Where logs, volumes and configuration are."""
        return self._place.folder

    @staticmethod
    def ports_of(services: Mapping[str, Service]) -> dict[str, list[int]]:
        """A free port for each replica of each service."""
        return {name: free_ports(one.replicas) for name, one in services.items()}

    def of(self, name: str) -> list[Member]:
        """The members of a service."""
        return [one for one in self.members.values() if one.service.name == name]

    def start(self, name: str) -> list[Member]:
        """Start every replica of a service."""
        return [self.start_one(name, n) for n in range(1, self._services[name].replicas + 1)]

    def start_one(self, name: str, number: int) -> Member:
        """Start a replica; what it says is appended to its log."""
        service, port = self._services[name], self._ports[name][number - 1]
        log = self._place.folder / f"{name}-{number}.log"
        words = [self._words(word, name, port) for word in service.command]
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*self._entry(), *words],
                env=self._environment(service, f"{name}-{number}"),
                cwd=self._place.folder, stdout=out, stderr=out,
            )  # fmt: skip
        member = Member(service, number, port, process, log)
        self.members[member.name] = member
        return member

    def run(self, name: str, *words: str, patience_s: float = 120.0) -> str:
        """Run a service to its end, with other words where given; returns what it said.

        Raises
        ------
        AssertionError
            It failed.
        """
        service = self._services[name]
        command = [self._place.local(word) for word in (words or service.command)]
        done = subprocess.run(
            [*self._entry(), *command], env=self._environment(service, name),
            cwd=self._place.folder, capture_output=True, text=True, timeout=patience_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def wait_healthy(self, name: str, patience_s: float = 120.0) -> None:
        """Wait until the image's health check is content with each replica of a service."""
        for member in self.of(name):
            settled = wait_until(
                lambda m=member: healthy(m) or self.ended(m),  # type: ignore[misc]
                patience_s, LOOK_S,
            )  # fmt: skip
            assert settled, f"{member.name} is not healthy: {tail(member.log)}"
            assert not self.ended(member), f"{member.name} ended: {tail(member.log)}"

    def kill(self, name: str) -> Member:
        """SIGKILL a member."""
        member = self.members[name]
        member.process.send_signal(signal.SIGKILL)
        member.process.wait(30)
        return member

    def restart(self, name: str) -> Member:
        """Start a killed member again, as `restart: unless-stopped` does."""
        member = self.members[name]
        return self.start_one(member.service.name, member.number)

    def check(self) -> None:
        """Fail where a member has ended by itself."""
        for member in self.members.values():
            assert not self.ended(member), f"{member.name} ended: {tail(member.log)}"

    def compiled(self) -> list[str]:
        """Kernels that a member had to compile itself; none where the image has them all."""
        if self._kernels is None:
            return []
        known = {path.name for path in self._kernels.rglob("*.nbc")}
        copies = self.folder.glob("kernels-*/**/*.nbc")
        return sorted(
            str(path.relative_to(self.folder)) for path in copies if path.name not in known
        )

    def close(self, patience_s: float = 25.0) -> None:
        """End everything, asking first."""
        for member in self.members.values():
            member.process.send_signal(signal.SIGTERM)
        for member in self.members.values():
            try:
                member.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                member.process.kill()
                member.process.wait(30)

    @staticmethod
    def ended(member: Member) -> bool:
        """Whether a process has ended other than well."""
        return member.process.poll() not in (None, 0)

    def _words(self, word: str, name: str, port: int) -> str:
        for other, theirs in PORTS.items():
            word = word.replace(f"{other}:{theirs}", f"127.0.0.1:{self._ports[other][0]}")
        return self._place.local(word).replace(PORTS.get(name, METRICS_PORT), str(port))

    def _entry(self) -> list[str]:
        entry = [] if self._kernels is None else ["sh", str(IMAGE / "entry.sh")]
        return [*LEASH, *entry]

    def _environment(self, service: Service, name: str) -> dict[str, str]:
        own = {key: self._place.local(value) for key, value in service.environment.items()}
        own["PATH"] = program_path()
        if self._kernels is not None:
            own |= {
                "NUMBA_CPU_NAME": "generic",
                "NUMBA_CACHE_DIR": str(self._place.folder / f"kernels-{name}"),
                "SEGSTREAM_KERNELS": str(self._kernels),
            }
        return os.environ | own


def program_path() -> str:
    """PATH with this environment's programs first, as in the image."""
    return f"{_BIN}:{os.environ['PATH']}"


def healthy(member: Member) -> bool:
    """What the service's own health check says, else the image's."""
    service = member.service
    own = service.health[-1] if service.health else f"http://127.0.0.1:{METRICS_PORT}/readyz"
    url = own.replace(PORTS.get(service.name, METRICS_PORT), str(member.port))
    command = [sys.executable, "-IS", str(IMAGE / "health.py"), url]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
