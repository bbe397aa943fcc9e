"""The process that sweeps, and whoever started it."""

import subprocess
import sys
import time
from pathlib import Path

STARTS = """
import time
from segstream.api.sweeper import Sweeper
from segstream.settings import Settings

sweeper = Sweeper(Settings(), "redis://127.0.0.1:1/0")
sweeper.start()
print(sweeper.pid, flush=True)
time.sleep(600)
"""
PATIENCE_S = 60.0


def test_it_ends_with_an_api_that_is_killed() -> None:
    """Nobody is left behind: the pipe ends with the one who asks."""
    with subprocess.Popen([sys.executable, "-c", STARTS], stdout=subprocess.PIPE) as api:
        assert api.stdout is not None
        sweeping = Path(f"/proc/{int(api.stdout.readline())}/stat")
        assert sweeping.exists()
        api.kill()
    deadline = time.monotonic() + PATIENCE_S
    while sweeping.exists() and sweeping.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.1)
