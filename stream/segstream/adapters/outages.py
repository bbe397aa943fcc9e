"""What is away for a while: said once, tried again with jitter, left when asked."""

import asyncio
import logging
import os
import random
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from aiokafka.errors import IllegalOperation, KafkaError
from redis.exceptions import RedisError

from segstream.errors import SegstreamError

LOG: Final = logging.getLogger("segstream.worker")
AWAY: Final = (KafkaError, IllegalOperation, RedisError, OSError, TimeoutError)
"""What a client raises while its server is away; tried again until it works.

`IllegalOperation` is what aiokafka says of a producer that was fenced between two calls.
"""
# Between attempts after a failure, doubling, with jitter: nobody is hammered while it is away.
_BACKOFF_S: Final = (0.1, 5.0)


class Outages:
    """Says a failure once, however many meet it and however often, and its end once."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._failing: set[str] = set()

    def failed(self, who: str, error: BaseException) -> None:
        """Note a failure that will be tried again."""
        if not self._failing:
            text = str(error) or type(error).__name__
            self._log.warning("%s: %s; trying again until it works", who, text)
        self._failing.add(who)

    @property
    def failing(self) -> list[str]:
        """Who fails now."""
        return sorted(self._failing)

    def works(self, who: str) -> None:
        """Note that it works."""
        if who in self._failing:
            self._failing.discard(who)
            if not self._failing:
                self._log.warning("%s: works again", who)


def pause_s(attempt: int) -> float:
    """Seconds before the next attempt, the first being 0."""
    least, most = _BACKOFF_S
    return min(most, least * 2.0 ** min(attempt, 16)) * (0.5 + random.random())  # noqa: S311


# A library may swallow a cancellation: aiokafka one that comes while it starts or closes; redis-py
# one that comes just as its write is done, by `asyncio.wait_for` of Python 3.11.
_CANCEL_S: Final = 1.0


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task again and again until it has ended; what it raised is seen."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_S)
    if not task.cancelled():
        task.exception()


class LastExit:
    """Ends the process for certain, a while after it was asked to end.

    A client's library may wait for ever for a server that is away. Whatever is under way then is
    settled by the next claim, like a crash.

    Parameters
    ----------
    failures
        What the process ends with, if it fails.
    """

    def __init__(self, patience_s: float, failures: Sequence[BaseException] = ()) -> None:
        self._failures = failures
        self._timer = threading.Timer(patience_s, self._end)
        self._timer.daemon = True

    def __enter__(self) -> "LastExit":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def asked(self) -> None:
        """The process was asked to end."""
        if not self._timer.is_alive():
            self._timer.start()

    def _end(self) -> None:
        error = next(iter(self._failures), None)
        if error is not None:
            LOG.error("%s", error)
        code = error.exit_code if isinstance(error, SegstreamError) else int(error is not None)
        os._exit(code)
