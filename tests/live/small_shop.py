"""A small shop on two partitions, and how its worker is while something is away."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import Roles, end
from tests.live.chaos.shop import BASE, Expected, Row, expected, fixed_model, rows

from segstream.kafka_settings import KafkaSettings

PATIENCE_S: Final = 90.0
AWAY_S: Final = 4.0
# A role that waits may use a twentieth of a core, and say a line a second.
MAX_CPU_SHARE: Final = 0.25
MAX_LINES: Final = 20


def place_of(kafka: str, redis: str, namespace: str) -> Place:
    """Two partitions, not created yet."""
    settings = KafkaSettings(
        bootstrap=kafka, partitions=2, retention_days="forever", session_timeout_ms=6_000
    )
    return Place(
        msgspec.structs.replace(BASE, namespace=namespace, batch_bytes=1_000), settings, redis
    )


def roles_of(place: Place, folder: Path) -> Roles:
    """Workers that keep to a model."""
    (folder / "model.json").write_bytes(msgspec.json.encode(fixed_model()))
    return Roles(place, folder, folder / "model.json")


def shop() -> list[Row]:
    """Six weeks."""
    return rows(120, 40, seed=21)


def fill(place: Place) -> Expected:
    """Create the topics and send everything."""
    place.create()
    place.send(shop())
    return expected(place.settings, shop(), fixed_model())


def finish(place: Place, roles: Roles, told: Expected) -> None:
    """All is applied, as if nothing had happened, and the workers stop when asked."""
    place.wait(told.clock_minute, PATIENCE_S, roles.check)
    assert place.outcome().differences(told) == []
    assert [end(worker, signal.SIGTERM) for worker in roles.workers.values()] == [0] * len(
        roles.workers
    )


def begun(place: Place, roles: Roles) -> None:
    """Wait until batches are committed."""
    until(lambda: int(place.meta(0).get(b"batch", 0)) > 3, PATIENCE_S, roles.check)


def notices(roles: Roles, before: int = 0) -> None:
    """Wait until the worker has said that something is away, after so much of its log.

    The group's coordinator of a broker that is new is away for a moment too.
    """
    until(lambda: "trying again" in roles.log()[before:], PATIENCE_S, roles.check)


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waits_calmly(process: subprocess.Popen[bytes], said: Callable[[], str]) -> None:
    """While something is away: no busy loop, in neither time nor words."""
    time.sleep(1.0)
    used, lines = cpu_s(process), said().count("\n")
    time.sleep(AWAY_S)
    assert (cpu_s(process) - used) / AWAY_S < MAX_CPU_SHARE
    assert said().count("\n") - lines < MAX_LINES
