"""`make stack-test`: docker-compose.yml's roles without Docker, fed, hurt and asked."""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from deploy.local.process import StackError
from tests.stack.report import faults, report
from tests.stack.scenario import Plan, run


def stop_gently() -> None:
    """At SIGTERM and SIGINT end all on the way out; a shell ignores SIGINT for jobs with `&`."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)


def main() -> int:
    """Run, report; 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="stack-test", description=__doc__)
    parser.add_argument("--seconds", type=int, default=Plan.seconds, help="length of the feed")
    parser.add_argument("--rate", type=int, default=Plan.rate, help="events a second")
    parser.add_argument(
        "--short",
        action="store_true",
        help="no image's kernels, no backlog",
    )
    parser.add_argument(
        "--kernels",
        type=Path,
        help="folder of the image's kernels; compiled first where it is not there",
    )
    parser.add_argument("--keep", type=Path, help="an empty folder, kept with all logs")
    asked = parser.parse_args()
    begun = time.monotonic()
    stop_gently()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:5.0f} s] {text}", flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        kernels = asked.kernels or (None if asked.short else folder / "image")
        hurts = Plan.hurts[:2] if asked.short else Plan.hurts
        plan = Plan(asked.rate, asked.seconds, hurts=hurts, kernels=kernels)
        try:
            found = run(folder, plan, say)
        except (AssertionError, StackError) as error:
            lines = [f"WRONG: {error}", *getattr(error, "__notes__", ())]
            print("\n".join(lines), "stack-test: did not get to its end", sep="\n")
            return 1
        except KeyboardInterrupt:
            print("stack-test: stopped")
            return 130
    print("\n".join(report(found, plan)))
    return 1 if faults(found, plan) else 0


if __name__ == "__main__":
    sys.exit(main())
