"""Faust: supervises the worker, runs its timers and the low-rate agents.

The hot path is a service that reads with aiokafka, Faust's own driver, and not an agent: an agent
acknowledges in a `finally`, so a batch whose body raises is committed unprocessed, and it cannot
seek to the position that Redis holds.
"""

import asyncio
import atexit
import contextlib
import itertools
import logging
import shutil
import signal
import tempfile
from typing import Any, Final

import faust
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from mode import Service

from segstream.adapters.kafka_log import Outages, pause_s
from segstream.adapters.kafka_worker import KafkaWorker, WorkerOptions
from segstream.errors import SegstreamError
from segstream.settings import Settings

LOG: Final = logging.getLogger("segstream.worker")

# Faust answers nothing on it here; the metrics role has a server of its own.
_NO_WEB: Final = False


def new_app(
    settings: Settings, options: WorkerOptions, failures: list[SegstreamError]
) -> faust.App:
    """Make the worker application; nothing connects before it starts.

    Parameters
    ----------
    failures
        Takes what the worker fails with for good; the application is asked to stop then.
    """
    names = options.kafka.topics(settings.namespace)
    # Faust makes a data directory though nothing is kept in it; it goes with the process.
    folder = tempfile.mkdtemp(prefix="segstream-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    app = faust.App(
        f"{settings.namespace}-segments",
        broker=f"kafka://{options.kafka.bootstrap.replace(',', ';')}",
        store="memory://",
        datadir=folder,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=_NO_WEB,
        value_serializer="raw",
        key_serializer="raw",
        broker_session_timeout=options.kafka.session_timeout_ms / 1000,
        broker_heartbeat_interval=options.kafka.session_timeout_ms / 4000,
        consumer_auto_offset_reset="earliest",
    )
    changes = app.topic(names.changes, value_type=bytes, key_type=bytes)
    current = app.topic(names.current_segment, value_type=bytes, key_type=bytes)

    @app.service
    class HotPath(Service):
        """Hosts the partitions' tasks."""

        _worker: KafkaWorker | None = None

        async def on_start(self) -> None:
            worker = KafkaWorker(settings, options)
            try:
                await worker.start()
            except SegstreamError as error:
                _fail(failures, error)
            else:
                self._worker = worker

        @Service.task
        async def watch(self) -> None:
            if self._worker is None:
                return
            try:
                await self._worker.wait()
            except SegstreamError as error:
                _fail(failures, error)

        async def on_stop(self) -> None:
            if self._worker is not None:
                await self._worker.stop()

    @app.agent(changes, name="current-segment")
    async def keep_current(stream: Any) -> None:
        """Keep the last change of each customer in the compacted topic."""
        async for key, value in stream.items():
            await current.send(key=key, value=value)

    return app


def _fail(failures: list[SegstreamError], error: SegstreamError) -> None:
    """Stop as at SIGTERM: Faust would print a trace of what is a message with a remedy."""
    failures.append(error)
    signal.raise_signal(signal.SIGTERM)


def run_worker(settings: Settings, options: WorkerOptions) -> None:
    """Run the application until it is stopped by a signal.

    Raises
    ------
    SegstreamError
        What the worker failed with for good.
    """
    # Of a broker that is away it says hundreds of lines a second; ours say it once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if not asyncio.run(_broker_answers(options.kafka.bootstrap)):
        return
    failures: list[SegstreamError] = []
    app = new_app(settings, options, failures)
    worker = faust.Worker(app, loglevel="WARNING", redirect_stdouts=False, quiet=True)
    with contextlib.suppress(SystemExit):
        worker.execute_from_commandline()
    if failures:
        raise failures[0]


async def _broker_answers(bootstrap: str) -> bool:
    """Wait for the broker, which Faust does not; False where a signal came first."""
    loop, waiting = asyncio.get_running_loop(), asyncio.create_task(_await_broker(bootstrap))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, waiting.cancel)
    await asyncio.wait([waiting])
    return not waiting.cancelled()


async def _await_broker(bootstrap: str) -> None:
    outages = Outages(LOG)
    for attempt in itertools.count():
        client = AIOKafkaClient(bootstrap_servers=bootstrap)
        try:
            await client.bootstrap()
        except (KafkaError, OSError, TimeoutError) as error:
            outages.failed("kafka", error)
            await asyncio.sleep(pause_s(attempt))
        else:
            outages.works("kafka")
            return
        finally:
            await client.close()
