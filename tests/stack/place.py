"""Where docker-compose.yml's names are on this machine, and nothing else that differs.

A container has addresses, paths and ports of its own. Without containers each is replaced, in
commands, environments and configuration files, by the table below; times of Prometheus are divided,
so that an alert that takes a quarter of an hour can be seen to fire and clear.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from deploy.local.local_stack import LocalStack
from tests.stack.compose import ROOT

# The port of a container where it answers; each process gets one of its own in its place.
PORTS: Final = {"serve": "8080", "explore": "8501"}
METRICS_PORT: Final = "9100"
# Alerts and scrapes go this much faster: 10 min become 6 s.
HURRY: Final = 100


@dataclass(frozen=True)
class Place:
    """A folder with copies of the configuration, and the replacements in force."""

    folder: Path
    replaced: tuple[tuple[str, str], ...]

    def local(self, text: str) -> str:
        """The text with this machine's names."""
        for theirs, ours in self.replaced:
            text = text.replace(theirs, ours)
        return text


def place_of(stack: LocalStack, folder: Path) -> Place:
    """Make the folder: configuration files and, for each volume, a directory."""
    place = Place(folder, (
        ("kafka:19092", stack.kafka),
        ("redis://redis:6379", stack.redis),
        ("/etc/segstream", str(folder / "etc")),
        ("/data", str(folder / "data")),
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104 - what is replaced
    ))  # fmt: skip
    (folder / "data").mkdir()
    (folder / "etc").mkdir()
    for source in (ROOT / "deploy/compose").iterdir():
        (folder / "etc" / source.name).write_text(place.local(source.read_text("utf-8")), "utf-8")
    return place


def kafka_properties(environment: Mapping[str, str]) -> dict[str, str]:
    """The broker's properties that are no address of it."""
    found = {
        key.removeprefix("KAFKA_").lower().replace("_", "."): value
        for key, value in environment.items()
    }
    own = re.compile(r"listener|voters|heap|log\.dirs|node\.id|process\.roles")
    return {key: value for key, value in found.items() if not own.search(key)}


def prometheus_files(ports: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """The real prometheus.yml and rules.yml, with targets of this machine, in a hurry.

    Parameters
    ----------
    ports
        Metrics ports by service.
    """
    config: dict[str, Any] = yaml.safe_load(
        (ROOT / "deploy/compose/prometheus.yml").read_text("utf-8")
    )
    config["global"] = dict.fromkeys(config["global"], "1s")
    config["rule_files"] = [Path(one).name for one in config["rule_files"]]
    for job in config["scrape_configs"]:
        (found,) = job.pop("dns_sd_configs")
        chosen = [f"127.0.0.1:{port}" for name in found["names"] for port in ports[name]]
        job["static_configs"] = [{"targets": chosen}]
    rules = (ROOT / "deploy/prometheus/rules.yml").read_text("utf-8")
    return {"prometheus.yml": yaml.safe_dump(config), "rules.yml": hurried(rules)}


def hurried(rules: str) -> str:
    """Rules whose ranges and waits are `HURRY` times shorter, and at least 2 s long.

    >>> hurried("expr: rate(x[10m]) > 1\\nfor: 5m")
    'expr: rate(x[6s]) > 1\\nfor: 3s'
    """
    seconds = {"s": 1, "m": 60, "h": 3_600}

    def shorter(found: re.Match[str]) -> str:
        before, number, unit = found.groups()
        return f"{before}{max(2, int(number) * seconds[unit] // HURRY)}s"

    return re.sub(r"(\[|for: )(\d+)([smh])", shorter, rules)
