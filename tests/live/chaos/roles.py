"""`segstream worker` and `segstream trainer` as processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from deploy.local.process import LEASH
from tests.live.chaos.place import Place

SEGSTREAM: Final = Path(sys.executable).with_name("segstream")


class Roles:
    """`segstream worker` and `segstream trainer` as processes."""

    def __init__(self, place: Place, folder: Path, model: Path | None, extra: str = "") -> None:
        self._place, self._folder, self._model = place, folder, model
        self._config = folder / f"{place.namespace}.toml"
        self._config.write_text(config_text(place) + extra, "utf-8")
        self._paths: list[Path] = []
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.trainers: list[subprocess.Popen[bytes]] = []

    def add(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker; a name that was there before is the same static member."""
        model = ["--model", str(self._model)] if self._model else []
        made = self._start(f"worker-{name}", "worker", "--instance", name, *model, *options)
        self.workers[name] = made
        return made

    def add_up(self, *options: str) -> subprocess.Popen[bytes]:
        """Start worker and trainer in one process."""
        made = self._start("up", "up", *options)
        self.workers["up"] = made
        return made

    def add_trainer(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a trainer."""
        self.trainers.append(self._start("trainer", "trainer", *options))
        return self.trainers[-1]

    def add_serve(self, port: int) -> subprocess.Popen[bytes]:
        """Start the HTTP API on loopback."""
        self.trainers.append(self._start("serve", "serve", "--port", str(port)))
        return self.trainers[-1]

    def log(self, number: int = 0) -> str:
        """What a process said; the last one started, unless told which."""
        return self._paths[number - 1].read_text()

    def _start(self, log: str, role: str, *options: str) -> subprocess.Popen[bytes]:
        path = self._folder / f"{self._place.namespace}-{len(self._paths) + 1}-{log}.log"
        self._paths.append(path)
        command = [*LEASH, str(SEGSTREAM), role, "--config", str(self._config), *options]
        env = os.environ | {
            "SEGSTREAM_KAFKA": self._place.kafka.bootstrap,
            "SEGSTREAM_REDIS": self._place.redis,
        }
        with path.open("ab") as out:
            return subprocess.Popen(command, env=env, stdout=out, stderr=out)

    def check(self) -> None:
        """Fail where a role has ended by itself."""
        for process in (*self.workers.values(), *self.trainers):
            code = process.poll()
            assert code is None, f"{process.args!r} ended with {code}; see {self._folder}"

    def close(self) -> None:
        """End everything."""
        for process in (*self.workers.values(), *self.trainers):
            end(process, signal.SIGKILL)


def end(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """Send a signal and wait; returns the exit code, below 0 for a signal."""
    process.send_signal(number)
    return process.wait(60)


def config_text(place: Place) -> str:
    """Settings as a file."""
    settings, kafka = place.settings, place.kafka
    return (
        f'namespace = "{place.namespace}"\ncurrency = "{settings.currency}"\n'
        f"batch_bytes = {settings.batch_bytes}\n[kafka]\npartitions = {kafka.partitions}\n"
        f'retention_days = "forever"\nsession_timeout_ms = {kafka.session_timeout_ms}\n'
    )
