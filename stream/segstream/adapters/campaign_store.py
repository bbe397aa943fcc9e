"""What a campaign remembers in Redis: each message's state, each customer's history.

The intent to send is written in one MULTI with the customer's history, under a WATCH on both: two
members that judge one customer at a time never pass a cap together, and one change never becomes
two messages of a campaign.
"""

from typing import Any, Final, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import WatchError

from segstream.adapters import redis_keys as keys
from segstream.campaign_ports import Intent, Judge, State
from segstream.core.campaigns import DAY_MS, FOREVER, Campaigns, Code, Fired, Known

_RECORDED: Final[dict[str, State]] = {"fire": "pending", "held_out": "held_out"}
"""Codes that are remembered, and as what; the others change nothing."""


class MemoryCampaignStore:
    """`segstream.campaign_ports.CampaignStore` in this process."""

    def __init__(self, suppressed: set[str] | None = None) -> None:
        self.suppressed = suppressed or set()
        self.states: dict[tuple[str, str], State] = {}
        self.fired: dict[str, list[Fired]] = {}

    async def intend(self, intent: Intent, judge: Judge) -> State | Code:
        """See `segstream.campaign_ports.CampaignStore.intend`."""
        place = (intent.customer_id, intent.key)
        if place in self.states:
            return self.states[place]
        history = self.fired.get(intent.customer_id, [])
        code = judge(Known(tuple(history), intent.customer_id in self.suppressed))
        if code not in _RECORDED:
            return code
        fired = Fired(intent.campaign, intent.now_ms, code == "held_out")
        self.fired.setdefault(intent.customer_id, []).append(fired)
        self.states[place] = _RECORDED[code]
        return _RECORDED[code]

    async def mark(self, customer_id: str, key: str, state: State) -> None:
        """See `segstream.campaign_ports.CampaignStore.mark`."""
        self.states[customer_id, key] = state

    async def is_suppressed(self, customer_id: str) -> bool:
        """See `segstream.campaign_ports.CampaignStore.is_suppressed`."""
        return customer_id in self.suppressed

    async def forget(self, customer_id: str) -> None:
        """See `segstream.campaign_ports.CampaignStore.forget`."""
        self.fired.pop(customer_id, None)

    async def close(self) -> None:
        """See `segstream.campaign_ports.CampaignStore.close`."""


class RedisCampaignStore:
    """`segstream.campaign_ports.CampaignStore` on one plain Redis server.

    Parameters
    ----------
    rules
        How long states and histories are kept.
    """

    def __init__(self, redis: Redis, namespace: str, rules: Campaigns) -> None:
        self._redis, self._namespace = redis, namespace
        self._remember_ms = round(rules.remember_days * DAY_MS)
        self._history_ms = rules.history_ms

    async def intend(self, intent: Intent, judge: Judge) -> State | Code:
        """See `segstream.campaign_ports.CampaignStore.intend`."""
        while True:
            async with self._redis.pipeline(transaction=True) as pipe:
                try:
                    return await self._intend(pipe, intent, judge)
                except WatchError:  # another member judged this customer just now
                    continue

    async def _intend(self, pipe: Any, intent: Intent, judge: Judge) -> State | Code:
        history = keys.fired(self._namespace, intent.customer_id)
        message = keys.delivery(self._namespace, intent.customer_id, intent.key)
        await pipe.watch(history, message)
        found = await pipe.get(message)
        if found is not None:
            return cast("State", found.decode())
        members = await pipe.zrange(history, 0, -1)
        fired = [msgspec.json.decode(member, type=_Member).fired for member in members]
        code = judge(Known(fired, await self._is_suppressed(pipe, intent.customer_id)))
        if code not in _RECORDED:
            return code
        own = _Member(intent.key, Fired(intent.campaign, intent.now_ms, code == "held_out"))
        pipe.multi()
        if self._history_ms != FOREVER:
            pipe.zremrangebyscore(history, "-inf", intent.now_ms - self._history_ms)
        pipe.zadd(history, {msgspec.json.encode(own): intent.now_ms})
        pipe.set(message, _RECORDED[code], px=self._remember_ms, nx=True)
        await pipe.execute()
        return _RECORDED[code]

    async def mark(self, customer_id: str, key: str, state: State) -> None:
        """See `segstream.campaign_ports.CampaignStore.mark`."""
        message = keys.delivery(self._namespace, customer_id, key)
        await self._redis.set(message, state, px=self._remember_ms)

    async def is_suppressed(self, customer_id: str) -> bool:
        """See `segstream.campaign_ports.CampaignStore.is_suppressed`."""
        return await self._is_suppressed(self._redis, customer_id)

    async def _is_suppressed(self, redis: Any, customer_id: str) -> bool:
        member = customer_id.encode("utf-8", "surrogatepass")
        return bool(await redis.sismember(keys.suppressed(self._namespace), member))

    async def forget(self, customer_id: str) -> None:
        """See `segstream.campaign_ports.CampaignStore.forget`."""
        await self._redis.delete(keys.fired(self._namespace, customer_id))

    async def close(self) -> None:
        """See `segstream.campaign_ports.CampaignStore.close`."""
        await self._redis.aclose()


class _Member(msgspec.Struct, frozen=True, array_like=True):
    """A history's member: the key keeps two messages of one moment apart."""

    key: str
    fired: Fired
