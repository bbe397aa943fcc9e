"""The same bytes out of any process, whatever Python's hash seed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEEDS = ("0", "1", "4242", "random")


@pytest.mark.slow
def test_four_hash_seeds_give_the_same_bytes() -> None:
    """Records, changes, totals and panel rows of a whole run are equal in four processes."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.core.digest"], cwd=ROOT, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        )
        for seed in SEEDS
    ]  # fmt: skip
    digests = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(SEEDS)
    assert len(digests[0].strip()) == 64
    assert len(set(digests)) == 1
