"""What Prometheus knows after a run: of every panel, of every alert."""

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

from deploy.grafana.build import DASHBOARDS
from tests.watch.rules import alerts, expressions

from segstream.metrics import CATALOGUE

# Grafana makes it four scrape intervals; here they are a second.
_RATE_INTERVAL: Final = "15s"

# One sample of each metric of the catalogue.
_SAMPLES: Final = tuple(
    metric.name + ("_count" if metric.kind == "histogram" else "") for metric in CATALOGUE
)
# What a run that nothing goes wrong in must have moved.
MOVED: Final = (
    "segstream_events_total", "segstream_dead_letters_total", "segstream_changes_total",
    "segstream_segment_entries_total", "segstream_segment_exits_total",
    "segstream_batch_messages_count", "segstream_stage_seconds_count",
    "segstream_latency_seconds_count", "segstream_lag_messages",
    "segstream_clock_timestamp_seconds", "segstream_claimed", "segstream_segment_customers",
    "segstream_segment_freshness_seconds", "segstream_segment_info",
    "segstream_adopted_generation", "segstream_redis_round_trips_total",
    "segstream_redis_written_bytes_total", "segstream_redis_memory_bytes",
    "segstream_redis_memory_limit_bytes", "segstream_model_generation",
    "segstream_model_created_timestamp_seconds", "segstream_generation_age_seconds",
    "segstream_days_closed_total", "segstream_centre_distance", "segstream_drift_psi",
    "segstream_drift_level", "segstream_decisions_total", "segstream_refit_seconds_count",
    "segstream_campaign_changes_total", "segstream_campaign_attempts_total",
    "segstream_http_requests_total", "segstream_http_seconds_count",
    "segstream_insights_events_total", "segstream_insights_seconds",
    "segstream_insights_retrospect_seconds", "segstream_insights_published_timestamp_seconds",
    "segstream_ready",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A query, by whom, and how many finite samples the run gave it."""

    who: str
    query: str
    samples: int


class Prometheus:
    """Questions to a Prometheus over a stretch of time.

    Parameters
    ----------
    url, since_s, until_s
        Address, and the run's begin and end as epoch seconds.
    """

    def __init__(self, url: str, since_s: float, until_s: float) -> None:
        self._url, self._range = url, (since_s, until_s)

    def panels(self) -> list[Asked]:
        """Every query of every panel of every dashboard."""
        return [
            self._asked(f"{board.title}: {panel.title}", panel.query)
            for board in DASHBOARDS for panel in board.panels
        ]  # fmt: skip

    def alerts(self) -> list[Asked]:
        """What each alert compares; the comparison itself is to be false."""
        return [
            self._asked(name, operand)
            for name, query in zip(alerts(), expressions(), strict=True)
            for operand in operands(query)
        ]

    def unserved(self) -> list[str]:
        """Metrics of the catalogue that no role ever set."""
        return [name for name in _SAMPLES if not self.over(name)]

    def unmoved(self) -> list[str]:
        """Metrics of `MOVED` that were 0 all the time."""
        return [name for name in MOVED if not self.over(f"max({name}) > 0")]

    def firing(self, alert: str) -> list[tuple[float, float]]:
        """First and last moment of each series of an alert that fired, epoch seconds."""
        query = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'
        return [(one["values"][0][0], one["values"][-1][0]) for one in self.over(query)]

    def broken_rules(self) -> list[str]:
        """Rules that Prometheus could not evaluate."""
        groups = self._get("/api/v1/rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert len(rules) == len(alerts()), f"{len(rules)} rules are loaded"
        return [f"{rule['name']}: {rule}" for rule in rules if rule["health"] != "ok"]

    def over(self, query: str) -> list[dict[str, Any]]:
        """Series of a query over the run, a sample a second."""
        since_s, until_s = self._range
        asked = {"query": query, "start": since_s, "end": until_s, "step": 1}
        return list(self._get("/api/v1/query_range", asked)["result"])

    def _asked(self, who: str, query: str) -> Asked:
        try:
            found = self.over(query.replace("$__rate_interval", _RATE_INTERVAL))
        except urllib.error.HTTPError as error:
            with error:
                return Asked(who, f"{query}: {error.read().decode()}", 0)
        finite = sum(math.isfinite(float(v)) for one in found for _, v in one["values"])
        return Asked(who, query, finite)

    def _get(self, path: str, asked: dict[str, Any] | None = None) -> dict[str, Any]:
        url = f"{self._url}{path}?{urllib.parse.urlencode(asked or {})}"
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own address
            return dict(json.loads(answer.read())["data"])


def operands(query: str) -> list[str]:
    """What an alert's query compares with numbers.

    >>> operands("max(a) > 7200 unless max(b) == 1")
    ['max(a)', 'max(b)']
    """
    return [
        re.sub(r"\s*(==|[<>]=?)\s*[\d.]+$", "", part).strip()
        for part in re.split(r"\bunless\b|\band\b", query.strip())
        for part in [part.strip()]
    ]
