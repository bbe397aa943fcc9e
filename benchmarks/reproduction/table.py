"""The studies as text for a terminal and as a page."""

import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

from benchmarks.reproduction.study import Cell, Line, Study

HEADER: Final = ("figure", "published", "recomputed", "corrected")
NONE: Final = "-"
WIDTH: Final = 100
WIDTHS: Final = (28, 21, 21, 22)
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def fits(study: Study) -> dict[str, str]:
    """Each fit of a study and the letter that its figures carry."""
    cells = (cell for line in study.lines for cell in (line.recomputed, line.corrected))
    return dict(zip(dict.fromkeys(c.fit for c in cells if c.fit), LETTERS, strict=False))


def row(line: Line, letters: dict[str, str]) -> tuple[str, str, str, str]:
    """The four columns of a figure."""
    return (
        line.what,
        line.published or NONE,
        _shown(line.recomputed, letters),
        _shown(line.corrected, letters),
    )


def _shown(cell: Cell, letters: dict[str, str]) -> str:
    if not cell.text:
        return NONE
    return f"{cell.text} [{letters[cell.fit]}]" if cell.fit else cell.text


def text(study: Study) -> Iterator[str]:
    """Lines for a terminal."""
    letters = fits(study)
    rows = [HEADER, *(row(line, letters) for line in study.lines)]
    yield study.title
    yield from _wrapped(f"Claimed: {study.claimed}", "  ", "  ")
    yield ""
    for cells in rows:
        yield from _laid_out(cells)
    yield ""
    for fit, letter in letters.items():
        yield f"  [{letter}] {fit}"
    yield ""
    for reason in study.why:
        yield from _wrapped(reason, "  - ", "    ")
    yield ""


def _laid_out(cells: tuple[str, ...]) -> Iterator[str]:
    """One row in as many lines as its longest cell needs."""
    wrapped = [textwrap.wrap(cell, width) for cell, width in zip(cells, WIDTHS, strict=True)]
    for parts in zip_longest(*wrapped, fillvalue=""):
        padded = (part.ljust(width) for part, width in zip(parts, WIDTHS, strict=True))
        yield f"  {'  '.join(padded)}".rstrip()


def _wrapped(words: str, first: str, following: str) -> list[str]:
    return textwrap.wrap(words, WIDTH, initial_indent=first, subsequent_indent=following)


def page(studies: list[Study]) -> str:
    """The generated part of docs/reproduction.md."""
    return "\n".join(line for study in studies for line in _section(study)).rstrip()


def _section(study: Study) -> Iterator[str]:
    letters = fits(study)
    yield from (f"## {study.title}", "", *_wrapped(f"It said: {study.claimed}", "", ""), "")
    yield from (f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}")
    for line in study.lines:
        yield f"| {' | '.join(row(line, letters))} |"
    yield ""
    yield "; ".join(f"[{letter}] {fit}" for fit, letter in letters.items()) + "."
    yield ""
    for reason in study.why:
        yield from _wrapped(reason, "- ", "  ")
    yield from ("", *_wrapped(study.today, "", ""), "")
    yield from ("```toml", study.settings.rstrip(), "```", "")
    yield from ("```sh", study.command, "```", "")
