"""The studies as text, as a page, and by the command."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.reproduction import __main__ as command
from benchmarks.reproduction import studies
from benchmarks.reproduction.studies import STUDIES, Source
from benchmarks.reproduction.study import Cell, Line, Study
from benchmarks.reproduction.table import page, text

SMALL = Study(
    title="A study",
    claimed="Two segments.",
    lines=(
        Line("sizes", "3 / 1", Cell("2 / 2", "K-Means, k = 2"), Cell("4", "Ward")),
        Line("WCSS", recomputed=Cell("1.5", "K-Means, k = 2")),
    ),
    why=("One start.",),
    today="Run it:",
    settings="[model]\nk = 2\n",
    command="segstream run --source shop.csv",
)
NUMBER = re.compile(r"\d[\d,]*\.?\d*")


def test_a_figure_carries_the_letter_of_its_fit() -> None:
    lines = list(text(SMALL))

    assert lines[4].split() == ["sizes", "3", "/", "1", "2", "/", "2", "[a]", "4", "[b]"]
    assert lines[5].split() == ["WCSS", "-", "1.5", "[a]", "-"]
    assert [line for line in lines if line.startswith("  [")] == [
        "  [a] K-Means, k = 2", "  [b] Ward",
    ]  # fmt: skip


def test_a_page_has_the_same_rows() -> None:
    assert "| sizes | 3 / 1 | 2 / 2 [a] | 4 [b] |" in page([SMALL]).splitlines()


def test_only_what_stands_between_the_marks_is_written() -> None:
    before = f"mine\n{command.BEGIN}old\n{command.END}mine too\n"
    after = command.with_studies(before, [SMALL])

    assert after.startswith(f"mine\n{command.BEGIN}## A study\n")
    assert after.endswith(f"{command.END}mine too\n")
    assert "old" not in after


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the marks"):
        command.with_studies("nothing", [SMALL])


def test_absent_data_are_named_and_nothing_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = Source(tmp_path / "gone.csv", str, lambda _: SMALL)
    monkeypatch.setitem(studies.STUDIES, "coupons", gone)

    assert command.main(["coupons"]) == 1
    said = capsys.readouterr()
    assert "coupons is left out" in said.err
    assert said.out == "0 of 1 studies recomputed\n"


def test_an_unknown_study_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["cupons"])
    assert "expected studies of cluster-cart" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_is_current(recomputed: Callable[[str], Any]) -> None:
    """Its words are the command's, and so are its figures but a few that hang on last bits.

    `python -m benchmarks.reproduction --write-docs` writes it anew.
    """
    before = command.PAGE.read_text("utf-8")
    found = [source.study(recomputed(key)) for key, source in STUDIES.items()]
    now = command.with_studies(before, found)

    assert NUMBER.sub("#", before) == NUMBER.sub("#", now)
    written, computed = NUMBER.findall(before), NUMBER.findall(now)
    other = [pair for pair in zip(written, computed, strict=True) if pair[0] != pair[1]]
    assert len(other) <= len(written) // 10, other
