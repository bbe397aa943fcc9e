"""Ends a stack whose owner was killed.

Its standard input is a pipe that only the owner holds. The kernel closes it however the owner ends;
whatever is then still in the folder is ended and removed. `up` and `down` for people start none.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[2]
# As long as the parts may take to stop, one after the other.
_PATIENCE_S: Final = 60.0


class Watchdog:
    """Watches over a stack's folder from a process and a session of its own."""

    def __init__(self, folder: Path) -> None:
        self._child = subprocess.Popen(  # noqa: S603 - our own command line, no shell
            [sys.executable, "-m", "deploy.local.watchdog", str(folder)],
            cwd=_ROOT, stdin=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def dismiss(self) -> None:
        """End it; it first ends what is still there."""
        assert self._child.stdin is not None  # noqa: S101 - a pipe was asked for
        self._child.stdin.close()
        self._child.wait(_PATIENCE_S)


def main() -> None:
    """Wait for the owner's end."""
    from deploy.local.local_stack import LocalStack

    sys.stdin.buffer.read()
    LocalStack(Path(sys.argv[1])).down()


if __name__ == "__main__":
    main()
