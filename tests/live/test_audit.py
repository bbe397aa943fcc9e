"""`segstream audit` after a feed with faults: every message is accounted for."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from deploy.local.local_stack import LocalStack
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import SEGSTREAM, end
from tests.live.small_shop import PATIENCE_S, place_of, roles_of

from segstream.adapters import redis_keys
from segstream_producers.cli import producers

pytestmark = pytest.mark.slow

FAULTS = ("--late", ".01", "--duplicates", ".01", "--bad", ".001")


def sent_to(place: Place, read_topic: Callable[[str], list[object]]) -> dict[int, int]:
    """Messages of each partition."""
    found = read_topic(place.names.transactions)
    return {p: sum(r.partition == p for r in found) for p in place.partitions}  # type: ignore[attr-defined]


def test_a_feed_with_faults(
    stack: LocalStack, namespace: str, tmp_path: Path, read_topic: Callable[[str], list[object]]
) -> None:
    """Sent is applied, skipped, duplicates and dead letters, and the store is as recomputed."""
    place = place_of(stack.kafka, stack.redis, namespace)
    place.settings = msgspec.structs.replace(place.settings, batch_bytes=100_000)
    place.create()
    feed = (
        "send",
        "synthetic",
        "--customers",
        "300",
        "--days",
        "60",
        "--seed",
        "3",
        *FAULTS,
    )
    given = ("--bootstrap", stack.kafka, "--namespace", namespace)
    said = CliRunner().invoke(producers, [*feed, *given])
    assert said.exit_code == 0, said.exception
    sent = sent_to(place, read_topic)
    roles = roles_of(place, tmp_path)
    try:
        worker = roles.add("w")
        ends = [(p, str(n).encode()) for p, n in sent.items()]
        until(
            lambda: all(place.meta(p).get(redis_keys.OFFSET) == n for p, n in ends),
            PATIENCE_S, roles.check, place.where,
        )  # fmt: skip
        assert end(worker, signal.SIGTERM) == 0
    finally:
        roles.close()
    found = audit(place, tmp_path)
    assert found["sent"] == sum(sent.values()) > 3_000
    assert found["sent"] == sum(found[n] for n in ("applied", "skipped", "duplicates", "dead"))
    assert min(found[n] for n in ("applied", "duplicates", "dead", "customers")) > 0
    assert not any(found[n] for n in ("features_differ", "changes_differ", "cut"))


def audit(place: Place, folder: Path) -> dict[str, int]:
    """What the command says; it ends with 0 only where all agrees."""
    env = os.environ | {"SEGSTREAM_KAFKA": place.kafka.bootstrap, "SEGSTREAM_REDIS": place.redis}
    config = folder / f"{place.namespace}.toml"
    done = subprocess.run(
        [str(SEGSTREAM), "audit", "--config", str(config), "--json"],
        capture_output=True, env=env, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, int] = msgspec.json.decode(done.stdout)
    return found
