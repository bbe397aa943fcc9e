"""The catalogue, the meter of a batch, the server and the JSON log."""

import json
import logging
import re
import urllib.error
import urllib.request

import numpy as np
import pytest
from deploy.local.process import free_ports

from segstream.adapters.metrics_server import serving
from segstream.adapters.trainer_gauges import count_day, outcome_of
from segstream.core.layout import NO_SEGMENT, REASONS
from segstream.core.partition import DeadLetter, PartitionMeta
from segstream.core.trainer_state import Decision, TrainerState
from segstream.logs import JsonFormatter
from segstream.metering import PartitionMeter
from segstream.metrics import CATALOGUE, Metrics

UNITS = ("_total", "_seconds", "_bytes", "_ratio", "_messages", "_customers", "_info")
# Without a unit: states, numbers of things, and what has scaled units.
BARE = {
    "segstream_clock_stopped", "segstream_claimed", "segstream_adopted_generation",
    "segstream_model_generation", "segstream_model_revision", "segstream_centre_distance",
    "segstream_drift_psi", "segstream_drift_level", "segstream_ready",
    "segstream_http_streams_open",
}  # fmt: skip


def test_names() -> None:
    """Every name is unique, says Segstream and its unit, and only counters end in _total."""
    names = [metric.name for metric in CATALOGUE]
    assert len(set(names)) == len(names)
    for metric in CATALOGUE:
        assert re.fullmatch(r"segstream_[a-z_]+", metric.name)
        assert metric.name.endswith(UNITS) or metric.name in BARE
        assert metric.name.endswith("_total") == (metric.kind == "counter")


def test_no_label_is_a_customer() -> None:
    """No label could hold a customer: each is bounded, and these are all there are."""
    labels = {label for metric in CATALOGUE for label in metric.labels}
    assert labels == {
        "outcome", "code", "reason", "segment", "stage", "partition", "cause", "name",
        "operation", "feature", "level", "campaign", "route",
    }  # fmt: skip


def test_a_batch_is_counted_once() -> None:
    """Outcomes are disjoint and sum to the batch's messages; what a claim found is not counted."""
    metrics = Metrics("worker")
    meter = PartitionMeter(metrics)
    meter.claimed(PartitionMeta(applied=100, dead=2))
    meter.committed(PartitionMeta(applied=108, late=3, duplicates=1, skipped=2, dead=3),
                    [DeadLetter(0, "not_json", "")], 12)  # fmt: skip
    value = metrics.registry.get_sample_value
    counts = {
        outcome: value("segstream_events_total", {"outcome": outcome})
        for outcome in ("applied", "late", "duplicate", "skipped", "dead")
    }
    assert counts == {"applied": 5, "late": 3, "duplicate": 1, "skipped": 2, "dead": 1}
    assert sum(n or 0 for n in counts.values()) == 12
    assert value("segstream_dead_letters_total", {"code": "not_json"}) == 1


def test_changes_are_counted_when_published() -> None:
    """A change counts by reason and segments once it is in Kafka; an erased one goes to none."""
    metrics = Metrics("worker")
    meter = PartitionMeter(metrics)
    moves = [
        (NO_SEGMENT, 4, REASONS.index("first")),
        (4, NO_SEGMENT, REASONS.index("erased")),
    ]
    meter.published(np.array(moves), None)
    value = metrics.registry.get_sample_value
    assert value("segstream_changes_total", {"reason": "first"}) == 1
    assert value("segstream_segment_entries_total", {"segment": "4"}) == 1
    assert value("segstream_segment_exits_total", {"segment": "4"}) == 1
    assert value("segstream_segment_entries_total", {"segment": "none"}) == 1


def test_decisions_are_counted_when_final() -> None:
    """A check counts once, on the day on which nothing of it is open any more."""
    kept = Decision(10, "schedule", "no", 0.0, 0.0, 0.0)
    state = TrainerState(decisions=(kept,))
    metrics = Metrics("trainer")
    count_day(metrics, TrainerState(), state, 10)
    count_day(metrics, state, state, 11)
    value = metrics.registry.get_sample_value
    assert value("segstream_decisions_total", {"outcome": "kept"}) == 1
    assert value("segstream_days_closed_total") == 2
    refused = Decision(10, "schedule", "no", 0.1, 0.1, 0.5, objection="moves too many")
    assert outcome_of(refused) == "refused"


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_server() -> None:
    """Alive at once; ready, in words and as a metric, only when nothing is missing."""
    metrics, missing = Metrics("worker"), ["redis: is away"]
    (free,) = free_ports(1)
    with serving(metrics, [lambda: missing], "127.0.0.1", free) as port:
        assert get(port, "/healthz") == (200, "alive\n")
        assert get(port, "/readyz") == (503, "redis: is away\n")
        assert "segstream_ready 0.0" in get(port, "/metrics")[1]
        missing.clear()
        assert get(port, "/readyz") == (200, "ready\n")
        assert "segstream_ready 1.0" in get(port, "/metrics")[1]
        assert get(port, "/")[0] == 404


def test_nothing_is_served_at_port_0() -> None:
    """Port 0 serves nothing."""
    with serving(Metrics(), [], "127.0.0.1", 0) as port:
        assert port == 0


def test_json_log() -> None:
    """A line is one JSON object with time, level, logger and message."""
    record = logging.LogRecord("segstream.worker", logging.WARNING, "", 1, "x: %s", ("y",), None)
    line = json.loads(JsonFormatter().format(record))
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "warning", "logger": "segstream.worker", "message": "x: y"}


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_help(metric: object) -> None:
    """Every metric says what it is."""
    assert str(getattr(metric, "help", "")).endswith(".")
