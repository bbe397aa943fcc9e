"""Write the dashboards: `python -m deploy.grafana.build`. A test compares them with these lines."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "dashboards"
_SOURCE: Final = {"type": "prometheus", "uid": "segstream"}
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3
# A segment's id beside its name, without the name becoming a label of every series. One name only:
# of two workers one may not have adopted the model yet that renames it.
_NAMED: Final = (
    "* on (segment) group_left (name)"
    " topk by (segment) (1, max by (segment, name) (segstream_segment_info))"
)


@dataclass(frozen=True)
class Panel:
    """One panel; `unit` in Grafana's words."""

    title: str
    says: str
    unit: str
    query: str
    legend: str = ""
    kind: str = "timeseries"


@dataclass(frozen=True)
class Dashboard:
    """One dashboard: its file is `uid`.json."""

    uid: str
    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({metric}[$__rate_interval]))"


def _quantile(q: str, metric: str, by: str = "le") -> str:
    return f"histogram_quantile({q}, {_rate(f'{metric}_bucket', by)})"


DASHBOARDS: Final = (
    Dashboard("segstream-stream", "Segstream: stream health", (
        Panel("Events", "Messages settled a second, by outcome.", "ops",
              _rate("segstream_events_total", "outcome"), "{{outcome}}"),
        Panel("Latency, 99 %", "From a batch's oldest message to the batch published.", "s",
              _quantile("0.99", "segstream_latency_seconds")),
        Panel("Lag", "Messages behind the stored position, by partition.", "short",
              "max by (partition) (segstream_lag_messages)", "{{partition}}"),
        Panel("Time by stage, 95 %", "Of a batch; publishing overlaps the next fold.", "s",
              _quantile("0.95", "segstream_stage_seconds", "le, stage"), "{{stage}}"),
        Panel("Messages in a batch, median", "Large batches mean a backlog.", "short",
              _quantile("0.5", "segstream_batch_messages")),
        Panel("Dead letters", "A second, by code.", "ops",
              _rate("segstream_dead_letters_total", "code"), "{{code}}"),
        Panel("Sweep lag", "Where the clock may go minus where it is.", "s",
              "max by (partition) (segstream_sweep_lag_seconds)", "{{partition}}"),
        Panel("Clock", "Each partition's clock.", "dateTimeAsIso",
              "max by (partition) (segstream_clock_timestamp_seconds) * 1000", "{{partition}}",
              "stat"),
        Panel("Clock stopped", "1 while the newest event is too old to follow the wall clock.",
              "bool_yes_no", "max(segstream_clock_stopped)", "", "stat"),
        Panel("Unpublished batch", "Age of a batch that is in Redis and not yet in Kafka.", "s",
              "max by (partition) (segstream_outbox_age_seconds)", "{{partition}}"),
        Panel("Partitions held", "By instance; in all, as many as the topic has.", "short",
              "sum by (instance) (segstream_claimed)", "{{instance}}"),
        Panel("Claims lost", "In a minute, by cause.", "short",
              "sum by (cause) (increase(segstream_claims_lost_total[1m]))", "{{cause}}"),
        Panel("Redis requests", "Waited for, a second.", "ops",
              _rate("segstream_redis_round_trips_total", "operation"), "{{operation}}"),
        Panel("Redis written", "Records and outboxes, a second.", "Bps",
              _rate("segstream_redis_written_bytes_total")),
        Panel("Redis read", "Records, by claims, a second.", "Bps",
              _rate("segstream_redis_read_bytes_total")),
        Panel("Redis memory", "Share of its limit; it evicts nothing.", "percentunit",
              "max(segstream_redis_memory_bytes) / max(segstream_redis_memory_limit_bytes)"),
        Panel("API requests", "Answered a second, by class of status.", "ops",
              _rate("segstream_http_requests_total", "outcome"), "{{outcome}}"),
        Panel("API time, 99 %", "From the head of a request to the end of its answer.", "s",
              _quantile("0.99", "segstream_http_seconds", "le, route"), "{{route}}"),
        Panel("API streams", "Of changes, open now.", "short",
              "sum(segstream_http_streams_open)"),
        Panel("Ready", "By instance, as /readyz says.", "bool_yes_no",
              "min by (instance) (segstream_ready)", "{{instance}}", "stat"),
    )),
    Dashboard("segstream-segments", "Segstream: segments", (
        Panel("Customers", "In each segment now.", "short",
              f"sum by (segment) (segstream_segment_customers) {_NAMED}", "{{name}}"),
        Panel("Share", "Of all customers with a segment.", "percentunit",
              'sum by (segment) (segstream_segment_customers{segment!="none"}) / scalar(sum('
              f'segstream_segment_customers{{segment!="none"}})) {_NAMED}', "{{name}}", "piechart"),
        Panel("Without a segment", "Too few events yet, or no model.", "short",
              'sum(segstream_segment_customers{segment="none"})', "", "stat"),
        Panel("Came in", "Customers that entered a segment in the last hour.", "short",
              f"sum by (segment) (increase(segstream_segment_entries_total[1h])) {_NAMED}",
              "{{name}}"),
        Panel("Left", "Customers that left a segment in the last hour.", "short",
              f"sum by (segment) (increase(segstream_segment_exits_total[1h])) {_NAMED}",
              "{{name}}"),
        Panel("Changes by reason", "In the last hour: behaviour, time alone, or a new model.",
              "short", "sum by (reason) (increase(segstream_changes_total[1h]))", "{{reason}}"),
        Panel("Freshness", "How long ago a segment's customers were evaluated, on average.", "s",
              f"avg by (segment) (segstream_segment_freshness_seconds) {_NAMED}", "{{name}}"),
        Panel("Insights: behind", "Transactions that segstream insights has not counted yet.",
              "short", "sum(segstream_insights_lag_messages)", ""),
        Panel("Insights: read", "Transactions a second, by what became of them.", "short",
              "sum by (outcome) (rate(segstream_insights_events_total[5m]))", "{{outcome}}"),
        Panel("Insights: time of a table", "To count what each segment buys.", "s",
              "max(segstream_insights_seconds)", ""),
        Panel("Insights: time of a look back", "To say what followed changes.", "s",
              "max(segstream_insights_retrospect_seconds)", ""),
        Panel("Insights: age of the table", "Since it was put into Redis; it rests with the feed.",
              "s", "time() - max(segstream_insights_published_timestamp_seconds)", "", "stat"),
    )),
    Dashboard("segstream-model", "Segstream: model and drift", (
        Panel("Generation", "Of the living model; 0 before the first.", "short",
              "max(segstream_model_generation)", "", "stat"),
        Panel("Revision", "Daily steps within the generation.", "short",
              "max(segstream_model_revision)", "", "stat"),
        Panel("Model made", "Event time.", "dateTimeAsIso",
              "max(segstream_model_created_timestamp_seconds) * 1000", "", "stat"),
        Panel("Age of the generation", "In event time.", "s",
              "max(segstream_generation_age_seconds)", "", "stat"),
        Panel("Generation by partition", "A partition adopts at its next instant.", "short",
              "max by (partition) (segstream_adopted_generation)", "{{partition}}"),
        Panel("Days closed", "By the trainer, in the last hour; many in a replay.", "short",
              "sum(increase(segstream_days_closed_total[1h]))"),
        Panel("Drift level", "1 for the level of the last closed day.", "short",
              "max by (level) (segstream_drift_level)", "{{level}}"),
        Panel("PSI", "Over 7 days, by feature; 0.1 is worth a look, 0.25 calls a check.", "short",
              "max by (feature) (segstream_drift_psi)", "{{feature}}"),
        Panel("Distance to the centres", "Mean over the panel, scaled units; ADWIN watches it.",
              "short", "max(segstream_centre_distance)"),
        Panel("Early checks", "Calls of the detectors, in a day.", "short",
              "sum(increase(segstream_drift_calls_total[1d]))"),
        Panel("Refit checks", "By what became of them, in a day.", "short",
              "sum by (outcome) (increase(segstream_decisions_total[1d]))", "{{outcome}}"),
        Panel("Time of a check, 95 %", "It runs beside the stream.", "s",
              _quantile("0.95", "segstream_refit_seconds")),
        Panel("Customers a refit would move", "Share of the panel, of the last candidate.",
              "percentunit", "max(segstream_refit_moved_ratio)"),
    )),
    Dashboard("segstream-campaigns", "Segstream: campaigns", (
        Panel("What became of changes", "Of those that a campaign answers to, in the last hour.",
              "short", "sum by (campaign, code) (increase(segstream_campaign_changes_total[1h]))",
              "{{campaign}} {{code}}"),
        Panel("Attempts", "To hand a message to its sink; failed ones are tried again.", "short",
              "sum by (outcome) (rate(segstream_campaign_attempts_total[$__rate_interval]))",
              "{{outcome}}"),
        Panel("Webhook fails since", "0 while it works.", "s",
              "max(segstream_campaign_failing_seconds)", "", "stat"),
        Panel("Changes behind", "In the log and not settled yet.", "short",
              "sum by (partition) (segstream_campaign_lag_messages)", "{{partition}}"),
        Panel("No changes", "Messages that are none; dead letters. In the last hour.", "short",
              "sum(increase(segstream_campaign_unreadable_total[1h]))"),
    )),
)  # fmt: skip


def queries(board: Dashboard) -> list[str]:
    """Every query of a dashboard."""
    return [panel.query for panel in board.panels]


def encoded(board: Dashboard) -> str:
    """The dashboard as its file has it: one line a panel."""
    head = {
        "uid": board.uid, "title": board.title, "tags": ["segstream"], "editable": True,
        "schemaVersion": 39, "time": {"from": "now-6h", "to": "now"}, "refresh": "30s",
    }  # fmt: skip
    panels = ",\n".join(json.dumps(panel) for panel in _panels(board))
    return f'{json.dumps(head)[:-1]}, "panels": [\n{panels}\n]}}\n'


def _panels(board: Dashboard) -> Iterator[dict[str, Any]]:
    for i, panel in enumerate(board.panels):
        row, column = divmod(i, _COLUMNS)
        yield {
            "id": i + 1, "type": panel.kind, "title": panel.title, "description": panel.says,
            "datasource": _SOURCE,
            "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
            "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
            "targets": [{"refId": "A", "expr": panel.query, "legendFormat": panel.legend}],
        }  # fmt: skip


def main() -> None:
    """Write every dashboard."""
    FOLDER.mkdir(exist_ok=True)
    for board in DASHBOARDS:
        (FOLDER / f"{board.uid}.json").write_text(encoded(board), "utf-8")


if __name__ == "__main__":
    main()
