"""Records out of Redis for many askers: what is asked while one is under way goes together.

One command for many looks: the client's work per round trip is shared by all of them. It is a
script since the replies of a MULTI cost the client twice the time of one reply.
"""

import asyncio
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from segstream.adapters import redis_keys as keys

# A reply of about 200 KB.
_AT_ONCE: Final = 200
# Records, then as many hashes as ARGV[1] says, all of one moment; the fields' names follow.
_SCRIPT: Final = """
local records, found = #KEYS - ARGV[1], {}
for i = 1, records do found[i] = redis.call('GET', KEYS[i]) end
for i = records + 1, #KEYS do found[i] = redis.call('HMGET', KEYS[i], ARGV[2], ARGV[3]) end
return found
"""


class Found(NamedTuple):
    """A record with its partition's state and adopted model, of one moment; None for absent."""

    blob: bytes | None
    state: bytes | None
    model: bytes | None


class _Asked(NamedTuple):
    record: bytes
    meta: str
    answer: "asyncio.Future[Found]"


class Lookups:
    """Reads records, some together, each with its partition's meta, in one step of the server."""

    def __init__(self, redis: Redis) -> None:
        self._script: Any = redis.register_script(_SCRIPT)
        self._waiting: list[_Asked] = []
        self._reading: asyncio.Task[None] | None = None

    async def read(self, namespace: str, partition: int, customer_id: str) -> Found:
        """Read one record.

        Raises
        ------
        RedisError, OSError
            Redis does not answer.
        """
        record = keys.record(namespace, partition, customer_id).encode("utf-8", "surrogatepass")
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(record, keys.meta(namespace, partition), answer))
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._drain())
        return await answer

    async def _drain(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            try:
                found = await self._read(some)
            except (RedisError, OSError, TimeoutError) as error:
                for one in some:
                    if not one.answer.done():
                        one.answer.set_exception(error)
            else:
                for one, its in zip(some, found, strict=True):
                    if not one.answer.done():
                        one.answer.set_result(its)

    async def _read(self, some: list[_Asked]) -> list[Found]:
        metas = list({one.meta: None for one in some})
        names = [*(one.record for one in some), *metas]
        fields = (len(metas), keys.STATE, keys.MODEL)
        reply = await self._script(keys=names, args=fields)
        of = dict(zip(metas, reply[len(some) :], strict=True))
        blobs = reply[: len(some)]
        return [Found(blob, *of[one.meta]) for one, blob in zip(some, blobs, strict=True)]
