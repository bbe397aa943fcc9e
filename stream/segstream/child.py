"""A process of ours that is spoken to through its pipes."""

import subprocess
from contextlib import suppress


def end_child(child: "subprocess.Popen[bytes]") -> None:
    """Kill it, whatever it is at, and close its pipes."""
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
