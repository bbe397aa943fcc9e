"""Every metric once: name, kind, unit, labels and their bounds. No label names a customer.

`Metrics` makes them in a registry of its own; the composition root makes the one that is served.
Gauges of partitions are set every few seconds, counters and histograms once per batch.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from segstream.core.campaign_messages import CODES
from segstream.core.events import DEAD_LETTER_CODES
from segstream.core.layout import REASONS

Kind = Literal["counter", "gauge", "histogram"]
Role = Literal["worker", "trainer", "campaign", "insights", "serve", "all"]
Bounds = tuple[str, ...] | str
"""The values of a label, or what bounds them."""

PARTITION: Final[Mapping[str, Bounds]] = {"partition": "partitions of the topic"}
SEGMENT: Final[Mapping[str, Bounds]] = {"segment": "segment ids of the living model, and none"}
OUTCOMES: Final = ("applied", "late", "duplicate", "skipped", "dead")
STAGES: Final = ("read", "fold", "commit", "publish")
LEVELS: Final = ("calm", "warn", "act")
ATTEMPTS: Final = ("accepted", "failed", "refused")
DECISIONS: Final = ("kept", "refused", "warm", "fresh", "command")
# A batch takes milliseconds; a hung transaction is given up after 30 s.
_SECONDS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
# Live latency is below a second; a backlog is minutes and hours old.
_LATENCY: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3600.0)
_SIZES: Final = (1.0, 10.0, 100.0, 1000.0, 3000.0, 10_000.0, 30_000.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the catalogue."""

    name: str
    kind: Kind
    role: Role
    help: str
    labels: Mapping[str, Bounds] = field(default_factory=dict)
    buckets: tuple[float, ...] = _SECONDS


CATALOGUE: Final = (
    Metric("segstream_events_total", "counter", "worker",
           "Messages settled, each under one outcome; late ones are applied too.",
           {"outcome": OUTCOMES}),
    Metric("segstream_dead_letters_total", "counter", "worker", "Dead letters by code.",
           {"code": tuple(DEAD_LETTER_CODES)}),
    Metric("segstream_changes_total", "counter", "worker", "Changes published, by reason.",
           {"reason": REASONS}),
    Metric("segstream_segment_entries_total", "counter", "worker",
           "Changes into a segment.", SEGMENT),
    Metric("segstream_segment_exits_total", "counter", "worker",
           "Changes out of a segment.", SEGMENT),
    Metric("segstream_batch_messages", "histogram", "worker",
           "Messages of a batch that has any.", buckets=_SIZES),
    Metric("segstream_stage_seconds", "histogram", "worker",
           "Time of a batch by stage; read is without waiting, publish overlaps the next fold.",
           {"stage": STAGES}),
    Metric("segstream_latency_seconds", "histogram", "worker",
           "From the Kafka timestamp of a batch's oldest message to the batch published.",
           buckets=_LATENCY),
    Metric("segstream_lag_messages", "gauge", "worker",
           "Messages in the log behind the stored position.", PARTITION),
    Metric("segstream_clock_timestamp_seconds", "gauge", "worker",
           "The partition's clock: the last completed instant.", PARTITION),
    Metric("segstream_sweep_lag_seconds", "gauge", "worker",
           "Where the clock may go minus where it is; 0 while it may not go.", PARTITION),
    Metric("segstream_clock_stopped", "gauge", "worker",
           "1 while the newest event is older than clock.max_silence_hours.", PARTITION),
    Metric("segstream_outbox_age_seconds", "gauge", "worker",
           "How long the committed batch has waited to be published; 0 for none.", PARTITION),
    Metric("segstream_claimed", "gauge", "worker",
           "1 while this worker holds the partition.", PARTITION),
    Metric("segstream_claims_lost_total", "counter", "worker",
           "Claims that ended in a failure: another epoch, or a server that is away.",
           {"cause": ("fenced", "away")}),
    Metric("segstream_segment_customers", "gauge", "worker",
           "Customers of this worker's partitions in a segment.", SEGMENT),
    Metric("segstream_segment_freshness_seconds", "gauge", "worker",
           "Mean age of a customer's last evaluation, by the clock.", SEGMENT),
    Metric("segstream_segment_info", "gauge", "worker",
           "1; carries the name of a segment.", {**SEGMENT, "name": "one per segment"}),
    Metric("segstream_adopted_generation", "gauge", "worker",
           "Generation that the partition uses; 0 before the first.", PARTITION),
    Metric("segstream_redis_round_trips_total", "counter", "worker",
           "Requests to Redis that were waited for.", {"operation": ("claim", "load", "commit")}),
    Metric("segstream_redis_read_bytes_total", "counter", "worker",
           "Bytes of records read from Redis, by claims."),
    Metric("segstream_redis_written_bytes_total", "counter", "worker",
           "Bytes of records and outboxes written to Redis."),
    Metric("segstream_redis_memory_bytes", "gauge", "worker", "used_memory of INFO."),
    Metric("segstream_redis_memory_limit_bytes", "gauge", "worker",
           "maxmemory of INFO, else the memory of its machine."),
    Metric("segstream_model_generation", "gauge", "trainer",
           "Generation of the living model; 0 before the first."),
    Metric("segstream_model_revision", "gauge", "trainer", "Revision within the generation."),
    Metric("segstream_model_created_timestamp_seconds", "gauge", "trainer",
           "Event time at which the living model was made."),
    Metric("segstream_generation_age_seconds", "gauge", "trainer",
           "Event time since the generation began, at the last closed day."),
    Metric("segstream_days_closed_total", "counter", "trainer", "Days the trainer has closed."),
    Metric("segstream_centre_distance", "gauge", "trainer",
           "Mean distance of the panel to its nearest centres, scaled units; ADWIN watches it."),
    Metric("segstream_drift_psi", "gauge", "trainer",
           "Population stability index over 7 days.",
           {"feature": "features of the spec, and segments"}),
    Metric("segstream_drift_level", "gauge", "trainer",
           "1 for the level of the last closed day, 0 for the others.", {"level": LEVELS}),
    Metric("segstream_drift_calls_total", "counter", "trainer",
           "Refit checks that a detector called early."),
    Metric("segstream_decisions_total", "counter", "trainer",
           "Refit checks by what became of them.", {"outcome": DECISIONS}),
    Metric("segstream_refit_seconds", "histogram", "trainer", "Time of a refit check."),
    Metric("segstream_refit_moved_ratio", "gauge", "trainer",
           "Share of the panel that the last candidate moves."),
    Metric("segstream_campaign_changes_total", "counter", "campaign",
           "Changes that a campaign answers to, by what became of them.",
           {"campaign": "campaigns of the file", "code": CODES}),
    Metric("segstream_campaign_attempts_total", "counter", "campaign",
           "Attempts to hand a message to its sink; failed ones are tried again.",
           {"campaign": "campaigns of the file", "outcome": ATTEMPTS}),
    Metric("segstream_campaign_unreadable_total", "counter", "campaign",
           "Messages that are no segment change: dead letters."),
    Metric("segstream_campaign_failing_seconds", "gauge", "campaign",
           "How long the webhook has accepted nothing; 0 while it works."),
    Metric("segstream_campaign_lag_messages", "gauge", "campaign",
           "Changes in the log that are not settled yet, at the last look.", PARTITION),
    Metric("segstream_http_requests_total", "counter", "serve",
           "Requests answered, by route and class of status.",
           {"route": "routes of the API, and none", "outcome": "2xx, 3xx, 4xx, 5xx; 0xx for none"}),
    Metric("segstream_http_seconds", "histogram", "serve",
           "From the head of a request to the end of its answer; streams left out.",
           {"route": "routes of the API, and none"}),
    Metric("segstream_http_streams_open", "gauge", "serve", "Streams of changes that are open."),
    Metric("segstream_insights_events_total", "counter", "insights",
           "Messages of the transactions read, each under one outcome.",
           {"outcome": ("applied", "duplicate", "dead")}),
    Metric("segstream_insights_lag_messages", "gauge", "insights",
           "Messages in the log behind the position of the role's directory.", PARTITION),
    Metric("segstream_insights_seconds", "gauge", "insights",
           "Time that the last table took to count and to store."),
    Metric("segstream_insights_published_timestamp_seconds", "gauge", "insights",
           "When the last table was put into Redis."),
    Metric("segstream_insights_retrospect_seconds", "gauge", "insights",
           "Time that the last look back at orders and changes took."),
    Metric("segstream_ready", "gauge", "all", "1 while /readyz says yes."),
)  # fmt: skip


class Metrics:
    """The metrics of some roles, in one registry; counters with known labels begin at 0.

    Examples
    --------
    >>> metrics = Metrics("worker")
    >>> metrics.add("segstream_events_total", 3, outcome="applied")
    >>> metrics.registry.get_sample_value("segstream_events_total", {"outcome": "applied"})
    3.0
    """

    def __init__(self, *roles: Role) -> None:
        self.registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        served = (*(roles or ("worker", "trainer")), "all")
        for metric in CATALOGUE:
            if metric.role in served:
                self._make(metric)

    def _make(self, metric: Metric) -> None:
        name, labels = metric.name, tuple(metric.labels)
        if metric.kind == "counter":
            made = Counter(name, metric.help, labels, registry=self.registry)
            self._counters[name] = made
            # So that the first count is a rise.
            bounds = [b if isinstance(b, tuple) else () for b in metric.labels.values()]
            for values in itertools.product(*bounds) if bounds else ():
                made.labels(*values)
        elif metric.kind == "gauge":
            self._gauges[name] = Gauge(name, metric.help, labels, registry=self.registry)
        else:
            self._histograms[name] = Histogram(
                name, metric.help, labels, registry=self.registry, buckets=metric.buckets
            )

    def add(self, name: str, by: float = 1, /, **labels: str) -> None:
        """Count."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(by)

    def counter(self, name: str, /, **labels: str) -> Counter:
        """The counter of some labels, for whoever counts thousands of times a second."""
        return self._counters[name].labels(**labels)

    def histogram(self, name: str, /, **labels: str) -> Histogram:
        """The histogram of some labels, likewise."""
        return self._histograms[name].labels(**labels)

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """Set a gauge."""
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def observe(self, name: str, value: float, /, **labels: str) -> None:
        """Add to a histogram."""
        histogram = self._histograms[name]
        (histogram.labels(**labels) if labels else histogram).observe(value)

    def forget(self, name: str) -> None:
        """Drop every labelled value of a gauge, before it is set anew."""
        self._gauges[name].clear()
