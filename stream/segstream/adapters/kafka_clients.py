"""Every Kafka client of Segstream: consumers, producers and the admin's, made in one place."""

import asyncio
import contextlib
import os
import ssl
import sys
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.codec import lz4_encode
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from segstream.errors import ConfigError
from segstream.kafka_settings import PASSWORD_VARIABLE, KafkaSettings

# One message of the log is at most a megabyte; evidence of a day may be eight.
_MAX_REQUEST_BYTES: Final = 16 * 1024 * 1024
_BATCH_BYTES: Final = 512 * 1024
_LZ4_LEVEL: Final = 1
_STOP_S: Final = 3.0
_SEND_MS: Final = 15_000
_RECONNECT_S: Final = 0.5
_CLOSING: Final[set[asyncio.Task[None]]] = set()


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """How aiokafka and kafka-python reach the brokers: address, encryption, who asks.

    Raises
    ------
    ConfigError
        The password or the file of certificates is not there.
    """
    given: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap.split(","),
        "security_protocol": settings.security_protocol,
    }
    if settings.encrypted:
        given["ssl_context"] = ssl_context(settings)
    if settings.authenticated:
        given["sasl_mechanism"] = settings.sasl_mechanism
        given["sasl_plain_username"] = settings.sasl_username
        given["sasl_plain_password"] = password()
    return given


def password() -> str:
    """Password of `kafka.sasl_username`; a settings file is no place for it."""
    found = os.environ.get(PASSWORD_VARIABLE)
    if not found:
        raise ConfigError(
            f"kafka.sasl_username: expected its password in ${PASSWORD_VARIABLE}, got none; set it"
        )
    return found


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    """Trust the certificates of `kafka.ssl_cafile`, or the system's."""
    try:
        return ssl.create_default_context(cafile=settings.ssl_cafile or None)
    except OSError as error:  # ssl.SSLError is one too
        raise ConfigError(
            f"kafka.ssl_cafile: expected a file of PEM certificates, got {settings.ssl_cafile!r}: "
            f"{error}; check the path"
        ) from error


class _Consumer(AIOKafkaConsumer):  # type: ignore[misc]
    """A consumer that whoever reads may close because of an error."""

    async def stop(self) -> None:
        """Close it, and wait no longer than that is worth."""
        await _closed(self._stop())

    async def _stop(self) -> None:
        try:
            with contextlib.suppress(KafkaError, OSError):
                await super().stop()
        except asyncio.CancelledError:
            # aiokafka's own: it cancels a fetch that pauses after an error, and then awaits it.
            for fetch in self._fetcher._pending_tasks if self._fetcher else ():
                fetch.cancel()
            await self._client.close()


@contextlib.asynccontextmanager
async def running(consumer: AIOKafkaConsumer) -> AsyncIterator[AIOKafkaConsumer]:
    """Start a consumer, and close it also where it did not start."""
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


def new_reader(
    settings: KafkaSettings, at_least_bytes: int = 1, wait_ms: int = 200
) -> AIOKafkaConsumer:
    """A consumer without a group, from the beginning of what it is assigned.

    Parameters
    ----------
    at_least_bytes, wait_ms
        A fetch is answered when the broker has so much, or after so long.
    """
    reader = _Consumer(
        **connection(settings),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=wait_ms,
        fetch_min_bytes=at_least_bytes,
    )
    _gently(reader._client)
    return reader


def new_consumer(
    settings: KafkaSettings, group: str, instance: str | None, work_s: float = 300.0
) -> AIOKafkaConsumer:
    """A consumer that commits nothing by itself; offsets go through the producers.

    Parameters
    ----------
    work_s
        Between two reads, after which the group takes it for stuck.
    """
    consumer = _Consumer(
        **connection(settings),
        group_id=group,
        group_instance_id=instance,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=settings.session_timeout_ms // 4,
        rebalance_timeout_ms=settings.session_timeout_ms,
        max_poll_interval_ms=round(work_s * 1000),
        max_partition_fetch_bytes=4 * 1024 * 1024,
        fetch_max_wait_ms=20,
        retry_backoff_ms=50,
    )
    _gently(consumer._client)
    return consumer


def new_producer(settings: KafkaSettings, transactional_id: str) -> AIOKafkaProducer:
    """A transactional producer; starting it settles or aborts a zombie's transaction."""
    _compress_lightly()
    producer = AIOKafkaProducer(
        **connection(settings),
        transactional_id=transactional_id,
        compression_type="lz4",
        max_batch_size=_BATCH_BYTES,
        max_request_size=_MAX_REQUEST_BYTES,
        retry_backoff_ms=10,
        linger_ms=0,
    )
    _gently(producer.client)
    return producer


def _compress_lightly() -> None:
    """Let lz4 take its fast way.

    aiokafka asks for level 9, and has no setting: of a batch of changes that is 8 to 12 us each
    for a quarter less than the 0.7 us of level 1 leave.
    """
    module: Any = sys.modules[DefaultRecordBatchBuilder.__module__]
    module.lz4_encode = partial(lz4_encode, level=_LZ4_LEVEL)


def take_records_as_they_are() -> None:
    """Let this process's consumers give the records that aiokafka has decoded.

    It copies each into a frozen dataclass of eleven fields, which takes longer than decoding it.
    What is decoded has offset, timestamp, key, value and headers already.
    """
    PartitionRecords._consumer_record = _as_it_is


def _as_it_is(_records: PartitionRecords, _tp: object, record: Any) -> Any:
    return record


def new_sender(settings: KafkaSettings) -> AIOKafkaProducer:
    """A producer of single messages, each there once or an error."""
    return AIOKafkaProducer(
        **connection(settings),
        enable_idempotence=True,
        max_request_size=_MAX_REQUEST_BYTES,
        request_timeout_ms=_SEND_MS,
    )


async def abandon(producer: AIOKafkaProducer) -> None:
    """Close a producer without waiting for what it still holds.

    aiokafka's own `stop` flushes first, which lasts for as long as the broker is away.
    """
    await _closed(_close(producer))


async def _closed(work: Coroutine[Any, Any, None]) -> None:
    """Close something in a task of its own.

    aiokafka swallows a cancellation that comes while it closes, and lets one of its own out: that
    would end the caller, who has nothing to do with it.
    """
    closing = asyncio.create_task(work)
    _CLOSING.add(closing)
    closing.add_done_callback(_CLOSING.discard)
    await asyncio.wait([closing], timeout=_STOP_S)


async def _close(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(KafkaError, OSError, asyncio.CancelledError):
        await producer._sender.close()
    with contextlib.suppress(KafkaError, OSError):
        await producer.stop()


def _gently(client: Any) -> None:
    """Pause after a connection that failed.

    A producer looks for its coordinator again and again with the backoff that suits a broker
    that is there: while it is away, six of them made 700 attempts a second.
    """
    attempt = client._get_conn

    async def get_conn(*args: Any, **options: Any) -> Any:
        connection = await attempt(*args, **options)
        if connection is None:
            await asyncio.sleep(_RECONNECT_S)
        return connection

    client._get_conn = get_conn
