"""The last change of each customer, in a compacted topic: an agent's work, many changes at a time.

One message sent and awaited at a time costs a request each; while a backlog is drained the topic
would be minutes behind. Here an agent only hands events over, and one task sends what is there.
An event is acknowledged after the broker has its copy, and in order: Faust's `take()` acknowledges
in a `finally`, sent or not. What is sent twice after a crash changes nothing in a compacted topic.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from segstream.adapters.outages import AWAY, Outages, pause_s

LOG: Final = logging.getLogger("segstream.worker")
# Held while the broker takes the messages before them; the stream waits beyond.
_WAITING: Final = 4_096
# Between two sends of a trickle: nobody waits for this topic by the millisecond.
_LINGER_S: Final = 0.05

Send = Callable[[bytes, bytes | None], Awaitable[Awaitable[Any]]]
"""Hands key and value to a producer, in order; what it returns ends when the broker has them."""


class _Data(msgspec.Struct):
    reason: str


class _Change(msgspec.Struct):
    data: _Data


_DECODER: Final = msgspec.json.Decoder(_Change)


class CurrentSegments:
    """Copies changes into the compacted topic.

    Parameters
    ----------
    ack
        Acknowledges an event of the stream.
    """

    def __init__(self, send: Send, ack: Callable[[Any], Awaitable[Any]]) -> None:
        self._send, self._ack = send, ack
        self._waiting: asyncio.Queue[Any] = asyncio.Queue(_WAITING)
        self._outages = Outages(LOG)

    async def add(self, event: Any) -> None:
        """Take an event over; waits while many wait."""
        await self._waiting.put(event)

    async def run(self) -> None:
        """Send what is there, acknowledge it, again and again."""
        while True:
            events = [await self._waiting.get()]
            while not self._waiting.empty():
                events.append(self._waiting.get_nowait())
            await self._publish(events)
            for event in events:
                await self._ack(event)
            await asyncio.sleep(_LINGER_S)

    async def _publish(self, events: Sequence[Any]) -> None:
        """All of them again after a failure: the last of a customer stays the last."""
        for attempt in itertools.count():
            try:
                sent = [await self._send(e.key, current_of(e.value)) for e in events]
                await asyncio.gather(*sent)
            except AWAY as error:
                self._outages.failed("current-segment", error)
                await asyncio.sleep(pause_s(attempt))
            else:
                self._outages.works("current-segment")
                return


def current_of(change: bytes) -> bytes | None:
    """What the compacted topic keeps of a change: a tombstone where the customer was erased."""
    return None if _DECODER.decode(change).data.reason == "erased" else change
