"""Measured values beside their targets: the result file and the table people read."""

import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from benchmarks.feeds import ROOT

RESULTS: Final = ROOT / "benchmarks" / "results"


class Row(msgspec.Struct, frozen=True):
    """One measured value.

    Attributes
    ----------
    value
        The median of `runs`.
    target
        None where the value is only shown.
    """

    case: str
    metric: str
    value: float
    runs: tuple[float, ...]
    target: float | None
    better: Literal["higher", "lower"]

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "higher" else self.value <= self.target


class Services(NamedTuple):
    """Versions of what took part in a run; None where it did not."""

    kafka: str | None = None
    redis: str | None = None


NO_SERVICES: Final = Services()


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured; `kafka` and `redis` are versions, None where none took part."""

    cpu: str
    cores: int
    memory_bytes: int
    python: str
    kafka: str | None = None
    redis: str | None = None


class Result(msgspec.Struct, frozen=True):
    """One run of the benchmarks."""

    commit: str
    machine: Machine
    rows: tuple[Row, ...]


def row(
    case: str,
    metric: str,
    runs: Sequence[float],
    target: float | None,
    better: Literal["higher", "lower"],
) -> Row:
    """Take the median of runs."""
    return Row(case, metric, float(statistics.median(runs)), tuple(runs), target, better)


def machine(services: Services = NO_SERVICES) -> Machine:
    """Describe this machine."""
    return Machine(
        _cpu(),
        os.cpu_count() or 1,
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        platform.python_version(),
        services.kafka,
        services.redis,
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def commit() -> str:
    """Short hash of the checkout, with `-dirty` where files differ from it."""
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "uncommitted"


def write(rows: Iterable[Row], folder: Path = RESULTS, services: Services = NO_SERVICES) -> Path:
    """Write one run's file, `<date>-<commit>.json`; cases not run again keep their rows in it."""
    folder.mkdir(parents=True, exist_ok=True)
    version = commit()
    path = folder / f"{datetime.now(UTC).date().isoformat()}-{version}.json"
    measured = tuple(rows)
    again = {r.case for r in measured}
    before: tuple[Row, ...] = ()
    if path.exists():
        held = msgspec.json.decode(path.read_bytes(), type=Result)
        before = held.rows
        services = services if services.kafka else Services(held.machine.kafka, held.machine.redis)
    kept = (r for r in before if r.case not in again)
    result = Result(version, machine(services), (*kept, *measured))
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    return path


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of a table, and last how many targets are met."""
    cells = [("case", "metric", "value", "target", "")]
    cells += [(r.case, r.metric, number(r.value), _target(r), _verdict(r)) for r in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(4)]
    lines = [
        f"{case:<{widths[0]}}  {metric:<{widths[1]}}  {value:>{widths[2]}}  "
        f"{target:>{widths[3]}}  {verdict}".rstrip()
        for case, metric, value, target, verdict in cells
    ]
    judged = [r for r in rows if r.met is not None]
    return [*lines, f"{sum(r.met is True for r in judged)} of {len(judged)} targets met"]


def _target(r: Row) -> str:
    if r.target is None:
        return ""
    return f"{'>=' if r.better == 'higher' else '<='} {number(r.target)}"


def _verdict(r: Row) -> str:
    return {True: "met", False: "missed", None: ""}[r.met]


def number(value: float) -> str:
    """Write a value with as many digits as it means.

    >>> number(123456.7), number(12.345), number(0.98765)
    ('123,457', '12.35', '0.988')
    """
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 2 else f"{value:.3f}"
