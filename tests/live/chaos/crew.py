"""Workers as processes: started, signalled, awaited."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from tests.live.chaos.place import Place, until

ROOT = Path(__file__).resolve().parents[3]


class Crew:
    """The process that forks workers, or others; see `driver` and `campaign_driver`."""

    def __init__(self, folder: Path, script: str = "driver.py") -> None:
        self._folder = folder
        self._alive: set[int] = set()
        self._made = 0
        driver = Path(__file__).with_name(script)
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, str(driver)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def _ask(self, line: str) -> int:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return int(self._read())

    def start(self, place: Place, **job: Any) -> int:
        """Start a worker; returns its process id."""
        self._made += 1
        settings = msgspec.structs.replace(place.settings, kafka=place.kafka)
        plain = {
            "settings": msgspec.to_builtins(settings),
            "redis": place.redis,
            "log": str(self._folder / f"{self._made}.log"),
        }
        pid = self._ask(json.dumps(plain | job))
        self._alive.add(pid)
        return pid

    def wait(self, pid: int) -> int:
        """Exit code, below 0 for a signal."""
        self._alive.discard(pid)
        return self._ask(f"wait {pid}")

    def end(self, pid: int, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; returns the exit code."""
        os.kill(pid, number)
        return self.wait(pid)

    def log(self) -> str:
        """What the last worker said."""
        path = self._folder / f"{self._made}.log"
        return path.read_text() if path.exists() else ""

    def passed(self) -> dict[str, int]:
        """How often the last worker came past each point."""
        path = self._folder / f"{self._made}.passed"
        found: dict[str, int] = json.loads(path.read_text())
        return found

    def check(self) -> None:
        """Fail where a worker has ended by itself."""
        for pid in self._alive:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            assert state != "Z", f"worker {pid} ended: {self.log()}"

    def clear(self) -> None:
        """Kill the workers that a test left."""
        for pid in list(self._alive):
            self.end(pid, signal.SIGKILL)

    def close(self) -> None:
        """End everything."""
        with suppress(BrokenPipeError):
            self.clear()
            self._process.communicate(timeout=120)


def wait_dead(pid: int, patience_s: float) -> float:
    """Seconds until a process is gone or a zombie."""
    begun = time.monotonic()

    def gone() -> bool:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return True
        return stat.rpartition(")")[2].split()[0] == "Z"

    until(gone, patience_s)
    return time.monotonic() - begun
