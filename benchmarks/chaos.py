"""Seeded kills under load; afterwards everything must be as if nothing had happened.

``python -m benchmarks.chaos --kills 100 --seed 1`` runs episodes. Each has topics and keys of its
own, a log of some thousand events, two workers and a trainer standing by; it goes on until the log
is drained and is then compared with the undisturbed embedded run: records, read_committed output,
ids, sequences, dead letters and counters. The report is printed and kept under benchmarks/results.

The log is there before the workers begin: how late an event is depends on when it comes, so two
runs of a live stream differ and an equality would prove nothing.
"""

import argparse
import contextlib
import datetime as dt
import json
import random
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from deploy.local.local_stack import LocalStack
from redis.exceptions import RedisError
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import Roles, end
from tests.live.chaos.shop import BASE, expected, fixed_model, rows

from segstream.core.model import Model
from segstream.kafka_settings import KafkaSettings

RESULTS: Final = Path(__file__).parent / "results"
SESSION_MS: Final = 6_000
PARTITIONS: Final = 6
# Small batches: many crossings of every gap, and a log that lasts for several kills.
BATCH_BYTES: Final = 250
DRAIN_S: Final = 300.0
TAKEOVER_S: Final = 60.0


@dataclass
class Report:
    """What a run came to."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    episodes: int = 0
    events: int = 0
    changes: int = 0
    differences: list[str] = field(default_factory=list)
    recovery_s: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0

    def recovered(self, kind: str, seconds: float) -> None:
        """Note how long it was until a batch was published again."""
        self.recovery_s.setdefault(kind, []).append(round(seconds, 2))


class Chaos:
    """One kill after another, drawn from a seeded generator."""

    def __init__(self, stack: LocalStack, rng: random.Random, report: Report) -> None:
        self._stack, self._rng, self._report = stack, rng, report
        self._acts: dict[str, Callable[[Place, Roles], None]] = {
            "worker": self._kill_worker,
            "zombie": self._zombie,
            "rebalance": self._rebalance,
            "redis": self._kill_redis,
            "broker": self._kill_broker,
            "trainer": self._kill_trainer,
        }
        self._bag: list[str] = []

    def act(self, place: Place, roles: Roles, clock_minute: int) -> None:
        """Do one thing that must not matter, and wait until every partition goes on or is done."""
        if not self._bag:  # every kind comes, in a drawn order
            self._bag = [*self._acts, "worker"]
            self._rng.shuffle(self._bag)
        kind = self._bag.pop()
        time.sleep(self._rng.uniform(0.05, 1.0))
        before = _batches(place)
        begun = time.monotonic()
        self._acts[kind](place, roles)
        goes_on = partial(_goes_on, place, before, clock_minute)
        until(goes_on, TAKEOVER_S, roles.check, place.where)
        self._report.kills[kind] += 1
        self._report.recovered(kind, time.monotonic() - begun)

    def _kill_worker(self, _place: Place, roles: Roles) -> None:
        name = self._rng.choice(sorted(roles.workers))
        end(roles.workers[name], signal.SIGKILL)
        if self._rng.random() < 0.5:  # the others take over first
            time.sleep(SESSION_MS / 1000)
        roles.add(name)

    def _zombie(self, _place: Place, roles: Roles) -> None:
        process = roles.workers[self._rng.choice(sorted(roles.workers))]
        process.send_signal(signal.SIGSTOP)
        time.sleep(SESSION_MS / 1000 + self._rng.uniform(1.0, 3.0))
        process.send_signal(signal.SIGCONT)

    def _rebalance(self, place: Place, roles: Roles) -> None:
        if "third" not in roles.workers:
            roles.add("third")
            return
        until(lambda: "third" in place.members(), TAKEOVER_S, roles.check)
        process = roles.workers.pop("third")
        code = end(process, signal.SIGTERM)
        if code:
            self._report.differences.append(f"SIGTERM: exit code {code}")

    def _kill_redis(self, _place: Place, _roles: Roles) -> None:
        self._stack.kill_redis()
        time.sleep(self._rng.uniform(0.0, 2.0))
        self._stack.restart_redis()

    def _kill_broker(self, _place: Place, _roles: Roles) -> None:
        self._stack.kill_broker()
        time.sleep(self._rng.uniform(0.0, 2.0))
        self._stack.restart_broker()

    def _kill_trainer(self, _place: Place, roles: Roles) -> None:
        end(roles.trainers.pop(), signal.SIGKILL)
        roles.add_trainer()


def run(stack: LocalStack, kills: int, seed: int, folder: Path) -> Report:
    """Run episodes until there were so many kills."""
    report, rng = Report(seed), random.Random(seed)
    chaos, begun = Chaos(stack, rng, report), time.monotonic()
    model = fixed_model()
    (folder / "model.json").write_bytes(msgspec.json.encode(model))
    while report.kills.total() < kills:
        try:
            _episode(stack, chaos, report, kills, folder, model)
        except AssertionError as error:  # a role ended, or nothing came: the next one goes on
            report.differences.append(f"episode {report.episodes}: {error}")
            report.episodes += 1
        print(f"{report.kills.total()} kills, {report.differences}", file=sys.stderr, flush=True)
        report.seconds = round(time.monotonic() - begun, 1)
    return report


def _episode(
    stack: LocalStack, chaos: Chaos, report: Report, kills: int, folder: Path, model: Model
) -> None:
    settings = msgspec.structs.replace(
        BASE, namespace=f"chaos{uuid.uuid4().hex[:8]}", batch_bytes=BATCH_BYTES
    )
    kafka = KafkaSettings(
        bootstrap=stack.kafka, partitions=PARTITIONS, retention_days="forever",
        session_timeout_ms=SESSION_MS,
    )  # fmt: skip
    place = Place(settings, kafka, stack.redis)
    place.create()
    log = rows(500, 60, seed=1000 * report.seed + report.episodes)
    told = expected(settings, log, model)
    place.send(log)
    with _roles(place, folder) as roles:
        until(lambda: sum(_batches(place).values()) > 20, DRAIN_S, roles.check)
        while report.kills.total() < kills and place.missing(told.clock_minute):
            chaos.act(place, roles, told.clock_minute)
        place.wait(told.clock_minute, DRAIN_S, roles.check)
        differences = place.outcome().differences(told)
    report.differences += [f"episode {report.episodes}: {one}" for one in differences]
    report.episodes += 1
    report.events += len(log)
    report.changes += len(told.changes)


@contextlib.contextmanager
def _roles(place: Place, folder: Path) -> Iterator[Roles]:
    roles = Roles(place, folder, folder / "model.json")
    try:
        roles.add_trainer()
        for name in ("first", "second"):
            roles.add(name)
        yield roles
    finally:
        roles.close()


def _batches(place: Place) -> dict[int, int]:
    """Number of the last committed batch of each partition; empty while Redis is away."""
    try:
        return {p: int(place.meta(p).get(b"batch", 0)) for p in place.partitions}
    except (RedisError, OSError):
        return {}


def _goes_on(place: Place, before: dict[int, int], clock_minute: int) -> bool:
    """Whether every partition has committed a batch since, which waits for the one before.

    One whose log is done has nothing to commit but its place, every five seconds.
    """
    now, waiting = _batches(place), place.missing(clock_minute)
    return bool(now) and all(n > before.get(p, 0) + 1 or p not in waiting for p, n in now.items())


def main() -> int:
    """Run, report, keep the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    with LocalStack(folder / "stack") as stack:
        report = run(stack, given.kills, given.seed, folder)
    found: dict[str, Any] = vars(report) | {"total": report.kills.total()}
    text = json.dumps(found, indent=1)
    today = dt.datetime.now(dt.UTC).date().isoformat()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"chaos-{today}-{given.seed}.json").write_text(text + "\n", "utf-8")
    print(text)
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
