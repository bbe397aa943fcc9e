"""What the API needs of the world: to look at customers, and to tell the trainer something."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from segstream.api.board import Board
from segstream.api.looks import Look, Texts
from segstream.api.tail import Tail
from segstream.orders import Left


class Reader(Protocol):
    """A customer base, followed while it changes."""

    tail: Tail
    """Published changes."""

    def living(self) -> AbstractAsyncContextManager[None]:
        """Follow what changes while inside."""
        ...

    def board(self) -> Board:
        """All customers as of the last time they were read.

        Raises
        ------
        ProblemError
            503 before the first time.
        """
        ...

    def means(self) -> Texts:
        """Mean of every feature over all customers, in words; empty before they were read."""
        ...

    async def look(self, customer_id: str) -> Look | None:
        """One customer now; None where there is no record."""
        ...

    async def history(self, customer_id: str) -> list[bytes]:
        """The last `HISTORY` published changes of a customer within reach, the oldest first."""
        ...

    async def refresh(self) -> None:
        """Read at once what a command has changed."""
        ...

    def lacks(self) -> list[str]:
        """What is missing; nothing where it is ready."""
        ...


class Desk(Protocol):
    """Where a person says what is to be done."""

    async def promote(self, version: str) -> Left:
        """Let the candidate that was refused last serve, or an earlier model again.

        Raises
        ------
        SegstreamError
            It may not be.
        """
        ...

    async def roll_back(self, version: str) -> Left:
        """Let an earlier model serve again."""
        ...

    async def recluster(self, k: int | None) -> Left:
        """Fit anew past the gate."""
        ...

    async def erase(self, customer_id: str) -> str:
        """Produce an `erase` event; returns its id."""
        ...
