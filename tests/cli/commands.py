"""`segstream` as a user runs it: a process, an exit code, two streams."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from segstream.adapters.file_sink import CHANGES, DEAD_LETTERS
from segstream.adapters.sqlite_store import SqliteStore
from segstream.core.partition import PartitionMeta
from segstream.engine import Progress
from segstream.main_job import Job, run_job
from segstream.settings import Settings

COMMAND = (sys.executable, "-c", "from segstream.cli import main; main()")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def segstream(*arguments: object, stdin: bytes = b"", **changed: Any) -> Ended:
    """Run a command to its end."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, check=False, **changed
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def told(ended: Ended) -> str:
    """The one clear line that every known failure ends with; never a traceback."""
    line = ended.err.splitlines()[-1]
    assert line.startswith("segstream: ")
    assert ended.err.count("segstream: ") == 1
    assert "Traceback" not in ended.err
    return line


@dataclass(frozen=True, slots=True)
class Place:
    """A state and an output directory beside each other."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def options(self) -> tuple[str, ...]:
        """As command line options."""
        return ("--state", str(self.state), "--out", str(self.out))

    def stream(
        self,
        *sources: Path,
        mapping: str = "plain",
        settings: Settings | None = None,
        report: Callable[[Progress], None] = lambda _: None,
    ) -> bool:
        """Run the job in this process."""
        names = tuple(map(str, sources))
        job = Job(names, mapping, settings or Settings(), self.state, self.out)
        return run_job(job, lambda _total, _entries: None, report)

    def meta(self) -> PartitionMeta:
        """The counts of the state."""
        with closing(SqliteStore.to_read(self.state)) as store:
            return store.held().meta

    def entries(self) -> int:
        """Applied of the input that is being read."""
        with closing(SqliteStore.to_read(self.state)) as store:
            return store.held().position.entries

    def accounted(self) -> int:
        """Entries that the counts account for."""
        meta = self.meta()
        return meta.applied + meta.duplicates + meta.skipped + meta.dead

    def dead(self) -> list[dict[str, str]]:
        """Lines of dead-letters.jsonl."""
        text = (self.out / DEAD_LETTERS).read_bytes()
        return [msgspec.json.decode(line) for line in text.splitlines()]

    def result(self) -> dict[str, object]:
        """All that a run leaves and that does not depend on the state's name."""
        with closing(SqliteStore.to_read(self.state)) as store:
            claim = store.held()
            found: dict[str, object] = {
                "records": list(store.records()),
                "models": store.models(),
                "meta": claim.meta,
                "trainer": claim.trainer,
                "finished": claim.position,
                "ledger": store.ledger(),
            }
        for name in (CHANGES, DEAD_LETTERS):
            found[name] = (self.out / name).read_bytes()
        return found


def small_batches(**changed: Any) -> Settings:
    """Settings that cut a small feed into several batches."""
    return msgspec.convert({"batch_bytes": 100_000, **changed}, Settings)
