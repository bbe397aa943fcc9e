"""What a campaign remembers: one contract for the twin and for Redis."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from deploy.local.local_stack import LocalStack
from redis import Redis

from segstream.adapters import redis_keys
from segstream.adapters.campaign_store import MemoryCampaignStore, RedisCampaignStore
from segstream.adapters.redis_store import connect
from segstream.campaign_ports import CampaignStore, Intent, State
from segstream.core.campaigns import DAY_MS, Campaign, Campaigns, Cap, Code, Fired, Known

pytestmark = pytest.mark.slow

RULES = Campaigns(cap=Cap(1, 7.0), campaign=(Campaign("a"), Campaign("b")))
Test = Callable[[CampaignStore], Coroutine[Any, Any, None]]


class Place:
    """Opens stores on one and the same memory."""

    def __init__(self, stack: LocalStack | None, namespace: str) -> None:
        self._stack, self._namespace = stack, namespace
        self._twin = MemoryCampaignStore()

    def open(self) -> CampaignStore:
        if self._stack is None:
            return self._twin
        return RedisCampaignStore(connect(self._stack.redis), self._namespace, RULES)

    def suppress(self, customer: str) -> None:
        if self._stack is None:
            self._twin.suppressed.add(customer)
            return
        with Redis.from_url(self._stack.redis) as redis:
            redis.sadd(redis_keys.suppressed(self._namespace), customer)

    def run(self, *tests: Test) -> None:
        """Run tests side by side, each with a store of its own."""

        async def one(test: Test) -> None:
            store = self.open()
            try:
                await test(store)
            finally:
                await store.close()

        async def every() -> None:
            await asyncio.gather(*(one(test) for test in tests))

        asyncio.run(every())


@pytest.fixture(params=["memory", "redis"])
def place(request: pytest.FixtureRequest, namespace: str) -> Place:
    stack = request.getfixturevalue("stack") if request.param == "redis" else None
    return Place(stack, namespace)


def intent(key: str, campaign: str = "a", at_ms: int = 0) -> Intent:
    return Intent(campaign, "C1", key, at_ms)


def says(code: Code, met: list[Known] | None = None) -> Callable[[Known], Code]:
    """A judge that always says the same, and keeps what it was told."""

    def judge(known: Known) -> Code:
        if met is not None:
            met.append(known)
        return code

    return judge


def test_a_message_is_judged_once(place: Place) -> None:
    """A recorded message keeps its state; nobody is asked again."""

    async def test(store: CampaignStore) -> None:
        assert await store.intend(intent("k"), says("fire")) == "pending"
        assert await store.intend(intent("k"), says("stale")) == "pending"
        states: tuple[State, ...] = ("sent", "dead", "suppressed")
        for state in states:
            await store.mark("C1", "k", state)
            assert await store.intend(intent("k"), says("fire")) == state
        assert await store.intend(intent("h"), says("held_out")) == "held_out"
        assert await store.intend(intent("h"), says("fire")) == "held_out"

    place.run(test)


def test_what_is_not_recorded_is_judged_again(place: Place) -> None:
    """A closed gate leaves nothing behind."""

    async def test(store: CampaignStore) -> None:
        met: list[Known] = []
        codes: tuple[Code, ...] = ("stale", "capped", "suppressed")
        for code in codes:
            assert await store.intend(intent("k"), says(code, met)) == code
        assert [list(known.fired) for known in met] == [[], [], []]

    place.run(test)


def test_the_history(place: Place) -> None:
    """A judge meets all of the customer's messages of every campaign, until an erasure."""

    async def test(store: CampaignStore) -> None:
        met: list[Known] = []
        await store.intend(intent("1", "a", 5 * DAY_MS), says("fire"))
        await store.intend(intent("2", "b", 6 * DAY_MS), says("held_out"))
        await store.intend(intent("3", "b", 7 * DAY_MS), says("stale", met))
        assert set(met[0].fired) == {Fired("a", 5 * DAY_MS, False), Fired("b", 6 * DAY_MS, True)}
        await store.forget("C1")
        await store.intend(intent("4", "b", 7 * DAY_MS), says("stale", met))
        assert not met[1].fired
        assert await store.intend(intent("1"), says("fire")) == "pending"

    place.run(test)


def test_suppression(place: Place) -> None:
    """Who is on the list is known to be."""
    place.suppress("C1")

    async def test(store: CampaignStore) -> None:
        met: list[Known] = []
        await store.intend(intent("k"), says("suppressed", met))
        assert met[0].suppressed
        assert await store.is_suppressed("C1")
        assert not await store.is_suppressed("C2")

    place.run(test)


def test_two_members_never_pass_a_cap_together(place: Place) -> None:
    """Of messages judged at the same time, a cap of one lets one through."""
    found: list[str] = []

    def member(number: int) -> Test:
        async def test(store: CampaignStore) -> None:
            for turn in range(5):

                def judge(known: Known) -> Code:
                    return "capped" if known.fired else "fire"

                found.append(await store.intend(intent(f"{number}-{turn}"), judge))

        return test

    place.run(*(member(number) for number in range(6)))
    assert sorted(found) == ["capped"] * 29 + ["pending"]
