"""Runs workers in processes of their own, and kills them where it is told to.

It reads one job per line and forks a process for it, so that loading the engine costs nothing. The
killing is in small classes around the parts of a real worker, which knows nothing of them. It
answers a job's line with the process id; `wait <pid>` with the exit code, below 0 for a signal.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from tests.live.chaos.shop import fixed_model

from segstream.adapters import kafka_worker
from segstream.adapters.kafka_log import PartitionLog
from segstream.adapters.kafka_publisher import PartitionPublisher
from segstream.adapters.kafka_worker import KafkaWorker, WorkerOptions
from segstream.adapters.redis_store import LogBatch, LogOutbox, PartitionClaim, RedisStore
from segstream.adapters.redis_watch import Command
from segstream.core.model import Model
from segstream.errors import SegstreamError
from segstream.settings import Settings
from segstream.worker import PartitionWorker
from segstream.worker_parts import Piece

PATIENCE_S = 60.0
JOB: dict[str, Any] = {}
PASSED: Counter[str] = Counter()


def past(point: str) -> None:
    """Come past a point, and maybe no further."""
    PASSED[point] += 1
    if point == JOB.get("point") and PASSED[point] == JOB.get("count", 1):
        os.kill(os.getpid(), signal.SIGKILL)


class KilledStore(RedisStore):
    """The real store; dies before, within and after its effects, or loses an answer."""

    async def claim(self, generation: int) -> PartitionClaim:
        past("before claim 1")
        claim = await super().claim(generation)
        past("claim 1|2")
        return claim

    async def remember_topic(self, topic_id: str) -> None:
        past("claim 5|6")
        await super().remember_topic(topic_id)

    async def commit(self, batch: LogBatch, before: int) -> None:
        past("batch 3|4")
        await super().commit(batch, before)
        past("batch 4|5")

    def _commands(self, batch: LogBatch) -> list[Command]:
        commands = super()._commands(batch)
        past("inside batch 4")
        PASSED["lose"] += 1
        if PASSED["lose"] == JOB.get("lose"):
            wire = self._watched.wire._writer.get_extra_info("socket")
            socket.socket(fileno=os.dup(wire.fileno())).shutdown(socket.SHUT_RD)
        return commands


class KilledPublisher(PartitionPublisher):
    """The real publisher; dies before, within and after its transaction."""

    async def start(self) -> None:
        await super().start()
        past("claim 2|3")

    async def publish(self, n: int, offset: int, minute: int, outbox: LogOutbox) -> None:
        await super().publish(n, offset, minute, outbox)
        past("after batch 5")

    async def _send_all(self, outbox: LogOutbox) -> list[asyncio.Future[Any]]:
        past("inside batch 5, begun")
        sent = await super()._send_all(outbox)
        await asyncio.gather(*sent)
        past("inside batch 5, sent")
        return sent


class KilledLog(PartitionLog):
    """The real log; dies around its reads."""

    async def committed(self) -> tuple[int | None, int]:
        found = await super().committed()
        past("claim 3|4")
        return found

    async def bounds(self) -> tuple[int, int, str]:
        past("claim 4|5")
        return await super().bounds()

    def seek(self, offset: int) -> None:
        super().seek(offset)
        past("claim 6")

    async def take(self, max_bytes: int, wait_s: float) -> Any:
        taken = await super().take(max_bytes, wait_s)
        if taken:
            past("batch 1|2")
        return taken


class KilledWorker(PartitionWorker):
    """The real worker of a partition; dies after the pure step."""

    def _fold(self, piece: Piece) -> list[bytes]:
        found = super()._fold(piece)
        past("batch 2|3")
        return found


def worker(job: dict[str, Any], model: Model) -> KafkaWorker:
    """A worker with a model that stays."""
    settings = msgspec.convert(job["settings"], Settings)
    return KafkaWorker(
        settings, WorkerOptions(settings.kafka, job["redis"], job.get("instance"), model)
    )


async def run(make: Callable[[], Any]) -> None:
    """Run a role until SIGTERM."""
    role = make()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await role.start()
    waits = [asyncio.create_task(stopped.wait()), asyncio.create_task(role.wait())]
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await role.stop()
    for task in done:
        task.result()


def child(job: dict[str, Any], make: Callable[[dict[str, Any]], Any]) -> int:
    """Be a role; returns the exit code."""
    JOB.update(job)
    logging.basicConfig(level=logging.WARNING, filename=job["log"], force=True)
    try:
        asyncio.run(run(lambda: make(job)))
    except SegstreamError as error:
        logging.warning("%s", error)
        return error.exit_code
    except BaseException:  # noqa: BLE001 - the parent must not go on as a child
        logging.warning("%s", traceback.format_exc())
        return 1
    finally:
        Path(job["log"]).with_suffix(".passed").write_text(json.dumps(PASSED))
    return 0


def ended(pid: int) -> int:
    """Exit code of a child; 124 where it does not end."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 124


def serve(make: Callable[[dict[str, Any]], Any]) -> None:
    """Serve jobs from stdin until whoever asks is gone; what still runs then is killed.

    Parameters
    ----------
    make
        Makes the role that a job asks for.
    """
    alive: set[int] = set()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.startswith("wait "):
            pid = int(line.split()[1])
            print(ended(pid), flush=True)
            alive.discard(pid)
            continue
        pid = os.fork()
        if pid == 0:
            os.close(0)
            os._exit(child(json.loads(line), make))
        alive.add(pid)
        print(pid, flush=True)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Serve jobs; making the model warms the kernels up for all that follow."""
    model = fixed_model()
    for kind in (KilledStore, KilledPublisher, KilledLog, KilledWorker):
        setattr(kafka_worker, kind.__mro__[1].__name__, kind)
    serve(lambda job: worker(job, model))


if __name__ == "__main__":
    main()
