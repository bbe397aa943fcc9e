"""Each study recomputed once, for all tests that ask."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from benchmarks.reproduction.studies import STUDIES

Recompute = Callable[[str], Any]


@pytest.fixture(scope="session")
def recomputed(shared_data: Callable[[str], Path]) -> Recompute:
    """What a study's data say; skips where they are absent, fails in CI."""

    @cache
    def of(key: str) -> Any:
        source = STUDIES[key]
        folder = source.file.parent.name
        return source.recompute(shared_data(f"{folder}/{source.file.name}"))

    return of
