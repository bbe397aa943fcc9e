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

# Grafana makes it four scrape intervals; here they are a second.
_RATE_INTERVAL: Final = "15s"


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
