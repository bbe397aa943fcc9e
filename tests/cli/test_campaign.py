"""`segstream campaign simulate`, and what the command refuses before it connects."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.core.campaign_changes import DAY_MS, NOON_MS, change, encoded

from segstream.cli import segstream
from segstream.errors import ConfigError, SourceError

RULES = """
holdout = 0.0
[[campaign]]
name = "win-back"
enters = ["Gone quiet"]
reentry = "once"
sink = "file"
"""


def write(folder: Path, rules: str = RULES) -> tuple[str, str]:
    """A campaign file, and changes of two weeks."""
    changes = [
        change("C1", 2, NOON_MS), change("C2", 2, NOON_MS), change("C2", 2, NOON_MS),
        change("C1", 4, NOON_MS + 7 * DAY_MS), change("C3", 2, NOON_MS, to=3),
    ]  # fmt: skip
    (folder / "c.toml").write_text(rules)
    (folder / "changes.jsonl").write_bytes(b"".join(encoded(one) + b"\n" for one in changes))
    return str(folder / "c.toml"), str(folder / "changes.jsonl")


def run(*words: str) -> str:
    result = CliRunner().invoke(
        segstream, ["campaign", *words], catch_exceptions=False, standalone_mode=False
    )
    return result.output


def test_simulate(tmp_path: Path) -> None:
    """It says per week and campaign what fires and what holds back."""
    lines = run("simulate", *write(tmp_path)).splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["2024-05-06", "win-back", *"20000000"],
        ["2024-05-13", "win-back", *"00001000"],
    ]
    assert lines[-1] == "4 changes, 1 duplicates"


def test_simulate_json(tmp_path: Path) -> None:
    """As JSON it says the same, and notes a segment that no change names."""
    rules = RULES.replace('["Gone quiet"]', '["Gone quiet", "Gone quite"]')
    told: dict[str, Any] = json.loads(run("simulate", *write(tmp_path, rules), "--json"))
    assert told["campaigns"]["win-back"]["fire"] == 2
    assert [week["already"] for week in told["weeks"]] == [0, 1]
    assert "'Gone quite'" in told["notes"][0]


def test_refused(tmp_path: Path) -> None:
    """A line that is no change, and a file that is not there, are named."""
    rules, changes = write(tmp_path)
    with pytest.raises(SourceError, match="no-such"):
        run("simulate", rules, str(tmp_path / "no-such"))
    with Path(changes).open("a") as file:
        file.write('{"id": 1}\n')
    with pytest.raises(SourceError, match=r"changes.jsonl:6: expected a segment change"):
        run("simulate", rules, changes)
    with pytest.raises(ConfigError, match="--file: expected a readable"):
        run("--file", str(tmp_path / "no-such"))
