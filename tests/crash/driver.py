"""Runs streams in processes of their own, and kills them where it is told to.

It reads one job per line and forks a process for it, so that loading the engine costs nothing;
it answers with the exit code, below 0 for a signal. The killing is in small classes around the
parts of a real run; the engine knows nothing of them.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from segstream.adapters.file_sink import FileSink
from segstream.adapters.files import FileSource
from segstream.adapters.sqlite_store import SqliteStore
from segstream.adapters.state_models import StateModels
from segstream.core.partition import StoredRecord
from segstream.core.trainer_state import Command
from segstream.engine import Engine
from segstream.ports import Batch, Chunk, Claim, Outbox, Position
from segstream.settings import Settings


class Killer:
    """Kills this process at the n-th time it comes past a point.

    Parameters
    ----------
    point
        Name of the point; "" for none.
    count
        From 1.
    """

    def __init__(self, point: str, count: int) -> None:
        self._point, self._count = point, count
        self.passed: Counter[str] = Counter()

    def past(self, point: str) -> None:
        """Come past a point, and maybe no further."""
        if self.is_next(point):
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed[point] += 1

    def is_next(self, point: str) -> bool:
        """Whether the next time past the point is the last."""
        return point == self._point and self.passed[point] + 1 == self._count


class KilledStore(SqliteStore):
    """The real store; dies before, within and after its effects."""

    killer: Killer

    def claim(self) -> Claim:
        self.killer.past("before claim 1")
        claim = super().claim()
        self.killer.past("claim 1|2")
        return claim

    def records(self) -> Iterator[StoredRecord]:
        self.killer.past("claim 3|4")
        yield from super().records()
        self.killer.past("claim 4")

    def commit(self, batch: Batch) -> None:
        self.killer.past("batch 3|4")
        self._db.set_trace_callback(lambda _statement: self.killer.past("inside batch 4"))
        super().commit(batch)
        self._db.set_trace_callback(None)
        self.killer.past("batch 4|5")


class KilledSink(FileSink):
    """The real sink; dies before, within and after its effects."""

    killer: Killer

    def claim(self, token: str) -> int:
        n = super().claim(token)
        self.killer.past("claim 2|3")
        return n

    def publish(self, outbox: Outbox) -> None:
        super().publish(outbox)
        self.killer.past("after batch 5")

    def _append(self, name: str, lines: list[bytes]) -> None:
        if lines and self.killer.is_next(f"inside batch 5, {name}"):
            content = b"\n".join(lines)
            self._files[name].write(content[: len(content) // 2])
            self._files[name].flush()
        if lines:
            self.killer.past(f"inside batch 5, {name}")
        super()._append(name, lines)

    def _remember(self, n: int) -> None:
        self.killer.past("inside batch 5, before its position")
        super()._remember(n)


class KilledSource(FileSource):
    """The real source; dies before and after a read."""

    killer: Killer

    def read(self, position: int, max_bytes: int) -> Chunk | None:
        self.killer.past("before batch 1")
        return super().read(position, max_bytes)

    def digest_at(self, position: int) -> str:
        self.killer.past("batch 1|2")
        return super().digest_at(position)

    def verify(self, position: int, digest: str) -> None:
        super().verify(position, digest)
        self.killer.past("claim 4, after seeking")


class KilledEngine(Engine):
    """The real engine; dies within and after the pure step, and where a day closes."""

    killer: Killer

    def _fold(self, chunk: Chunk) -> None:
        super()._fold(chunk)
        self.killer.past("batch 2|3")

    def _close_day(self) -> None:
        super()._close_day()
        self.killer.past("inside batch 2")

    def _store_batch(self, chunk: Chunk | None, position: Position) -> None:
        if chunk is None:
            self.killer.past("before the end")
        super()._store_batch(chunk, position)


class KilledModels(StateModels):
    """The real way to the trainer's ear; dies before, within and after the commit."""

    _writer = KilledStore


def promote(folder: Path, digest: str) -> None:
    """Command that the living segments serve anew, under the names A, B, ..."""
    with closing(KilledModels(folder / "state", digest)) as kept:
        living = kept.models()[-1]
        named = [
            msgspec.structs.replace(segment, name=chr(ord("A") + i))
            for i, segment in enumerate(living.segments)
        ]
        kept.give(Command("promote", model=msgspec.structs.replace(living, segments=tuple(named))))


def stream(job: dict[str, Any]) -> Counter[str]:
    """Run a stream to its end; returns how often it came past each point."""
    killer = Killer(job.get("point", ""), job.get("count", 1))
    for kind in (KilledStore, KilledSink, KilledSource, KilledEngine):
        kind.killer = killer
    settings = msgspec.convert(job["settings"], Settings)
    folder = Path(job["folder"])
    if job.get("promote"):
        promote(folder, settings.spec.digest)
        return killer.passed
    store = KilledStore(folder / "state", settings.spec.digest, "a token")
    sink = KilledSink(folder / "out")
    engine = KilledEngine(settings, store, sink)
    source = KilledSource([Path(job["feed"])])
    # As `segstream run` does: what is wholly applied is not read again.
    if source.identity not in engine.position.finished:
        engine.run(source, finishes=[source.identity])
    source.close()
    sink.close()
    store.close()
    return killer.passed


def serve(job: dict[str, Any]) -> int:
    """Run a job in a process of its own; its exit code."""
    child = os.fork()
    if child == 0:
        try:
            passed = stream(job)
            Path(job["folder"], "passed.json").write_text(json.dumps(passed))
        except BaseException:  # noqa: BLE001 - the parent must not go on as a child
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if "kill_after_s" in job:
        time.sleep(job["kill_after_s"])
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    """Serve jobs from stdin; the first warms the kernels up for all that follow."""
    stream(json.loads(sys.stdin.readline()))
    print("ready", flush=True)
    for line in sys.stdin:
        print(serve(json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
