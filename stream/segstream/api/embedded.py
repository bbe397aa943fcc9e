"""The reader of a state directory: SQLite and files, also while a run goes on beside it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec

from segstream.adapters.file_sink import CHANGES
from segstream.adapters.sqlite_store import FILE_NAME
from segstream.api.answers import OrderDay
from segstream.api.board import Board
from segstream.api.looks import HISTORY, Look, Texts
from segstream.api.problems import ProblemError
from segstream.api.tail import Tail
from segstream.core import layout as at
from segstream.core.insights_answer import InsightsTable
from segstream.core.ledger import L_DAY, L_IS_ORDER, L_ORDER, L_SPEND
from segstream.core.spec import UNITS_PER_ONE
from segstream.errors import SegstreamError
from segstream.insights_view import insights_of_state
from segstream.model_words import iso_day
from segstream.view import View, open_view

LOG: Final = logging.getLogger("segstream.serve")
_POLL_S: Final = 0.5
# A state that is always changing may keep a tenth of a core busy with loading.
_REST_PER_LOAD: Final = 9.0
_SUMMARY: Final = "summary.json"
_CHUNK_BYTES: Final = 4 * 1024 * 1024


class _Summary(msgspec.Struct):
    customer_word: str = "customer"


class StateReader:
    """`segstream.api.reader.Reader` of a state directory and its output.

    Parameters
    ----------
    customer_word
        What pages call a customer; None takes the word of the last report.
    """

    def __init__(self, state: Path, out: Path, customer_word: str | None = None) -> None:
        self._state, self._out, self._word = state, out, customer_word
        self.tail = Tail()
        self._board: Board | None = None
        self._slots: dict[str, int] = {}
        self._seen: tuple[tuple[int, int], ...] = ()
        self._read_bytes = 0
        self._failure = ""

    @contextlib.asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """See `segstream.api.reader.Reader.living`."""
        await self._load()
        await self._read_changes()
        following = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait([following])

    async def refresh(self) -> None:
        """See `segstream.api.reader.Reader.refresh`."""
        await self._load()
        await self._read_changes()

    async def _follow(self) -> None:
        rest_until = 0.0
        while True:
            await asyncio.sleep(_POLL_S)
            await self._read_changes()
            if time.monotonic() < rest_until or self._stamps() == self._seen:
                continue
            began = time.monotonic()
            await self._load()
            rest_until = time.monotonic() + _REST_PER_LOAD * (time.monotonic() - began)

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        """When the state was written last: it, and its log of what is not in it yet."""
        found = []
        for name in (FILE_NAME, f"{FILE_NAME}-wal"):
            with contextlib.suppress(OSError):
                stat = (self._state / name).stat()
                found.append((stat.st_mtime_ns, stat.st_size))
        return tuple(found)

    # ---- loading -----------------------------------------------------------------------

    async def _load(self) -> None:
        """Read the state anew; where that fails the former one stays, and readiness says why."""
        stamps = self._stamps()
        try:
            board, slots = await asyncio.to_thread(self._read)
        except (SegstreamError, OSError) as error:
            if str(error) != self._failure:
                LOG.warning("%s", error)
            self._failure = str(error)
            return
        self._board, self._slots, self._failure = board, slots, ""
        self._seen = stamps

    def _read(self) -> tuple[Board, dict[str, int]]:
        view = open_view(self._state, self._out)
        board = Board(view, self._customer_word(), lambda: _insights(view))
        ids, _, _ = view.vectors
        return board, {customer_id: row for row, customer_id in enumerate(ids)}

    def _customer_word(self) -> str:
        if self._word is not None:
            return self._word
        try:
            told = msgspec.json.decode((self._out / _SUMMARY).read_bytes(), type=_Summary)
        except (OSError, msgspec.DecodeError):
            return _Summary().customer_word
        return told.customer_word

    async def _read_changes(self) -> None:
        """Take the whole lines that were appended since."""
        path = self._out / CHANGES
        size = path.stat().st_size if path.exists() else 0
        if size < self._read_bytes:  # another run began anew
            self.tail.clear()
            self._read_bytes = 0
        while self._read_bytes < size:
            chunk = await asyncio.to_thread(_chunk, path, self._read_bytes)
            whole = chunk.rfind(b"\n") + 1
            if not whole:
                return
            self.tail.add(chunk[:whole].splitlines())
            self._read_bytes += whole

    # ---- looking -----------------------------------------------------------------------

    def board(self) -> Board:
        """See `segstream.api.reader.Reader.board`."""
        if self._board is None:
            raise ProblemError(503, "not-ready", self._failure or "expected a state, none is read")
        return self._board

    def means(self) -> Texts:
        """See `segstream.api.reader.Reader.means`."""
        return self.board().mean_texts

    async def look(self, customer_id: str) -> Look | None:
        """See `segstream.api.reader.Reader.look`."""
        board, row = self.board(), self._slots.get(customer_id)
        if row is None:
            return None
        view = board.view
        _, raw, scaled = view.vectors
        head = view.heads[row]
        return Look(
            customer_id, view.partition.clock_ms, int(head[at.SEGMENT]), int(head[at.SINCE]),
            raw[row], scaled[row], board.lens, _orders(view, int(view.slots[row])),
        )  # fmt: skip

    async def history(self, customer_id: str) -> list[bytes]:
        """See `segstream.api.reader.Reader.history`."""
        return self.tail.of(customer_id, HISTORY)

    def lacks(self) -> list[str]:
        """See `segstream.api.reader.Reader.lacks`."""
        if self._board is None or self._failure:
            return [self._failure or "state: not read yet"]
        return []


def _insights(view: View) -> InsightsTable | None:
    return insights_of_state(view) if view.model is not None else None


def _chunk(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(_CHUNK_BYTES)


def _orders(view: View, slot: int) -> list[OrderDay]:
    """A customer's orders by day, out of the ledger."""
    orders: dict[int, set[int]] = {}
    spend: dict[int, int] = {}
    for row in view.ledger_of(slot).tolist():
        day = row[L_DAY]
        bought = orders.setdefault(day, set())
        if row[L_IS_ORDER]:
            bought.add(row[L_ORDER])
        spend[day] = spend.get(day, 0) + row[L_SPEND]
    return [
        OrderDay(iso_day(day), len(orders[day]), spend[day] / UNITS_PER_ONE)
        for day in sorted(orders)
    ]
