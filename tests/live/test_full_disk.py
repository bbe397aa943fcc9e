"""Kafka without room for its log: a worker says it once, waits calmly and recovers alone.

No file system is filled: a limit on the size of the broker's files makes each write fail with EFBIG
where a full disk says ENOSPC. To the broker both are an append that failed.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deploy.local.local_stack import LocalStack
from deploy.local.process import wait_until
from tests.live.chaos.place import until
from tests.live.small_shop import (
    PATIENCE_S,
    begun,
    fill,
    finish,
    notices,
    place_of,
    roles_of,
    waits_calmly,
)

pytestmark = pytest.mark.slow


@contextmanager
def no_room(stack: LocalStack) -> Iterator[None]:
    """Let the broker append nothing, until it has ended; with room it is started again."""
    broker = stack.pid("kafka")
    _, most = resource.prlimit(broker, resource.RLIMIT_FSIZE)
    resource.prlimit(broker, resource.RLIMIT_FSIZE, (1, most))
    try:
        assert wait_until(lambda: not Path(f"/proc/{broker}/fd/0").exists(), PATIENCE_S)
        yield
    finally:
        stack.kill("kafka")
        stack.restart("kafka")


def test_kafka_has_no_room(stack: LocalStack, namespace: str, tmp_path: Path) -> None:
    """A broker that cannot append ends; a worker waits for it, and the end is the same."""
    place = place_of(stack.kafka, stack.redis, namespace)
    told = fill(place)
    roles = roles_of(place, tmp_path)
    try:
        worker = roles.add("w")
        begun(place, roles)
        before = len(roles.log())
        with no_room(stack):
            notices(roles, before)
            waits_calmly(worker, roles.log)
        until(lambda: "works again" in roles.log()[before:], PATIENCE_S, roles.check)
        finish(place, roles, told)
        words = roles.log()[before:]
        assert words.count("trying again") == words.count("works again") == 1, words
    finally:
        roles.close()
