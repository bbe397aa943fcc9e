"""Faust: supervises the roles, runs their timers and the low-rate agents.

The hot path is a service that reads with aiokafka, Faust's own driver, and not an agent: an agent
acknowledges in a `finally`, so a batch whose body raises is committed unprocessed, and it cannot
seek to the position that Redis holds.
"""

import asyncio
import contextlib
import itertools
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import faust
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from mode import Service

from segstream.adapters.current_segments import CurrentSegments
from segstream.adapters.kafka_clients import connection, password, ssl_context
from segstream.adapters.kafka_worker import WorkerOptions
from segstream.adapters.outages import LastExit, Outages, cancelled, pause_s
from segstream.adapters.permissions import Needs, check_permissions
from segstream.kafka_settings import KafkaSettings
from segstream.logs import Format, logging_config
from segstream.settings import Settings

LOG: Final = logging.getLogger("segstream.worker")

# Faust answers nothing on it here; the metrics role has a server of its own.
_NO_WEB: Final = False
# Changes are sent many at a time: a request for every 16 KiB, the default, is ten for one.
_BATCH_BYTES: Final = 256 * 1024
# Beyond the time to drain: to close clients, to leave the group.
_LEAVE_S: Final = 8.0


class Role(Protocol):
    """A worker or a trainer."""

    @property
    def needs(self) -> Needs:
        """What it must be allowed on the brokers."""
        ...

    async def start(self) -> None:
        """Begin; waits for what is away."""
        ...

    async def wait(self) -> None:
        """Wait until something fails for good, and raise it."""
        ...

    async def stop(self) -> None:
        """End what was started."""
        ...


class _App(faust.App):
    """A Faust application without tables: nothing is kept in files, so no folder is made."""

    def _create_directories(self) -> None:
        return


def new_app(
    settings: Settings, kafka: KafkaSettings, roles: Sequence[Role], failures: list[Exception]
) -> faust.App:
    """Make the application; nothing connects before it starts.

    Parameters
    ----------
    failures
        Takes what a role fails with for good; the application is asked to stop then.
    """
    names = kafka.topics(settings.namespace)
    app = _App(
        f"{settings.namespace}-segments",
        broker=f"kafka://{kafka.bootstrap.replace(',', ';')}",
        broker_credentials=_credentials(kafka),
        store="memory://",
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=_NO_WEB,
        value_serializer="raw",
        key_serializer="raw",
        producer_max_batch_size=_BATCH_BYTES,
        broker_session_timeout=kafka.session_timeout_ms / 1000,
        broker_heartbeat_interval=kafka.session_timeout_ms / 4000,
        consumer_auto_offset_reset="earliest",
    )
    changes = app.topic(names.changes, value_type=bytes, key_type=bytes)
    for role in roles:
        app.service(_hosted(role, failures))

    @app.agent(changes, name="current-segment")
    async def keep_current(stream: Any) -> None:
        """Keep the last change of each customer in the compacted topic; of an erased one none."""
        events = stream.noack()
        segments = CurrentSegments(send, events.ack)
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(segments.run())
            async for event in events.events():
                await segments.add(event)
            sending.cancel()

    async def send(key: bytes, value: bytes | None) -> Awaitable[Any]:
        producer = await app.maybe_start_producer()
        sent: Awaitable[Any] = await producer.send(
            names.current_segment, key, value, None, None, None
        )
        return sent

    return app


def _credentials(kafka: KafkaSettings) -> faust.SASLCredentials | faust.SSLCredentials | None:
    context = ssl_context(kafka) if kafka.encrypted else None
    if kafka.authenticated:
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=password(),
            ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )
    return None if context is None else faust.SSLCredentials(context)


def _hosted(role: Role, failures: list[Exception]) -> type[Service]:
    """A service that runs a role; starting waits for nothing, so that a signal is heard."""

    class Hosted(Service):
        """Hosts one role."""

        async def on_start(self) -> None:
            self._life = asyncio.create_task(self._live())

        async def _live(self) -> None:
            try:
                await role.start()
                try:
                    await role.wait()
                finally:
                    await role.stop()
            except Exception as error:  # noqa: BLE001 - whatever it is, `run_roles` raises it
                _fail(failures, error)

        async def on_stop(self) -> None:
            await cancelled(self._life)

    return Hosted


def _fail(failures: list[Exception], error: Exception) -> None:
    """Stop as at SIGTERM: Faust would print a trace of what is a message with a remedy."""
    failures.append(error)
    signal.raise_signal(signal.SIGTERM)


class _Worker(faust.Worker):
    """Faust's worker, which ends for certain once it was asked to."""

    asked: Callable[[], None]

    def _schedule_shutdown(self, number: signal.Signals) -> None:
        self.asked()
        super()._schedule_shutdown(number)


def run_roles(
    settings: Settings, options: WorkerOptions, roles: Sequence[Role], log_format: Format = "text"
) -> None:
    """Run roles as one Faust application until it is stopped by a signal.

    Raises
    ------
    SegstreamError
        What a role failed with for good.
    """
    # Of a broker that is away it says hundreds of lines a second; ours say it once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if not asyncio.run(_broker_answers(options.kafka, roles)):
        return
    failures: list[Exception] = []
    app = new_app(settings, options.kafka, roles, failures)
    worker = _Worker(
        app, loglevel="WARNING", redirect_stdouts=False, quiet=True,
        logging_config=logging_config(log_format),
    )  # fmt: skip
    with LastExit(options.drain_s + _LEAVE_S, failures) as last:
        worker.asked = last.asked
        with contextlib.suppress(SystemExit):
            worker.execute_from_commandline()
    if failures:
        raise failures[0]


async def _broker_answers(kafka: KafkaSettings, roles: Sequence[Role]) -> bool:
    """Wait for the broker, which Faust does not; False where a signal came first."""
    loop, waiting = asyncio.get_running_loop(), asyncio.create_task(_await_broker(kafka, roles))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, waiting.cancel)
    await asyncio.wait([waiting])
    if not waiting.cancelled():
        waiting.result()
    return not waiting.cancelled()


async def _await_broker(kafka: KafkaSettings, roles: Sequence[Role]) -> None:
    outages = Outages(LOG)
    for attempt in itertools.count():
        client = AIOKafkaClient(**connection(kafka))
        try:
            await client.bootstrap()
            for role in roles:
                await check_permissions(kafka, role.needs)
        except (KafkaError, OSError, TimeoutError) as error:
            outages.failed("kafka", error)
            await asyncio.sleep(pause_s(attempt))
        else:
            outages.works("kafka")
            return
        finally:
            await client.close()
