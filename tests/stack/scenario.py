"""One run of the whole: started, fed, hurt, asked.

1. the image's kernels are compiled, where asked for
2. Kafka, Redis and Prometheus; then the services in the order of docker-compose.yml
3. the feed begins; where asked a worker is killed, then the active trainer; each is started again
   at once
4. where asked both trainers stay away for a while, so that a backlog grows
5. when all is applied: audit, every panel, every alert
"""

import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from deploy.local.local_stack import LocalStack
from deploy.local.process import wait_until
from tests.stack.asking import Asked, Prometheus
from tests.stack.compose import dotenv, services
from tests.stack.crew import IMAGE, LOOK_S, Crew, Member, program_path
from tests.stack.gauges import active, lags, served, state
from tests.stack.place import kafka_properties, place_of, prometheus_files

PATIENCE_S: Final = 180.0
# A trainer that has as many customers as fit into its panel closes about five days a second.
DRAIN_S: Final = 400.0
# Longer than a replay waits for a trainer that makes no progress would be no backlog any more.
AWAY_S: Final = 25.0
LAG: Final = "SegstreamLag"
ROLES: Final = ("worker", "trainer", "insights", "campaign", "serve", "explore")
# Of a customer of the synthetic shop; 64 counted.
EVENTS_A_YEAR: Final = 60
PARTITIONS: Final = 6
# A worker's gauges are at most this old.
GAUGE_S: Final = 6.0
AUDIT: Final = ["segstream", "audit", "--config", "/etc/segstream/segstream.toml"]


Hurt = Literal["worker", "trainer", "backlog"]


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes
    ----------
    days
        Of event time, in which the events happened.
    hurts
        In this order: a worker is killed; the active trainer is; both trainers stay away for
        `AWAY_S`, so that the lag alert fires.
    kernels
        A folder with the image's kernels, compiled first where it is not there; None for the
        checkout's own cache.
    """

    rate: int = 5_000
    seconds: int = 180
    days: int = 365
    workers: int = 2
    hurts: tuple[Hurt, ...] = ("worker", "trainer", "backlog")
    kernels: Path | None = None

    @property
    def events(self) -> int:
        """Messages to send."""
        return self.rate * self.seconds

    @property
    def customers(self) -> int:
        """As many as make that many events in these days, and some more."""
        return self.events * 365 // (EVENTS_A_YEAR * self.days)

    @property
    def feed(self) -> str:
        """The producer's FEED: with a drift late in it, and faults of every kind."""
        return (
            f"synthetic --customers {self.customers} --days {self.days}"
            f" --drift abrupt --drift-day {self.days * 5 // 7}"
            f" --late 0.01 --duplicates 0.01 --out-of-order 0.01 --bad 0.002 --now"
            f" --rate {self.rate} --limit {self.events}"
        )


@dataclass
class Found:
    """What a run showed."""

    took_s: dict[str, float] = field(default_factory=dict)
    sent: int = 0
    audit: str = ""
    messages: int = 0
    served: int = 0
    panels: list[Asked] = field(default_factory=list)
    alerts: list[Asked] = field(default_factory=list)
    broken_rules: list[str] = field(default_factory=list)
    lag_fired: list[tuple[float, float]] = field(default_factory=list)
    ended_s: float = 0.0
    unserved: list[str] = field(default_factory=list)
    unmoved: list[str] = field(default_factory=list)
    compiled: list[str] = field(default_factory=list)

    @property
    def customers(self) -> int:
        """Of the audit; -1 where it says none."""
        said = re.search(r"customers: ([\d,]+)", self.audit)
        return int(said[1].replace(",", "")) if said else -1


def run(folder: Path, plan: Plan, say: Callable[[str], None]) -> Found:
    """Run the plan in an empty folder; raises `AssertionError` where something does not go on."""
    found, begun = Found(), time.time()
    if plan.kernels is not None and not plan.kernels.exists():
        _compile(plan.kernels)
        found.took_s["compile"] = time.time() - begun
        say(f"kernels compiled in {found.took_s['compile']:.0f} s")
    variables = dotenv() | {"FEED": plan.feed, "WORKERS": str(plan.workers)}
    known = services(variables)
    ports = Crew.ports_of(known)
    with LocalStack(
        folder / "stack", prometheus=True, prometheus_files=prometheus_files(ports),
        kafka_properties=kafka_properties(known["kafka"].environment),
    ) as stack:  # fmt: skip
        crew = Crew(known, place_of(stack, folder), ports, plan.kernels)
        try:
            _play(crew, plan, found, say)
            _ask(stack, found, begun)
        except AssertionError as error:
            error.add_note(state(crew))
            raise
        finally:
            crew.close()
    return found


def _compile(kernels: Path) -> None:
    env = os.environ | {"NUMBA_CPU_NAME": "generic", "PATH": program_path()}
    command = ["sh", str(IMAGE / "compile.sh"), str(kernels)]
    subprocess.run(command, env=env, check=True, capture_output=True)


def _play(crew: Crew, plan: Plan, found: Found, say: Callable[[str], None]) -> None:
    began = time.time()
    crew.run("topics")
    crew.run("key")
    for name in ROLES:
        crew.start(name)
    for name in ROLES:
        crew.wait_healthy(name)
    found.took_s["start"] = time.time() - began
    say(f"healthy after {found.took_s['start']:.0f} s; feeding {plan.rate:,} events/s")
    (producer,) = crew.start("producer")
    began = time.time()
    _hurt(crew, plan, found, say, began)
    assert producer.process.wait(plan.seconds + PATIENCE_S) == 0, producer.log.read_text()
    found.took_s["feed"] = time.time() - began
    found.sent = _sent(producer)
    say(f"{found.sent:,} sent in {found.took_s['feed']:.0f} s; waiting until all is applied")
    began = time.time()
    time.sleep(GAUGE_S)
    applied = wait_until(lambda: lags(crew) == [0.0] * PARTITIONS, DRAIN_S, LOOK_S)
    assert applied, f"not all is applied, lag by partition: {lags(crew)}"
    found.audit = crew.run("topics", *AUDIT, patience_s=PATIENCE_S)
    found.took_s["drained"] = time.time() - began
    # The API rests ten seconds and more after each look at everybody.
    wait_until(lambda: served(crew) == found.customers, PATIENCE_S, LOOK_S)
    found.served = served(crew)
    crew.check()
    log = crew.folder / "data/log.jsonl"
    found.messages = len(log.read_text("utf-8").splitlines()) if log.exists() else 0
    found.compiled = crew.compiled()


def _hurt(crew: Crew, plan: Plan, found: Found, say: Callable[[str], None], began: float) -> None:
    """Do what the plan asks for, each at its share of the feed."""
    for name in plan.hurts:
        share, hurt = _HURTS[name]
        time.sleep(max(0.0, began + share * plan.seconds - time.time()))
        say(hurt(crew, found))


def _kill_worker(crew: Crew, found: Found) -> str:
    del found
    crew.kill("worker-1")
    crew.restart("worker-1")
    return "worker-1 killed and started again"


def _kill_trainer(crew: Crew, found: Found) -> str:
    first = active(crew, PATIENCE_S)
    crew.kill(first.name)
    began = time.time()
    crew.restart(first.name)
    active(crew, PATIENCE_S)
    found.took_s["standby"] = time.time() - began
    return f"{first.name} killed; another closed a day {found.took_s['standby']:.0f} s later"


def _keep_trainers_away(crew: Crew, found: Found) -> str:
    del found
    for one in crew.of("trainer"):
        crew.kill(one.name)
    time.sleep(AWAY_S)
    crew.start("trainer")
    return f"both trainers were away for {AWAY_S:.0f} s"


_HURTS: Final[dict[Hurt, tuple[float, Callable[[Crew, Found], str]]]] = {
    "worker": (0.25, _kill_worker),
    "trainer": (0.4, _kill_trainer),
    "backlog": (0.6, _keep_trainers_away),
}


def _sent(producer: Member) -> int:
    """The count that the producer verified against the broker."""
    said = producer.log.read_text("utf-8", errors="replace")
    count = re.search(r"([\d,]+) events sent in", said)
    assert count, said
    return int(count[1].replace(",", ""))


def _ask(stack: LocalStack, found: Found, begun: float) -> None:
    # Longer than a gauge is set, and than an alert takes to clear.
    time.sleep(10.0)
    found.ended_s = time.time()
    prometheus = Prometheus(stack.prometheus, begun, found.ended_s)
    found.panels, found.alerts = prometheus.panels(), prometheus.alerts()
    found.broken_rules = prometheus.broken_rules()
    found.unserved, found.unmoved = prometheus.unserved(), prometheus.unmoved()
    found.lag_fired = prometheus.firing(LAG)
