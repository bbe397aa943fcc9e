"""Compare and set on a real Redis: whatever goes wrong, nothing is written and nothing mixed up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from deploy.local.local_stack import LocalStack
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError, WatchError

from segstream.adapters.redis_store import connect
from segstream.adapters.redis_watch import WatchedHash

pytestmark = pytest.mark.slow

FIELDS = (b"epoch", b"batch")
Scenario = Callable[[WatchedHash, Redis, str], Awaitable[None]]


@asynccontextmanager
async def watched(stack: LocalStack, key: str) -> AsyncIterator[tuple[WatchedHash, Redis]]:
    """A hash with epoch 1 and batch 7, watched by one client and open to another."""
    mine, other = connect(stack.redis), connect(stack.redis)
    try:
        await other.hset(key, mapping={"epoch": 1, "batch": 7})
        yield WatchedHash(mine, key, FIELDS), other
    finally:
        await other.delete(key, f"{key}-record")
        await mine.aclose()
        await other.aclose()


def run(stack: LocalStack, namespace: str, scenario: Scenario) -> None:
    """Run a scenario against a hash of its own."""
    key = f"{namespace}-watched"

    async def play() -> None:
        async with watched(stack, key) as (held, other):
            await scenario(held, other, key)

    asyncio.run(play())


def test_each_transaction_after_the_first_is_one_round_trip(
    stack: LocalStack, namespace: str
) -> None:
    async def scenario(held: WatchedHash, other: Redis, key: str) -> None:
        for n in (8, 9, 10):
            assert await held.read() == [b"1", str(n - 1).encode()]
            await held.execute([("HSET", key, "batch", n), ("SET", f"{key}-record", n)])
        assert held.trips == 4
        assert await other.get(f"{key}-record") == b"10"

    run(stack, namespace, scenario)


def test_a_write_between_two_transactions_fails_the_second(
    stack: LocalStack, namespace: str
) -> None:
    """The second one compares with what it was told right behind the first: the watch tells."""

    async def scenario(held: WatchedHash, other: Redis, key: str) -> None:
        await held.read()
        await held.execute([("HSET", key, "batch", 8)])
        await other.hset(key, "epoch", 2)
        assert await held.read() == [b"1", b"8"]
        with pytest.raises(WatchError):
            await held.execute([("HSET", key, "batch", 9)])
        assert await held.read() == [b"2", b"8"]

    run(stack, namespace, scenario)


@pytest.mark.parametrize("wrong", [("LPUSH", "?", "x"), ("NO-SUCH-COMMAND",)])
def test_a_command_that_is_refused_is_said_and_the_next_is_answered_right(
    stack: LocalStack, namespace: str, wrong: tuple[str, ...]
) -> None:
    async def scenario(held: WatchedHash, _other: Redis, key: str) -> None:
        await held.read()
        command = tuple(key if part == "?" else part for part in wrong)
        with pytest.raises(ResponseError):
            await held.execute([command])
        assert await held.read() == [b"1", b"7"]
        await held.execute([("HSET", key, "batch", 8)])

    run(stack, namespace, scenario)


def test_a_connection_that_is_lost_takes_its_watch_with_it(
    stack: LocalStack, namespace: str
) -> None:
    """What comes next on a new connection compares anew, and is not executed unwatched."""

    async def scenario(held: WatchedHash, other: Redis, key: str) -> None:
        await held.read()
        await held.execute([("HSET", key, "batch", 8)])
        await other.client_kill_filter(_type="normal", skipme=True)
        await other.hset(key, "epoch", 2)
        with pytest.raises((RedisError, OSError)):
            await held.execute([("HSET", key, "batch", 9)])
        assert await other.hget(key, "batch") == b"8"
        assert await held.read() == [b"2", b"8"]

    run(stack, namespace, scenario)


def test_a_reply_that_nobody_waits_for_answers_nobody_else(
    stack: LocalStack, namespace: str
) -> None:
    async def scenario(held: WatchedHash, _other: Redis, key: str) -> None:
        await held.read()
        asking = asyncio.create_task(held.execute([("HSET", key, "batch", 8)] * 2_000))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        assert (await held.read())[0] == b"1"
        await held.execute([("HSET", key, "batch", 9)])
        assert await held.read() == [b"1", b"9"]

    run(stack, namespace, scenario)
