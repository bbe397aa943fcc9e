"""A company's segments as CSV files: labelled customers, centres, names."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from segstream.core.importing import Centre, Label, Title, segment_key
from segstream.errors import SourceError

CUSTOMER, SEGMENT, NAME, STRATEGY = "customer_id", "segment", "name", "strategy"


def read_labels(path: Path) -> list[Label]:
    """Read columns `customer_id` and `segment`; further ones are not looked at.

    Raises
    ------
    SourceError
    """
    return [
        Label(place, _given(row, CUSTOMER, place), segment_key(_given(row, SEGMENT, place)))
        for place, row in _rows(path, (CUSTOMER, SEGMENT))
    ]


def read_centres(path: Path) -> list[Centre]:
    """Read column `segment` and one per feature.

    Raises
    ------
    SourceError
    """
    return [
        Centre(
            place,
            segment_key(_given(row, SEGMENT, place)),
            {name: value for name, value in row.items() if name != SEGMENT},
        )
        for place, row in _rows(path, (SEGMENT,))
    ]


def read_titles(path: Path) -> dict[str, Title]:
    """Read columns `segment` and `name`, and `strategy` where it is there.

    Raises
    ------
    SourceError
    """
    titles: dict[str, Title] = {}
    for place, row in _rows(path, (SEGMENT, NAME)):
        segment = segment_key(_given(row, SEGMENT, place))
        if segment in titles:
            raise SourceError(f"{place}: expected each segment once, got {segment!r} again")
        titles[segment] = Title(_given(row, NAME, place), row.get(STRATEGY, "").strip())
    return titles


def _given(row: dict[str, str], column: str, place: str) -> str:
    value = row[column].strip()
    if not value:
        raise SourceError(f"{place}: expected a {column}, got nothing; fill it or remove the row")
    return value


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Give each row with its place."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            columns = reader.fieldnames or []
            absent = [name for name in needed if name not in columns]
            if absent:
                raise SourceError(
                    f"{path}: expected the columns {', '.join(needed)}, got "
                    f"{', '.join(columns) or 'nothing'}; rename one, and separate by commas"
                )
            for row in reader:
                place = f"{path}:{reader.line_num}"
                if None in row:
                    raise SourceError(
                        f"{place}: expected {len(columns)} values, got more; quote a value with "
                        "commas"
                    )
                yield place, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(
            f"{path}: expected a readable CSV file in UTF-8, got {error}; check the path"
        ) from error
