"""How far every partition's clock is, told and heard through Redis."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from segstream.adapters import redis_keys
from segstream.core.clock import ClockHint, target_ms
from segstream.settings import Settings
from segstream.worker import PartitionWorker

HINTS_EVERY_S: Final = 1.0
# While a partition waits for the trainer, which waits for partitions that follow these clocks.
_IN_A_WAIT_S: Final = 0.2


class ClockBoard:
    """Clocks of all partitions: the others' as they said last, the own as they are.

    Parameters
    ----------
    own
        This worker's partitions that are claimed.
    """

    def __init__(
        self, settings: Settings, own: Callable[[], Mapping[int, PartitionWorker]]
    ) -> None:
        self._settings, self._own = settings, own
        self._heard: dict[int, ClockHint] = {}

    def clocks(self) -> dict[int, ClockHint]:
        """How far every partition is; one that never said is not there."""
        return self._heard | {p: worker.hint() for p, worker in self._own().items()}

    def clocks_ms(self) -> list[int]:
        """Clocks alone."""
        return [hint.clock_ms for hint in self.clocks().values()]

    def target_ms(self, n_partitions: int) -> int:
        """Where the clock of a partition that has caught up may go; -1 for nowhere."""
        now_ms = int(time.time() * 1000)
        silence = round(self._settings.clock.max_silence_hours * 3_600_000)
        clocks = self.clocks()
        return -1 if len(clocks) < n_partitions else target_ms(clocks, now_ms, silence)

    async def share(self, redis: Redis) -> None:
        """Tell and hear, for ever; hints are not part of the truth, so nothing is tried again."""
        key = redis_keys.clocks(self._settings.namespace)
        while True:
            own = self._own()
            told: dict[Any, Any] = {
                str(p): msgspec.msgpack.encode(worker.hint()) for p, worker in own.items()
            }
            with contextlib.suppress(RedisError, OSError):
                if told:
                    await redis.hset(key, mapping=told)
                held = await redis.hgetall(key)
                self._heard = {
                    int(p): msgspec.msgpack.decode(cast("bytes", hint), type=ClockHint)
                    for p, hint in held.items()
                }
            waits = any(worker.waits for worker in self._own().values())
            await asyncio.sleep(_IN_A_WAIT_S if waits else HINTS_EVERY_S)
