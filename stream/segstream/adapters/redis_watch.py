"""Compare and set on one hash of Redis: a round trip for each transaction.

WATCH and the fields to compare travel behind the EXEC before. When the next transaction begins,
the hash has been watched since then and its fields are known; whatever was written to it meanwhile
makes that EXEC fail. Nothing is sent twice, and a connection that failed is not used again: a WATCH
ends with its connection.
"""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import WatchError

Command = tuple[Any, ...]
"""A command's name and arguments: bytes, text or numbers."""


class WatchedHash:
    """One hash that transactions of one connection depend on.

    Parameters
    ----------
    fields
        What a transaction compares before it writes.
    """

    def __init__(self, redis: Redis, key: str, fields: Sequence[bytes]) -> None:
        self._pool = redis.connection_pool
        self._look = [("WATCH", key), ("HMGET", key, *fields)]
        self._known: list[bytes | None] | None = None
        self.wire: Any = None
        self.trips = 0

    async def read(self) -> list[bytes | None]:
        """Return the fields as they are since the hash is watched."""
        if self._known is None:
            self._known = (await self._ask(self._look))[-1]
        return self._known

    async def execute(self, commands: Sequence[Command]) -> None:
        """Execute all of the commands, or none.

        Raises
        ------
        WatchError
            The hash was written to since `read`.
        RedisError
            Refused, or the outcome is not known.
        """
        replies = await self._ask([("MULTI",), *commands, ("EXEC",), *self._look])
        done = replies[len(commands) + 1]
        if done is None:
            raise WatchError("the hash was written to")
        for reply in done:
            if isinstance(reply, Exception):
                raise reply
        self._known = replies[-1]

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        self._known = None
        if self.wire is None:
            self.wire = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        self.trips += 1
        try:
            await self.wire.send_packed_command(self.wire.pack_commands(commands))
            return [await self.wire.read_response() for _ in commands]
        except BaseException:
            # Replies that were not read would be taken for those of the next request.
            wire, self.wire = self.wire, None
            await wire.disconnect(nowait=True)
            await self._pool.release(wire)
            raise
