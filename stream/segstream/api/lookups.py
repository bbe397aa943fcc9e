"""Records out of Redis for many askers: what is asked while one request is under way goes together.

One request for many looks: the client's work per request is shared by all of them.
"""

import asyncio
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from segstream.adapters import redis_keys as keys

# A reply of about 200 KB.
_AT_ONCE: Final = 200


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
    """Reads records, some together, each with its partition's meta in one MULTI."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
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
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.mget([one.record for one in some])
            for meta in metas:
                pipe.hmget(meta, [keys.STATE, keys.MODEL])
            blobs, *states = await pipe.execute()
        of: dict[str, Any] = dict(zip(metas, states, strict=True))
        return [Found(blob, *of[one.meta]) for one, blob in zip(some, blobs, strict=True)]
