"""Nothing that the stack test starts outlives it."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.live.chaos.crew import wait_dead
from tests.live.chaos.place import until

ROOT: Final = Path(__file__).resolve().parents[2]
# Two members that end when asked, and one that does not care.
OWNER: Final = """
import sys, time
from pathlib import Path
from tests.stack.__main__ import stop_gently
from tests.stack.compose import Service
from tests.stack.crew import Crew
from tests.stack.place import Place

stop_gently()
known = {
    "serve": Service("serve", ("sleep", "600"), {}, {}, 2, ()),
    "explore": Service("explore", ("sh", "-c", "trap '' TERM; exec sleep 600"), {}, {}, 1, ()),
}
crew = Crew(known, Place(Path(sys.argv[1]), ()), Crew.ports_of(known))
try:
    print(*(one.process.pid for name in known for one in crew.start(name)), flush=True)
    time.sleep(600)
finally:
    crew.close(patience_s=0.5)
"""


def sleeps(pid: int) -> bool:
    """Whether a member is what it is to become."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_role_outlives_the_runner(number: signal.Signals, tmp_path: Path) -> None:
    """However the runner is ended, every role that it started is gone."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as owner:  # fmt: skip
        assert owner.stdout is not None
        members = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(members) == 3
        assert all(Path(f"/proc/{pid}").exists() for pid in members)
        # Before that its leash is not on: `setpriv` has not run yet.
        until(lambda: all(map(sleeps, members)), 30.0)
        owner.send_signal(number)
        try:
            for pid in members:
                wait_dead(pid, patience_s=30.0)
        finally:
            owner.kill()
