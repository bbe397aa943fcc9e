"""Faust: the application that hosts the roles as services, hears signals and stops in time.

The hot path is a service that reads with aiokafka, Faust's own driver, and not an agent: an agent
acknowledges in a `finally`, so a batch whose body raises is committed unprocessed, and it cannot
seek to the position that Redis holds. Nor is there any other agent: one event costs an agent more
than ten cost the path (docs/adr/0015).
"""

import asyncio
import contextlib
import itertools
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import faust
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from mode import Service

from segstream.adapters.kafka_clients import connection
from segstream.adapters.kafka_worker import WorkerOptions
from segstream.adapters.outages import LastExit, Outages, pause_s
from segstream.adapters.permissions import Needs, check_permissions
from segstream.kafka_settings import KafkaSettings
from segstream.logs import Format, logging_config, quiet_clients
from segstream.settings import Settings

LOG: Final = logging.getLogger("segstream.worker")

# Faust answers nothing on it here; the metrics role has a server of its own.
_NO_WEB: Final = False
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


def new_app(settings: Settings, roles: Sequence[Role], failures: list[Exception]) -> faust.App:
    """Make the application; nothing connects before it starts.

    Parameters
    ----------
    failures
        Takes what a role fails with for good; the application is asked to stop then.
    """
    app = _App(
        f"{settings.namespace}-roles",
        store="memory://",
        topic_disable_leader=True,
        web_enabled=_NO_WEB,
    )
    # The roles have their own clients: an idle consumer would be one more member to rebalance.
    app.boot_strategy.enable_kafka = False
    for role in roles:
        app.service(_hosted(role, failures))
    return app


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
            self._life.cancel()  # once: a second one would cut the end of its batches short
            await asyncio.wait([self._life])

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
    quiet_clients()
    if not asyncio.run(_broker_answers(options.kafka, roles)):
        return
    failures: list[Exception] = []
    app = new_app(settings, roles, failures)
    worker = _Worker(
        app, loglevel="WARNING", redirect_stdouts=False, quiet=True,
        logging_config=logging_config(log_format),
    )  # fmt: skip
    # It hides the cursor also of a file, and has every debug record of every library made.
    worker.spinner = None
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
