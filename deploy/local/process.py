"""Processes that outlive who started them: started, known again by their pid, ended.

A pid alone may belong to somebody else by now. A process is taken for ours only if the boot, the
start time and the program's name are those that were written down when it was started.
"""

import atexit
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TAIL_LINES: Final = 20
# Before a command: the kernel kills the process when whoever started it is gone, however it went.
LEASH: Final = ("setpriv", "--pdeathsig", "KILL")
_POLL_S: Final = 0.02
_LOOPBACK: Final = "127.0.0.1"


class StackError(Exception):
    """The local stack cannot do what was asked; the message says how to mend it."""


class MissingError(StackError):
    """A program is not installed; the message says which package has it."""


@dataclass(frozen=True)
class Running:
    """A process, as it was when it was started.

    Attributes
    ----------
    boot
        The kernel's id of this boot.
    started
        Clock ticks since boot.
    program
        The kernel's name of it, at most 15 characters.
    """

    pid: int
    boot: str
    started: int
    program: str


# Children must be waited for, or they stay as zombies until the parent ends.
_CHILDREN: Final[dict[Running, "subprocess.Popen[bytes]"]] = {}
# Held until the process ends.
_RESERVED: Final[list[socket.socket]] = []


def start(command: Sequence[str], log: Path) -> Running:
    """Start a process in a session of its own, its output appended to a log."""
    with log.open("ab") as out:
        child = subprocess.Popen(  # noqa: S603 - our own command line, no shell
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    program, started = _look(child.pid) or ("", -1)  # it may have ended already
    process = Running(child.pid, _boot(), started, program)
    _CHILDREN[process] = child
    return process


def is_alive(process: Running) -> bool:
    """Whether this very process still runs."""
    return process.boot == _boot() and _look(process.pid) == (process.program, process.started)


def kill(process: Running, sign: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal, if it is still this very process."""
    if is_alive(process):
        os.kill(process.pid, sign)


def end(process: Running, patience_s: float) -> None:
    """Ask a process to stop; kill it when patience is over. Returns when it is gone."""
    kill(process, signal.SIGTERM)
    if not wait_until(lambda: not is_alive(process), patience_s):
        kill(process)
        wait_until(lambda: not is_alive(process), patience_s)
    reap(process)


def reap(process: Running) -> None:
    """Take leave of an ended child; nothing where it is not a child of this process."""
    child = _CHILDREN.pop(process, None)
    if child is not None:
        child.wait()


def wait_until(fact: Callable[[], bool], patience_s: float, every_s: float = _POLL_S) -> bool:
    """Poll until something is so; False when patience is over."""
    deadline = time.monotonic() + patience_s
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    try:
        lines = log.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-TAIL_LINES:]) or "(an empty log)"


def free_ports(count: int) -> list[int]:
    """Free loopback ports below the range the kernel takes outgoing ports from.

    A client that keeps connecting to a killed server's port from that range may be given the very
    same port as its own: it then talks to itself, and the server cannot come back. A port is given
    out once while this process lives: its server may be about to start, or killed for a while.
    """
    below = _first_outgoing_port()
    found: list[int] = []
    for _ in range(1000):
        port = 10_000 + secrets.randbelow(max(1, below - 10_000))
        if _is_free(port) and _reserve(port):
            found.append(port)
        if len(found) == count:
            return found
    raise StackError(f"expected {count} free ports between 10000 and {below}, found none")


def _first_outgoing_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    except OSError:
        return 32_768
    return first if first > 11_000 else 32_768


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return False
        return True


def _reserve(port: int) -> bool:
    """Whether no other process that starts servers has this port in mind."""
    mark = socket.socket(socket.AF_UNIX)
    try:
        # In the abstract namespace: no file, and gone with the process however it ends.
        mark.bind(f"\0segstream-port-{port}")
    except OSError:
        mark.close()
        return False
    if not _RESERVED:
        atexit.register(_release)
    _RESERVED.append(mark)
    return True


def _release() -> None:
    while _RESERVED:
        _RESERVED.pop().close()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError as error:
        raise StackError(f"expected Linux with /proc, got {error}; use Docker instead") from error


def _look(pid: int) -> tuple[str, int] | None:
    """Program name and start time of a process; None where there is none, or only a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and may hold any character, these included.
    name, _, rest = text.partition("(")[2].rpartition(") ")
    fields = rest.split()
    return None if fields[0] in "ZX" else (name, int(fields[19]))
