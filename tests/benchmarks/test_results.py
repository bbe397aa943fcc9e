"""The result file and the table of a benchmark run."""

import json
from pathlib import Path
from typing import Literal

import pytest
from benchmarks.bench import CASES
from benchmarks.measures import MEASURES
from benchmarks.results import row, table, write


def test_the_value_is_the_median_of_the_runs() -> None:
    found = row("sweep", "customers_per_s", [3.0, 1.0, 2.0], 1.5, "higher")

    assert found.value == 2.0
    assert found.runs == (3.0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("better", "target", "met"),
    [("higher", 2.0, True), ("higher", 2.1, False), ("lower", 2.0, True), ("lower", 1.9, False)],
)
def test_a_target_counts_from_its_better_side(
    better: Literal["higher", "lower"], target: float, met: bool
) -> None:
    assert row("case", "metric", [2.0], target, better).met is met


def test_without_a_target_nothing_is_met_or_missed() -> None:
    assert row("case", "metric", [2.0], None, "lower").met is None


def test_the_file_says_where_it_was_measured(tmp_path: Path) -> None:
    path = write([row("sweep", "customers_per_s", [2.0], 1.0, "higher")], tmp_path)
    body = json.loads(path.read_text())

    assert path.name.endswith(f"-{body['commit']}.json")
    assert set(body) == {"commit", "machine", "rows"}
    assert set(body["machine"]) == {"cpu", "cores", "memory_bytes", "python", "kafka", "redis"}
    assert body["rows"] == [
        {
            "case": "sweep", "metric": "customers_per_s", "value": 2.0, "runs": [2.0],
            "target": 1.0, "better": "higher",
        }
    ]  # fmt: skip


def test_a_second_run_of_one_case_keeps_the_others(tmp_path: Path) -> None:
    one, two = (row(case, "seconds", [1.0], None, "lower") for case in ("one", "two"))
    write([one, two], tmp_path)
    path = write([row("two", "seconds", [3.0], None, "lower")], tmp_path)

    rows = json.loads(path.read_text())["rows"]
    assert [(r["case"], r["value"]) for r in rows] == [("one", 1.0), ("two", 3.0)]


def test_the_table_ends_with_the_number_of_targets_met() -> None:
    lines = table(
        [
            row("one", "seconds", [2.0], 3.0, "lower"),
            row("two", "seconds", [4.0], 3.0, "lower"),
            row("three", "bytes", [4.0], None, "lower"),
        ]
    )

    assert lines[-1] == "1 of 2 targets met"
    assert lines[1].endswith("met")
    assert lines[2].endswith("missed")
    assert lines[3].split() == ["three", "bytes", "4.00"]


def test_every_promised_case_is_there() -> None:
    assert set(CASES) == {
        "in_process", "cpu_per_event", "sweep", "complete_journey", "bytes_per_customer", "refit",
        "refit_beside",
        "quality", "end_to_end", "latency_ms", "takeover_s", "sweep_redis", "serve",
    }  # fmt: skip
    assert {"ari", "sse_ratio", "changes_per_customer_year", "undone_28_days",
            "silence_days_median"} <= {m.key for m in MEASURES}  # fmt: skip
