"""Published changes in order, the last ones in memory: to page through, to follow, by customer."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import msgspec

from segstream.api.problems import ProblemError

# About 250 MB of changes; a reader that is further behind reads the topic or the file.
_MOST: Final = 200_000


class _Data(msgspec.Struct):
    customer_id: str


class _Change(msgspec.Struct):
    id: str
    data: _Data


_DECODER: Final = msgspec.json.Decoder(_Change)


class Tail:
    """The last changes.

    Parameters
    ----------
    most
        Changes held; older ones are out of reach.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._lines: deque[bytes] = deque()
        self._keys: deque[tuple[str, str]] = deque()
        self._place: dict[str, int] = {}
        self._of: dict[str, deque[bytes]] = {}
        self._first = 0
        self._whole = True
        self._news = asyncio.Event()

    @property
    def complete(self) -> bool:
        """Whether the first change held is the first that was ever published."""
        return self._whole and self._first == 0

    def begins_late(self) -> None:
        """Say that changes were published before the first one added."""
        self._whole = False

    def clear(self) -> None:
        """Begin anew: what was read is not what is there any more."""
        self.__init__(self._most)  # type: ignore[misc]

    def add(self, lines: Iterable[bytes]) -> None:
        """Append changes, and wake who follows."""
        for line in lines:
            change = _DECODER.decode(line)
            place = self._first + len(self._lines)
            self._lines.append(line)
            self._keys.append((change.id, change.data.customer_id))
            self._place[change.id] = place
            own = self._of.get(change.data.customer_id)
            if own is None:
                own = self._of[change.data.customer_id] = deque()
            own.append(line)
            if len(self._lines) > self._most:
                self._drop()
        self._news.set()
        self._news = asyncio.Event()

    def _drop(self) -> None:
        change_id, customer_id = self._keys.popleft()
        self._lines.popleft()
        if self._place[change_id] == self._first:
            del self._place[change_id]
        own = self._of[customer_id]
        own.popleft()
        if not own:
            del self._of[customer_id]
        self._first += 1

    def of(self, customer_id: str, most: int) -> list[bytes]:
        """The last changes of a customer within reach, the oldest first."""
        own = self._of.get(customer_id, ())
        return list(own if len(own) <= most else islice(own, len(own) - most, None))

    def page(
        self, after: str | None, limit: int, newest: bool
    ) -> tuple[Sequence[bytes], str | None]:
        """Some changes, and the id that goes on after them.

        Parameters
        ----------
        after
            Id of a change; None for the first within reach.
        newest
            Without `after`: the last ones instead.

        Raises
        ------
        ProblemError
            410 where `after` is out of reach.
        """
        start = self._start(after)
        if newest and after is None:
            start = max(self._first, self._end - limit)
        stop = min(start + limit, self._end)
        # By an iterator: a deque is a chain, and an index into its middle walks there.
        found = list(islice(self._lines, start - self._first, stop - self._first))
        if found:
            return found, self._keys[stop - 1 - self._first][0]
        return found, after

    @property
    def _end(self) -> int:
        return self._first + len(self._lines)

    def _start(self, after: str | None) -> int:
        if after is None:
            return self._first
        place = self._place.get(after)
        if place is None:
            raise ProblemError(
                410, "out-of-reach",
                f"after: expected the id of one of the last {len(self._lines)} changes, got "
                "another; begin without `after`, or read the changes where they are published",
            )  # fmt: skip
        return place + 1

    @property
    def last(self) -> str | None:
        """Id of the newest change; None before the first."""
        return self._keys[-1][0] if self._keys else None

    async def news(self, patience_s: float) -> bool:
        """Wait for a change, or so long; whether there is one."""
        try:
            async with asyncio.timeout(patience_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True
