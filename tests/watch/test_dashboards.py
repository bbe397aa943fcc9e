"""Dashboards, alerts and runbook speak of metrics and labels that exist."""

import re
import shutil
import subprocess
from typing import Final

import pytest
from deploy.grafana.build import DASHBOARDS, FOLDER, Dashboard, encoded
from tests.needed import lacking
from tests.watch.rules import ROOT, RULES, alerts, expressions

from segstream.metrics import CATALOGUE, Metric

BY_NAME: Final = {metric.name: metric for metric in CATALOGUE}
# What Prometheus adds to every series, and what a histogram's buckets have.
ADDED: Final = {"instance", "job", "le"}
QUERIES: Final = [p.query for board in DASHBOARDS for p in board.panels] + expressions()


def metric_of(series: str) -> Metric | None:
    """The catalogue's entry behind a series of it."""
    return BY_NAME.get(series) or BY_NAME.get(re.sub(r"_(bucket|sum|count)$", "", series))


def labels_of(query: str) -> set[str]:
    """Labels that a query groups or selects by."""
    listed = re.findall(r"\b(?:by|on|group_left)\s*\(([^)]*)\)", query)
    selected = re.findall(r"(\w+)\s*(?:=~|!=|!~|=)\s*\"", query)
    return {name.strip() for names in listed for name in names.split(",")} | set(selected)


@pytest.mark.parametrize("query", QUERIES)
def test_queries_use_the_catalogue(query: str) -> None:
    """Every metric of a query is in the catalogue, and every label is one of those metrics'."""
    found = {name: metric_of(name) for name in re.findall(r"\bsegstream_\w+", query)}
    assert found or query.startswith("up{")
    assert None not in found.values(), f"not in the catalogue: {found}"
    known = {label for metric in found.values() if metric for label in metric.labels}
    assert labels_of(query) <= known | ADDED


def test_every_metric_is_looked_at() -> None:
    """Every metric of the catalogue is in a panel."""
    shown = {
        metric.name
        for query in QUERIES
        for name in re.findall(r"\bsegstream_\w+", query)
        if (metric := metric_of(name))
    }
    assert set(BY_NAME) == shown


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_dashboards_are_current(board: Dashboard) -> None:
    """The committed file is what `python -m deploy.grafana.build` writes, and explains itself."""
    assert (FOLDER / f"{board.uid}.json").read_text("utf-8") == encoded(board)
    assert all(panel.title and panel.says and panel.unit for panel in board.panels)


@pytest.mark.parametrize("name", alerts())
def test_alerts_have_a_runbook(name: str) -> None:
    """An alert links to its own paragraph, and has a case in rules_test.yml."""
    assert f"runbook_url: docs/runbook.md#{name.lower()}\n" in alerts()[name]
    assert f"\n## {name}\n" in (ROOT / "docs/runbook.md").read_text("utf-8")
    assert f"  - name: {name}\n" in RULES.with_name("rules_test.yml").read_text("utf-8")


def test_rules_fire() -> None:
    """Each alert fires where it must and none on a calm stack, says promtool."""
    promtool = shutil.which("promtool")
    if promtool is None:
        lacking("expected promtool, found none; on Debian: apt-get install prometheus")
    done = subprocess.run(
        [promtool, "test", "rules", "rules_test.yml"],
        cwd=RULES.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
