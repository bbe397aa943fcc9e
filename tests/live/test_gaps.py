"""A kill in every gap of a worker's order of effects changes nothing in the end.

The names of the points are the numbers in the docstring of `segstream.worker`.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from functools import cache

import msgspec
import pytest
from deploy.local.local_stack import LocalStack
from tests.live.chaos.crew import Crew
from tests.live.chaos.place import Place, until
from tests.live.chaos.shop import BASE, Expected, Row, expected, fixed_model, rows

from segstream.adapters import redis_keys
from segstream.adapters.redis_store import RedisStore, connect
from segstream.errors import FencedError
from segstream.kafka_settings import KafkaSettings

pytestmark = pytest.mark.slow

CLAIM_POINTS = (
    "before claim 1",
    "claim 1|2",
    "claim 2|3",
    "claim 3|4",
    "claim 4|5",
    "claim 5|6",
    "claim 6",
)
BATCH_POINTS = (
    "batch 1|2",
    "batch 2|3",
    "batch 3|4",
    "inside batch 4",
    "batch 4|5",
    "inside batch 5, begun",
    "inside batch 5, sent",
    "after batch 5",
)
PATIENCE_S = 90.0
SETTINGS = msgspec.structs.replace(BASE, batch_bytes=2_500)


@cache
def shop() -> tuple[list[Row], Expected]:
    """A feed and what comes of it; the namespace is part of every id."""
    log = rows(40, 25, seed=5)
    return log, expected(SETTINGS, log, fixed_model())


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    with closing(Crew(tmp_path_factory.mktemp("crew"))) as made:
        yield made


@pytest.fixture
def place(stack: LocalStack, namespace: str, crew: Crew) -> Iterator[Place]:
    """Two partitions of a log that is wholly there."""
    kafka = KafkaSettings(
        bootstrap=stack.kafka, partitions=2, retention_days="forever", session_timeout_ms=3_000
    )
    made = Place(msgspec.structs.replace(SETTINGS, namespace=namespace), kafka, stack.redis)
    made.create()
    made.send(shop()[0])
    yield made
    crew.clear()


def whole(place: Place) -> Expected:
    """What the undisturbed run comes to in this namespace."""
    return expected(place.settings, shop()[0], fixed_model())


def finish(place: Place, crew: Crew) -> None:
    """Start a worker, and end as the undisturbed run does."""
    pid = crew.start(place, instance="w")
    told = whole(place)
    place.wait(told.clock_minute, PATIENCE_S, crew.check)
    assert place.outcome().differences(told) == []
    assert crew.end(pid) == 0


def test_the_undisturbed_run_has_everything_in_play(place: Place, crew: Crew) -> None:
    """Changes, dead letters, duplicates, erasures, and every point many times."""
    finish(place, crew)
    told, passed = whole(place), crew.passed()
    assert len(told.changes) > 50
    assert min(told.counts["dead"], told.counts["duplicates"]) > 3
    assert any(b'"erased"' in body for body in told.changes)
    assert set(passed) == {*CLAIM_POINTS, *BATCH_POINTS, "lose"}
    assert all(passed[point] > 12 for point in BATCH_POINTS)


@pytest.mark.parametrize("count", [1, 7, 12])
@pytest.mark.parametrize("point", BATCH_POINTS)
def test_killed_in_a_batch(place: Place, crew: Crew, point: str, count: int) -> None:
    """Killed in a gap of a batch and started again, a worker ends as if it never was."""
    assert crew.wait(crew.start(place, instance="w", point=point, count=count)) == -9
    finish(place, crew)


@pytest.mark.parametrize("point", [*CLAIM_POINTS, "inside batch 5, begun", "inside batch 5, sent"])
def test_killed_in_a_claim(place: Place, crew: Crew, point: str) -> None:
    """Killed between commit and publishing, and again twice while claiming, nothing is missing."""
    assert crew.wait(crew.start(place, instance="w", point="batch 4|5", count=7)) == -9
    for _ in range(2):
        assert crew.wait(crew.start(place, instance="w", point=point)) == -9
    finish(place, crew)


def test_lost_reply(place: Place, crew: Crew) -> None:
    """A commit whose reply is lost is settled by the next claim, and the worker goes on."""
    pid = crew.start(place, instance="w", lose=5)
    told = whole(place)
    place.wait(told.clock_minute, PATIENCE_S, crew.check)
    assert crew.end(pid) == 0
    assert crew.passed()["before claim 1"] == 3
    assert place.outcome().differences(told) == []


def test_older_generation(place: Place, crew: Crew) -> None:
    """A claim by a member of an older group generation is refused while the newer one is fresh."""
    pid = crew.start(place)
    until(lambda: int(place.meta(0).get(redis_keys.BATCH, 0)) > 1, 30, crew.check)
    assert crew.end(pid) == 0
    asyncio.run(_claim_as(place, int(place.meta(0)[redis_keys.GENERATION]) - 1))


async def _claim_as(place: Place, generation: int) -> None:
    redis = connect(place.redis)
    digest = place.settings.spec.digest
    store = RedisStore(redis, place.namespace, 0, digest, 60 * place.settings.policy.sweep_hours)
    before = place.meta(0)
    try:
        with pytest.raises(FencedError, match="a member of generation"):
            await store.claim(generation)
        assert place.meta(0) == before
        await store.claim(generation + 1)
    finally:
        await redis.aclose()


def test_zombie(place: Place, crew: Crew) -> None:
    """A worker that sleeps beyond its session publishes nothing and overwrites nothing."""
    small = msgspec.structs.replace(place.settings, batch_bytes=400)
    slow = Place(small, place.kafka, place.redis)
    slow.sent = place.sent
    pid = crew.start(slow)
    until(lambda: int(place.meta(0).get(redis_keys.BATCH, 0)) > 5, 30, crew.check)
    os.kill(pid, signal.SIGSTOP)
    other = crew.start(slow)
    before = int(place.meta(0)[redis_keys.EPOCH])
    until(lambda: int(place.meta(0)[redis_keys.EPOCH]) > before, 30)
    os.kill(pid, signal.SIGCONT)
    told = whole(place)
    place.wait(told.clock_minute, PATIENCE_S, crew.check)
    assert place.outcome().differences(told) == []
    assert crew.end(pid) == 0
    assert crew.end(other) == 0
