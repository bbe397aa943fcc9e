"""Where a refit check is computed: here, or beside the stream in a niced process of its own.

The answer is the same either way, and needed only when the next day closes.
"""

import os
import subprocess
import sys
from typing import IO, Final, Protocol

import msgspec

from segstream.child import end_child
from segstream.core.refit import Asked, Proposal, consider
from segstream.errors import FencedError

# Below, starting a process costs more than the fits.
BESIDE_MEMBERS: Final = 4_000
_NICE: Final = 10
_LENGTH_BYTES: Final = 8


class Fitter(Protocol):
    """Computes checks."""

    def begin(self, asked: Asked) -> None:
        """Take a check up; a check that was begun before is forgotten."""

    def result(self, asked: Asked) -> Proposal:
        """Return the answer, computing it now where it was not begun."""

    def close(self) -> None:
        """End what it started."""


class InlineFitter:
    """Computes when asked for the result."""

    def begin(self, asked: Asked) -> None:
        """Nothing is begun."""

    def result(self, asked: Asked) -> Proposal:
        """Compute."""
        return consider(asked)

    def close(self) -> None:
        """Nothing to end."""


class ChildFitter:
    """One process, niced and with one thread, started at the first large panel and kept."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._begun: Asked | None = None
        self._closed = False

    def begin(self, asked: Asked) -> None:
        """Hand a large panel to the process."""
        if len(asked.panel()) < BESIDE_MEMBERS:
            return
        if self._begun is not None:
            self._end()
        if self._child is None:
            self._child = _start()
        _write(self._child.stdin, msgspec.msgpack.encode(asked))
        self._begun = asked

    def result(self, asked: Asked) -> Proposal:
        """Wait for the process, or compute here where it was not begun or the process is gone."""
        child, begun = self._child, self._begun
        self._begun = None
        if child is None or begun != asked:
            return consider(asked)
        body = _read(child.stdout)
        if self._closed:
            raise FencedError("refit check: expected its answer, got a stop; nothing is lost")
        if body is None:
            self._end()
            return consider(asked)
        return msgspec.msgpack.decode(body, type=Proposal)

    def close(self) -> None:
        """End the process, whatever it is at; who waits for its answer gets an error."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        child, self._child, self._begun = self._child, None, None
        if child is not None:
            end_child(child)


def _start() -> subprocess.Popen[bytes]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-m", "segstream.fitter"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | one,
        start_new_session=True,
    )  # fmt: skip


def _write(pipe: IO[bytes] | None, body: bytes) -> None:
    if pipe is not None:
        pipe.write(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
        pipe.flush()


def _read(pipe: IO[bytes] | None) -> bytes | None:
    """One message; None at the end of the pipe."""
    if pipe is None:
        return None
    head = pipe.read(_LENGTH_BYTES)
    if len(head) < _LENGTH_BYTES:
        return None
    length = int.from_bytes(head, "big")
    body = pipe.read(length)
    return body if len(body) == length else None


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer checks until the pipe ends, with the one who asked."""
    while (body := _read(source)) is not None:
        proposal = consider(msgspec.msgpack.decode(body, type=Asked))
        _write(sink, msgspec.msgpack.encode(proposal))


if __name__ == "__main__":
    os.nice(_NICE)
    serve(sys.stdin.buffer, sys.stdout.buffer)
