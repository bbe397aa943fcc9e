"""The local stack: it comes, it answers, it goes, and ends nothing that is not its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from deploy.local.local_stack import STATE, LocalStack
from deploy.local.process import (
    Running,
    StackError,
    end,
    free_ports,
    is_alive,
    start,
    wait_until,
)

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "local" / "stack"


def script(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_up_and_down_leave_no_process_and_no_file(stack: LocalStack, tmp_path: Path) -> None:
    """`up` is idempotent, `env` names what answers, `down` leaves nothing."""
    assert stack.kafka  # what is missing on this machine was said by the fixture
    own = ("--dir", str(tmp_path / "own"))
    assert script("up", *own).returncode == 0
    try:
        begun = processes(tmp_path)
        assert script("up", *own).returncode == 0
        assert processes(tmp_path) == begun
        assert all(map(is_alive, begun))
        shown = script("status", *own)
        assert (shown.returncode, shown.stdout.count("answers")) == (0, 2)
        exports = script("env", *own).stdout
        assert "export SEGSTREAM_KAFKA=127.0.0.1:" in exports
        assert "export SEGSTREAM_REDIS=redis://127.0.0.1:" in exports
    finally:
        assert script("down", *own).returncode == 0
    assert list(tmp_path.iterdir()) == []
    assert not any(map(is_alive, begun))
    assert "no stack" in script("down", *own).stdout
    assert script("status", *own).returncode == 1
    assert script("env", *own).returncode == 1


def processes(tmp_path: Path) -> list[Running]:
    found: dict[str, Any] = json.loads((tmp_path / "own" / STATE).read_text("utf-8"))
    return [Running(**one["process"]) for one in found.values()]


@pytest.mark.slow
def test_a_stack_ends_with_its_killed_owner(stack: LocalStack, tmp_path: Path) -> None:
    """SIGKILL of a process inside `with LocalStack(...)` ends its servers and removes its files."""
    assert stack.kafka
    code = (
        "import sys; from pathlib import Path; from deploy.local.local_stack import LocalStack\n"
        "with LocalStack(Path(sys.argv[1])): print('up', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "own")],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        begun = processes(tmp_path)
        owner.kill()
    assert wait_until(lambda: not any(map(is_alive, begun)), 60.0)
    assert wait_until(lambda: not (tmp_path / "own").exists(), 60.0)


@pytest.mark.slow
def test_killed_parts_come_back_with_their_data(
    stack: LocalStack, make_topic: Callable[..., str], fill_topic: Callable[..., None],
    read_topic: Callable[[str], list[Any]],
) -> None:  # fmt: skip
    """After SIGKILL and a restart both have every acknowledged write, at the same address."""
    before = stack.kafka, stack.redis
    topic = make_topic("kept")
    fill_topic(topic, [(b"k", b"v", 1_000)])
    with redis.Redis.from_url(stack.redis) as client:
        client.set("kept", "v")
    stack.kill_broker()
    stack.kill_redis()
    assert [part.alive for part in stack.status()] == [False, False]
    stack.restart_redis()
    stack.restart_broker()
    assert (stack.kafka, stack.redis) == before
    assert [record.value for record in read_topic(topic)] == [b"v"]
    with redis.Redis.from_url(stack.redis) as client:
        assert client.get("kept") == b"v"
        settings = client.config_get("append*", "maxmemory-policy", "save")
    assert settings["appendfsync"] == "always"
    assert settings["appendonly"] == "yes"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["save"] == ""


@pytest.mark.slow
def test_failed_start_cleans_up_and_shows_the_log(stack: LocalStack, tmp_path: Path) -> None:
    """A broker that cannot start is reported with its own words, and nothing stays."""
    assert stack.kafka
    broken = LocalStack(tmp_path / "own", kafka_properties={"num.io.threads": "none"})
    with pytest.raises(StackError, match=r"num\.io\.threads"):
        broken.up()
    assert list(tmp_path.iterdir()) == []


def test_down_leaves_foreign_processes_alone(tmp_path: Path) -> None:
    """A pid that belongs to another process by now is not signalled."""
    folder = tmp_path / "own"
    (folder / "redis").mkdir(parents=True)
    sleeper = start(["sleep", "60"], tmp_path / "log")
    child = {
        "pid": sleeper.pid,
        "boot": sleeper.boot,
        "started": sleeper.started - 1,
        "program": sleeper.program,
    }
    (folder / STATE).write_text(json.dumps({"redis": {"ports": [1], "process": child}}))
    LocalStack(folder).down()
    try:
        assert not folder.exists()
        assert is_alive(sleeper)
    finally:
        end(sleeper, patience_s=10.0)


def test_foreign_folder_is_refused(tmp_path: Path) -> None:
    """`up` takes no directory that holds other files, and `down` removes none."""
    (tmp_path / "mine").write_text("x")
    with pytest.raises(StackError, match="name another"):
        LocalStack(tmp_path).up()
    LocalStack(tmp_path).down()
    assert (tmp_path / "mine").exists()


def test_ports_are_below_the_outgoing_range() -> None:
    """A client that tries to reconnect is never given the server's own port."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(port < first or first <= 11_000 for port in ports)
