"""Kafka and Redis away, full or refusing: said once, waited for calmly, and nothing is lost."""

import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deploy.local.local_stack import LocalStack
from deploy.local.parts import HOST
from deploy.local.parts import Redis as RedisPart
from deploy.local.process import Running, free_ports, is_alive, start, wait_until
from deploy.local.process import end as end_server
from redis import Redis
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import Roles, end
from tests.live.small_shop import (
    PATIENCE_S,
    begun,
    fill,
    finish,
    notices,
    place_of,
    roles_of,
    waits_calmly,
)

pytestmark = pytest.mark.slow

DISK = "6m"


@pytest.fixture
def place(stack: LocalStack, namespace: str) -> Place:
    return place_of(stack.kafka, stack.redis, namespace)


@pytest.fixture
def roles(place: Place, tmp_path: Path) -> Iterator[Roles]:
    made = roles_of(place, tmp_path)
    yield made
    made.close()


@contextmanager
def away(stack: LocalStack, part: str) -> Iterator[None]:
    stack.kill(part)
    try:
        yield
    finally:
        stack.restart(part)


@pytest.mark.parametrize("part", ["kafka", "redis"])
def test_away_at_the_start(stack: LocalStack, place: Place, roles: Roles, part: str) -> None:
    """A worker waits for a broker or a Redis that is away, and says so once."""
    told = fill(place)
    with away(stack, part):
        worker = roles.add("w")
        notices(roles)
        waits_calmly(worker, roles.log)
        # A broker that was never asked for a group makes the topic of offsets first: said, too.
        said = [line for line in roles.log().splitlines() if "trying again" in line]
        assert len([line for line in said if "CoordinatorNotAvailable" not in line]) == 1, said
    finish(place, roles, told)


@pytest.mark.parametrize("part", ["kafka", "redis"])
def test_away_midway(stack: LocalStack, place: Place, roles: Roles, part: str) -> None:
    """One that goes and comes back costs time, nothing else."""
    told = fill(place)
    worker = roles.add("w")
    begun(place, roles)
    with away(stack, part):
        waits_calmly(worker, roles.log)
    finish(place, roles, told)
    if part == "redis":
        assert "trying again" in roles.log()


def ready(port: int) -> tuple[int, str]:
    """Status and words of a role's /readyz; 0 where nobody listens yet."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_trainers_are_ready_after_an_outage_at_the_start(
    stack: LocalStack, place: Place, roles: Roles
) -> None:
    """Of two trainers that met no broker both are ready when it comes, the standby too."""
    place.create()
    ports = free_ports(2)
    with away(stack, "kafka"):
        trainers = [roles.add_trainer("--metrics-port", str(port)) for port in ports]
        for port in ports:
            until(lambda p=port: "is away" in ready(p)[1], PATIENCE_S, roles.check)  # type: ignore[misc]
        assert [ready(port)[0] for port in ports] == [503, 503]
    for port in ports:
        until(lambda p=port: ready(p) == (200, "ready\n"), PATIENCE_S, roles.check)  # type: ignore[misc]
    assert [end(trainer, signal.SIGTERM) for trainer in trainers] == [0, 0]


def said_once(words: str) -> None:
    """One line when it began, one when it was over."""
    assert words.count("trying again") == words.count("works again") == 1, words


REFUSALS = {
    "OOM": ("CONFIG SET maxmemory 1mb", "CONFIG SET maxmemory 0"),
    "NOREPLICAS": ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    # Of a primary that nobody can reach: what it holds it keeps.
    "READONLY": (f"REPLICAOF {HOST} 1", "REPLICAOF NO ONE"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_redis_refuses_writes(place: Place, roles: Roles, refusal: str) -> None:
    """A Redis without memory, or that may not write, is waited for like one that is away.

    What is said names the cause once, and once that it works again.
    """
    wrong, right = (command.split() for command in REFUSALS[refusal])
    told = fill(place)
    worker = roles.add("w")
    begun(place, roles)
    before = len(roles.log())
    with Redis.from_url(place.redis) as redis:
        redis.execute_command(*wrong)
        try:
            notices(roles, before)
            waits_calmly(worker, roles.log)
        finally:
            redis.execute_command(*right)
    finish(place, roles, told)
    said_once(roles.log()[before:])
    assert CAUSES[refusal] in roles.log()


# redis-py drops the code from some answers and keeps the words.
CAUSES = {"OOM": "maxmemory", "NOREPLICAS": "NOREPLICAS", "READONLY": "read only replica"}


class SmallDisk:
    """A Redis of its own on a disk that can be filled."""

    def __init__(self, folder: Path, fsync: str) -> None:
        self._part, self._folder = RedisPart(), folder
        self._ports = free_ports(1)
        self._part.prepare(folder, self._ports)
        with (folder / "redis.conf").open("a") as config:
            config.write(f"appendfsync {fsync}\n")
        self.address = self._part.address(self._ports)
        self.process = self._start()

    def _start(self) -> Running:
        log = self._folder.with_suffix(".log")
        process = start(self._part.command(self._folder, self._ports), log)
        assert wait_until(lambda: self._part.answers(self._ports), PATIENCE_S), log.read_text()
        return process

    def fill(self) -> None:
        """Leave no room at all."""
        block = b"x" * 4096
        try:
            with (self._folder / "ballast").open("wb", buffering=0) as file:
                while file.write(block):
                    pass
        except OSError:
            return

    def mend(self) -> None:
        """Make room, and start the server where it has ended."""
        (self._folder / "ballast").unlink()
        if not is_alive(self.process):
            self.process = self._start()

    def close(self) -> None:
        end_server(self.process, 10.0)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_redis_disk_full(
    stack: LocalStack, namespace: str, tmp_path: Path, disk: Path, fsync: str
) -> None:
    """A full disk ends a Redis that syncs always and silences one that does not (MISCONF).

    Either way a worker waits, and goes on once there is room and a server.
    """
    redis = SmallDisk(disk, fsync)
    place = place_of(stack.kafka, redis.address, namespace)
    roles = roles_of(place, tmp_path)
    try:
        told = fill(place)
        worker = roles.add("w", "--relaxed")
        begun(place, roles)
        before = len(roles.log())
        redis.fill()
        notices(roles, before)
        waits_calmly(worker, roles.log)
        assert ("AOF" in roles.log()) == (fsync == "everysec")
        assert is_alive(redis.process) == (fsync == "everysec")
        redis.mend()
        finish(place, roles, told)
        said_once(roles.log()[before:])
    finally:
        roles.close()
        redis.close()
