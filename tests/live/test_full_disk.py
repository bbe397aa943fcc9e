"""Kafka without room for its log: worker and trainer wait, say it once, and recover alone.

No file system is filled: a limit on the size of the broker's files makes each write fail with EFBIG
where a full disk says ENOSPC. To the broker both are an append that failed.
"""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deploy.local.local_stack import LocalStack
from deploy.local.process import wait_until
from tests.live.chaos.place import until
from tests.live.chaos.roles import Roles, end
from tests.live.small_shop import begun, fill, finish, notices, place_of, roles_of, waits_calmly
from tests.live.test_replay import PATIENCE_S, TOML, learned, make, published, shop

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
    """A broker that cannot append ends; whoever needs it waits, and the end is the same.

    A worker with a model of its own, and a replay that learns with its trainer.
    """
    learning = make(stack, namespace, 2)
    taught = place_of(stack.kafka, stack.redis, namespace + "-b")
    told, also_told = learned(learning, shop()), fill(taught)
    learning.send(shop())
    roles = Roles(learning, tmp_path, None, f"trainer_wait_s = {PATIENCE_S}\n" + TOML)
    others = roles_of(taught, tmp_path)
    try:
        other = others.add("w")
        begun(taught, others)
        before = len(others.log())
        # Last, so that the replay is still under way when there is no room.
        trainer, worker = roles.add_trainer(), roles.add("w")
        until(lambda: len(published(learning)) > 3, PATIENCE_S, roles.check)
        with no_room(stack):
            until(lambda: "trying again" in roles.log(1), PATIENCE_S, roles.check)
            notices(others, before)
            waits_calmly(trainer, lambda: roles.log(1))
            waits_calmly(other, others.log)
        finish(taught, others, also_told)
        learning.wait(told.clock_minute, PATIENCE_S, roles.check)
        assert learning.outcome().differences(told) == []
        for words in (roles.log(1), others.log()[before:]):
            assert words.count("trying again") == words.count("works again") == 1, words
        assert [end(one, signal.SIGTERM) for one in (worker, trainer)] == [0, 0]
    finally:
        roles.close()
        others.close()
