"""`make bench`: speed, size and quality, into one result file.

    python -m benchmarks.bench
    python -m benchmarks.bench --case in_process --case sweep

Exits 0 whether or not targets are met, and 1 where something did not run.
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from deploy.local.jars import kafka_version

from benchmarks import end_to_end, latency, measures, quality, recovery, serving, speed
from benchmarks.live import redis_version
from benchmarks.results import Row, Services, table, write

QUALITY: Final = "quality"


def quality_rows() -> Iterator[Row]:
    """Quality of every feed that is there."""
    for measured in quality.measure_all(quality.present_feeds(), measures.ALL_K):
        yield from measures.rows(measured)


# Those that need a broker and a Redis: the local stack, started and ended by each.
LIVE: Final[dict[str, Callable[[], Iterator[Row]]]] = {
    "end_to_end": end_to_end.end_to_end,
    "latency_ms": latency.latency,
    "takeover_s": recovery.takeover,
    "sweep_redis": recovery.sweep_redis,
    "serve": serving.serve,
}
CASES: Final[dict[str, Callable[[], Iterator[Row]]]] = {
    **speed.CASES,
    QUALITY: quality_rows,
    **LIVE,
}


def measure(cases: Sequence[str]) -> tuple[list[Row], list[str]]:
    """Run cases one after the other; returns their rows and the names of those that failed."""
    rows: list[Row] = []
    failed = []
    for case in cases:
        print(f"{case} ...", file=sys.stderr, flush=True)
        try:
            rows.extend(CASES[case]())
        except Exception:  # noqa: BLE001 - the others still run, and the exit code tells
            traceback.print_exc()
            failed.append(case)
    return rows, failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the file, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="only these")
    asked = parser.parse_args(arguments)
    rows, failed = measure(asked.case or list(CASES))
    if rows:
        took_part = LIVE.keys() & set(asked.case or CASES)
        services = Services(kafka_version(), redis_version()) if took_part else Services()
        print(f"written to {write(rows, services=services)}", file=sys.stderr)
    for name in failed:
        print(f"did not run: {name}", file=sys.stderr)
    print("\n".join(table(rows)))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
