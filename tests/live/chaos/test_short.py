"""The short version of `make chaos`."""

from pathlib import Path

import pytest
from benchmarks.chaos import run
from deploy.local.local_stack import LocalStack

pytestmark = pytest.mark.slow

KILLS = 8


def test_kills(stack: LocalStack, tmp_path: Path) -> None:
    """Worker, trainer, broker, Redis, a zombie and rebalances, and nothing is lost or twice."""
    report = run(stack, KILLS, seed=2, folder=tmp_path)
    assert report.kills.total() == KILLS
    assert report.differences == []
