"""`segstream up`, what becomes of an erased customer, and SIGTERM in every state."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from deploy.local.local_stack import LocalStack
from redis import Redis
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import Roles, end
from tests.live.chaos.shop import BASE, Row, expected, rows

from segstream.adapters import redis_keys
from segstream.core.changes import Change
from segstream.core.layout import MINUTE_MS, N_PANEL_COLUMNS, P_HASH
from segstream.core.spec import text_hash
from segstream.kafka_settings import DAY_MS, KafkaSettings
from segstream.ports import PanelBlock

pytestmark = pytest.mark.slow

PATIENCE_S = 120.0
# The time to drain, to close the clients, and a machine that is slow.
STOP_S = 40.0
EARLY = msgspec.structs.replace(BASE.model, k=3, start="early", min_panel=40)
TOML = '[model]\nk = 3\nstart = "early"\nmin_panel = 40\n'


@pytest.fixture
def place(stack: LocalStack, namespace: str) -> Place:
    """Two partitions."""
    kafka = KafkaSettings(
        bootstrap=stack.kafka, partitions=2, retention_days="forever", session_timeout_ms=4_000
    )
    settings = msgspec.structs.replace(BASE, namespace=namespace, batch_bytes=20_000, model=EARLY)
    made = Place(settings, kafka, stack.redis)
    made.create()
    return made


@pytest.fixture
def roles(place: Place, tmp_path: Path) -> Iterator[Roles]:
    made = Roles(place, tmp_path, None, "trainer_wait_s = 600\n" + TOML)
    yield made
    made.close()


def shop() -> list[Row]:
    """A month with erasures."""
    return rows(150, 30, seed=31)


def last_changes(place: Place) -> dict[bytes, bytes | None]:
    """What the compacted topic should come to: the last change of each customer."""
    changes = sorted(place.read(place.names.changes), key=lambda r: (r.partition, r.offset))
    last = {r.key: r.value for r in changes}
    return {
        key: None if msgspec.json.decode(value, type=Change).data.reason == "erased" else value
        for key, value in last.items()
    }


def current(place: Place) -> dict[bytes, bytes | None]:
    """What it does come to."""
    found = place.read(place.names.current_segment)
    return {r.key: r.value for r in sorted(found, key=lambda r: (r.partition, r.offset))}


def test_up(place: Place, roles: Roles) -> None:
    """One process makes models, publishes changes and keeps each customer's segment.

    Of an erased customer the compacted topic keeps nothing.
    """
    told = expected(place.settings, shop(), None)
    place.send(shop())
    up = roles.add_up()
    place.wait(told.clock_minute, PATIENCE_S, roles.check)
    assert place.outcome().differences(told) == []
    # In the transactions of the changes: never behind.
    kept = last_changes(place)
    assert current(place) == kept
    assert len(kept) > 40
    assert None in kept.values()
    assert end(up, signal.SIGTERM) == 0
    assert "\x1b" not in roles.log()  # there is no terminal that wants its cursor hidden


def members(place: Place) -> set[int]:
    """Whose vectors the open day's panels hold, by hash."""
    with Redis.from_url(place.redis) as redis:
        keys = [redis_keys.panel(place.namespace, p) for p in place.partitions]
        bodies = [body for key in keys for body in redis.lrange(key, 0, -1)]
    blocks = [msgspec.msgpack.decode(body, type=PanelBlock).keys for body in bodies]
    rows_of_keys = np.frombuffer(b"".join(blocks), dtype=np.int64).reshape(-1, N_PANEL_COLUMNS)
    return set(rows_of_keys[:, P_HASH].tolist())


def test_panel_vectors_leave_with_the_erased(place: Place, roles: Roles) -> None:
    """Redis keeps no vector of an erased customer, though its day is open; the others' stay."""
    opened = shop()[0].time_ms // DAY_MS
    day = [row for row in shop() if row.time_ms // DAY_MS == opened]
    place.send(day)
    roles.add_trainer()
    roles.add("w")
    place.wait(day[-1].time_ms // MINUTE_MS, PATIENCE_S, roles.check)
    before = members(place)
    left = next(row.key.decode() for row in day if text_hash(row.key.decode()) in before)
    at_ms = day[-1].time_ms + 1
    gone = {"event_id": "gdpr-1", "customer_id": left, "ts": at_ms, "type": "erase"}
    place.send([Row(left.encode(), msgspec.json.encode(gone), at_ms)])
    until(lambda: text_hash(left) not in members(place), PATIENCE_S, roles.check)
    assert before - members(place) == {text_hash(left)}
    assert len(before) > 1


def test_erase_key(place: Place, roles: Roles) -> None:
    """The key of erased ids is drawn once for a namespace, and kept."""
    with Redis.from_url(place.redis) as redis:
        for _ in range(2):
            worker = roles.add("w")
            key = redis_keys.erase_key(place.namespace)
            until(lambda k=key: redis.exists(k), PATIENCE_S, roles.check)  # type: ignore[misc]
            drawn = redis.get(key)
            assert len(drawn) == 32
            end(worker, signal.SIGKILL)
        assert redis.get(key) == drawn


def waits_for_the_trainer(place: Place, roles: Roles) -> None:
    """Nobody answers for the first day."""
    place.send(shop())
    roles.add("w")
    until(lambda: place.meta(0).get(redis_keys.BATCH, b"0") != b"0", PATIENCE_S, roles.check)
    time.sleep(2.0)


def waits_for_a_model(place: Place, roles: Roles) -> None:
    """A partition uses a model that the models topic does not have."""
    with Redis.from_url(place.redis) as redis:
        adoption = msgspec.msgpack.encode({"number": 7, "minute": 1, "generation": 1})
        for partition in place.partitions:
            meta = redis_keys.meta(place.namespace, partition)
            redis.hset(meta, mapping={redis_keys.MODEL: adoption, redis_keys.BATCH: 1})
            redis.hset(meta, redis_keys.OFFSET, 0)
    roles.add("w")
    claimed = redis_keys.CLAIMED_MS
    until(lambda: claimed in place.meta(0), PATIENCE_S, roles.check)


STATES: dict[str, Callable[[Place, Roles], None]] = {
    "trainer": waits_for_the_trainer,
    "model": waits_for_a_model,
}


def ends(roles: Roles) -> None:
    """A worker ends by itself, with 0, soon after it is asked."""
    asked = time.monotonic()
    assert end(roles.workers.pop("w"), signal.SIGTERM) == 0
    print(f"ended after {time.monotonic() - asked:.1f} s")
    assert time.monotonic() - asked < STOP_S


@pytest.mark.parametrize("state", STATES)
def test_sigterm_in_a_wait(place: Place, roles: Roles, state: str) -> None:
    """A worker that waits for the trainer, or for a model, ends when asked."""
    STATES[state](place, roles)
    ends(roles)


@pytest.mark.parametrize("part", ["kafka", "redis"])
@pytest.mark.parametrize("when", ["starts", "works"])
def test_sigterm_while_away(
    stack: LocalStack, place: Place, roles: Roles, part: str, when: str
) -> None:
    """So does one whose broker or Redis is away, from the start or since."""
    place.send(shop())
    if when == "works":
        waits_for_the_trainer(place, roles)
    stack.kill(part)
    try:
        if when == "starts":
            roles.add("w")
            until(lambda: "trying again" in roles.log(), PATIENCE_S, roles.check)
        time.sleep(2.0)
        ends(roles)
    finally:
        stack.restart(part)


def test_sigterm_while_starting(place: Place, roles: Roles) -> None:
    """And one that was started a moment ago, at any moment."""
    place.send(shop())
    for moment_s in (1.5, 2.5, 3.5, 5.0):
        worker = roles.add("w")
        time.sleep(moment_s)
        asked = time.monotonic()
        assert end(worker, signal.SIGTERM) in (0, -signal.SIGTERM)
        assert time.monotonic() - asked < STOP_S
    roles.workers.clear()
