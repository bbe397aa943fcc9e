"""Prometheus scrapes a real worker and trainer: metrics arrive, every query answers."""

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from deploy.grafana.build import DASHBOARDS, queries
from deploy.local.local_stack import LocalStack
from deploy.local.process import free_ports
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import Roles
from tests.live.chaos.shop import BASE, rows
from tests.needed import running
from tests.watch.rules import expressions

from segstream.kafka_settings import KafkaSettings
from segstream.metrics import CATALOGUE

pytestmark = pytest.mark.slow

PATIENCE_S: Final = 90.0
TOML: Final = '[model]\nk = 3\nstart = "early"\nmin_panel = 40\n'
# What a replay of twenty days must have moved.
MOVED: Final = (
    "segstream_events_total", "segstream_changes_total", "segstream_stage_seconds_count",
    "segstream_batch_messages_count", "segstream_latency_seconds_count",
    "segstream_segment_customers", "segstream_segment_freshness_seconds", "segstream_segment_info",
    "segstream_clock_timestamp_seconds", "segstream_clock_stopped", "segstream_claimed",
    "segstream_adopted_generation", "segstream_redis_round_trips_total",
    "segstream_redis_written_bytes_total", "segstream_redis_memory_bytes",
    "segstream_redis_memory_limit_bytes", "segstream_model_generation",
    "segstream_days_closed_total", "segstream_ready", "segstream_dead_letters_total",
    "segstream_segment_entries_total", "segstream_model_created_timestamp_seconds",
)  # fmt: skip
# Drift is judged in panels of 200 and more; segments' counters begin with the first change.
QUIET: Final = ("drift_psi", "drift_level")
# Those that run here.
ROLES: Final = ("worker", "trainer", "all")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[LocalStack]:
    """A stack of its own, with Prometheus."""
    with running(LocalStack(tmp_path / "stack", prometheus=True)) as stack:
        yield stack


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own addresses
        return bytes(answer.read())


def ask(stack: LocalStack, query: str) -> list[Any]:
    """The samples of an instant query; fails where it does not parse."""
    url = f"{stack.prometheus}/api/v1/query?query={urllib.parse.quote(query)}"
    return list(json.loads(get(url))["data"]["result"])


def moved(stack: LocalStack) -> list[str]:
    """Metrics that are not above 0 yet."""
    return [name for name in MOVED if not ask(stack, f"max({name}) > 0")]


def of_these(query: str) -> bool:
    """Whether a query asks only for what these roles serve."""
    others = [metric.name for metric in CATALOGUE if metric.role not in ROLES]
    return not any(name in query for name in others)


def unserved(stack: LocalStack) -> set[str]:
    """Metrics of worker and trainer that nobody has set."""
    names = {
        metric.name: metric.name + ("_count" if metric.kind == "histogram" else "")
        for metric in CATALOGUE
        if metric.role in ROLES
    }
    return {name for name, sample in names.items() if not ask(stack, sample)}


def empty(stack: LocalStack, shown: list[str]) -> list[str]:
    """Panels' queries without an answer, though there must be one."""
    return [
        query
        for query in shown
        if not ask(stack, query.replace("$__rate_interval", "1m"))
        and not any(name in query for name in QUIET)
    ]


def test_scraped(watched: LocalStack, namespace: str, tmp_path: Path) -> None:
    """What the catalogue promises arrives in Prometheus, and every panel and alert can be asked."""
    kafka = KafkaSettings(
        bootstrap=watched.kafka, partitions=2, retention_days="forever", session_timeout_ms=4_000
    )
    settings = msgspec.structs.replace(BASE, namespace=namespace, batch_bytes=20_000)
    place = Place(settings, kafka, watched.redis)
    place.create()
    log = rows(150, 30, seed=31)
    place.send([row for row in log if row.time_ms - log[0].time_ms < 20 * 86_400_000])
    ports = free_ports(2)
    targets = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
    target_file = watched.folder / "prometheus/targets/segstream.json"
    target_file.write_text(json.dumps(targets), "utf-8")
    roles = Roles(place, tmp_path, None, TOML)
    try:
        roles.add_trainer("--metrics-port", str(ports[0]))
        roles.add("w", "--metrics-port", str(ports[1]), "--log-format", "json")
        until(lambda: not moved(watched), PATIENCE_S, roles.check, lambda: str(moved(watched)))
        for port in ports:
            base = f"http://127.0.0.1:{port}"
            assert get(f"{base}/healthz") == b"alive\n"
            assert get(f"{base}/readyz") == b"ready\n"
        for query in expressions():
            ask(watched, query)
        assert unserved(watched) == {"segstream_drift_psi", "segstream_drift_level"}
        shown = [q for board in DASHBOARDS for q in queries(board) if of_these(q)]
        until(lambda: not empty(watched, shown), PATIENCE_S, roles.check,
              lambda: str(empty(watched, shown)))  # fmt: skip
    finally:
        roles.close()
