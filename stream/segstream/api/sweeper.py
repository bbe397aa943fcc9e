"""Sweeps in a process of its own: to lay everybody out holds the interpreter for half a second.

In a thread of the API's it took half of the answers' time away from them. The process is niced,
reads Redis itself and gives back arrays.

    python -m segstream.api.sweeper

is the process. Both sides are this program, so they talk in pickles, which carry arrays as they
are; the URL of Redis, which may hold a password, goes the same way and not on a command line.
"""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any, Final

from redis.asyncio import Redis

from segstream.adapters.outages import AWAY
from segstream.api.sweep import Swept, sweep
from segstream.child import end_child
from segstream.collector import look_less_often
from segstream.core.model import Model
from segstream.errors import SegstreamError
from segstream.settings import Settings, compile_spec

_NICE: Final = 10
_TIMEOUT_S: Final = 5.0


class Sweeper:
    """Asks the process, which is started at once and kept.

    Parameters
    ----------
    redis_url
        What it reads.
    """

    def __init__(self, settings: Settings, redis_url: str) -> None:
        self._told = (settings, redis_url)
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._asking = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The process; None where there is none."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start the process where there is none."""
        if self._child is None and not self._closed:
            # In the API's session: where the kernel groups by session, nice counts within one.
            self._child = subprocess.Popen(  # noqa: S603 - our own
                [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            _write(self._child.stdin, self._told)

    def sweep(self, models: Sequence[Model]) -> list[Swept]:
        """Read everybody; takes as long as it takes.

        Raises
        ------
        RedisError, OSError, SegstreamError
            What the process met, or it has ended: the next call starts another.
        """
        with self._asking:
            return self._sweep(models)

    def _sweep(self, models: Sequence[Model]) -> list[Swept]:
        self.start()
        child = self._child
        try:
            if child is None:
                raise EOFError
            _write(child.stdin, list(models))
            found = pickle.load(_open(child.stdout))  # noqa: S301 - of our own process
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            self._end()
            raise OSError("the process that reads everybody has ended") from error
        if isinstance(found, Exception):
            raise found
        return list(found)

    def close(self) -> None:
        """End the process; who waits for it gets an error."""
        self._closed = True
        if self._child is not None:
            self._child.kill()
        with self._asking:
            self._end()

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            end_child(child)


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise EOFError
    return pipe


def _write(pipe: IO[bytes] | None, what: object) -> None:
    body = _open(pipe)
    with suppress(BrokenPipeError):  # who reads next finds out
        pickle.dump(what, body, protocol=5)
        body.flush()


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Sweep whenever asked, until the pipe ends with the one who asks."""
    with suppress(EOFError):
        settings, url = pickle.load(source)  # noqa: S301 - of our own process
        spec = compile_spec(settings)

        async def one(models: Sequence[Model]) -> list[Swept]:
            async with Redis.from_url(
                url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
            ) as redis:
                return await sweep(redis, settings, spec, models)

        while True:
            found: Any
            models = pickle.load(source)  # noqa: S301 - of our own process
            try:
                found = asyncio.run(one(models))
            except (*AWAY, SegstreamError) as error:
                found = error
            _write(sink, found)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the API ends it
    os.nice(_NICE)
    look_less_often()
    serve(sys.stdin.buffer, sys.stdout.buffer)
