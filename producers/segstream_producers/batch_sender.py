"""The same sending with aiokafka's whole batches: for load tests.

kafka-python makes an object, a future and a lock round for every message; here a message costs one
append to a batch of its partition, and a whole batch has one future.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from segstream.adapters.kafka_clients import connection
from segstream.errors import OutputError
from segstream_producers.sender import Message, Sender

BATCH_BYTES: Final = 256 * 1024
MAX_BATCHES: Final = 64
_REQUEST_BYTES: Final = 16 << 20
# A request that times out at a broker that is alive ends the feed: so this is a long one.
_PATIENCE_MS: Final = 120_000
_LOOK_S: Final = 0.5
_STALL_S: Final = 5.0


class BatchSender(Sender):
    """A `Sender` that hands over batches; what it promises is the same.

    A batch that cannot be sent ends the feed: aiokafka does not say which message was too large.
    """

    def _connect(self) -> None:
        self._loop = asyncio.new_event_loop()
        # By batch: how many messages, and the first one's entry.
        self._under_way: dict[asyncio.Future[Any], tuple[int, int]] = {}
        self._client = self._loop.run_until_complete(self._started())

    async def _started(self) -> Any:
        client = AIOKafkaProducer(
            **connection(self._brokers), acks="all", enable_idempotence=True,
            compression_type="lz4", max_batch_size=BATCH_BYTES, max_request_size=_REQUEST_BYTES,
            request_timeout_ms=_PATIENCE_MS, retry_backoff_ms=50,
        )  # fmt: skip
        try:
            await client.start()
        except BaseException:
            await client.stop()
            raise
        return client

    def send(self, messages: Sequence[Message]) -> None:
        """Hand messages over, a batch per partition; waits while too many are under way."""
        by_partition: dict[int, list[Message]] = {}
        known = self._known
        for message in messages:
            partition = known.get(message.key)
            if partition is None:
                partition = self._partition(message.key)
            by_partition.setdefault(partition, []).append(message)
        self._run(self._send_all(by_partition))

    def flush(self) -> None:
        """Wait until everything is acknowledged, or a stop is asked for and nothing moves."""
        self._run(self._settle_batches(0))

    def close(self) -> None:
        """Close the connections; what is not acknowledged by now is not waited for."""
        try:
            self._run(asyncio.wait_for(self._client.stop(), 1.0))
        except TimeoutError:
            self._notice("the brokers did not answer at the end")
        for one in self._under_way:
            one.cancel()
        self._loop.close()

    @property
    def unknown(self) -> int:
        """Messages handed over and not acknowledged."""
        return sum(n for n, _ in self._under_way.values())

    @property
    def resume_at(self) -> int:
        """The first entry that is not acknowledged: where `--skip` would go on."""
        return min((entry for _, entry in self._under_way.values()), default=self._tally.entries)

    def _run(self, work: "Coroutine[Any, Any, None]") -> None:
        self._loop.run_until_complete(work)

    async def _send_all(self, by_partition: dict[int, list[Message]]) -> None:
        await self._settle_batches(MAX_BATCHES)
        # All at once: the client takes a partition's next batch when the one before is on its way.
        each = [self._send_partition(*one) for one in by_partition.items()]
        await asyncio.gather(*each)

    async def _send_partition(self, partition: int, messages: Sequence[Message]) -> None:
        at = 0
        while at < len(messages):
            batch, first = self._client.create_batch(), at
            for message in messages[at:]:
                took = batch.append(
                    key=message.key, value=message.value, timestamp=message.timestamp_ms
                )
                if took is None:
                    break
                at += 1
            batch.close()
            if at == first:
                raise OutputError(
                    f"{messages[at].place}: expected an event of at most {BATCH_BYTES:,} bytes, got"
                    f" {len(messages[at].value):,}; send this feed with --client kafka-python"
                )
            sent = await self._client.send_batch(batch, self._topic, partition=partition)
            self._under_way[sent] = (at - first, messages[first].entry)

    async def _settle_batches(self, most: int) -> None:
        """Wait until fewer batches are under way, or a stop is asked for and nothing moves."""
        since = time.monotonic()
        while len(self._under_way) > most:
            waiting = list(self._under_way)
            done, _ = await asyncio.wait(
                waiting, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED
            )
            for one in done:
                self._acknowledged(one)
                since = time.monotonic()
            if time.monotonic() - since > _STALL_S and not self._goes_on():
                return

    def _acknowledged(self, sent: "asyncio.Future[Any]") -> None:
        error = sent.exception()
        if error is not None:
            raise OutputError(
                f"{self._topic}: expected the broker to take a batch, got {error!r}; mend that and"
                f" send again with --skip {self.resume_at}: events that are repeated within 48"
                " hours of event time count once"
            ) from error
        self._noticed = False
        self._tally.sent += self._under_way.pop(sent)[0]

    def _goes_on(self) -> bool:
        """Say once that the broker is silent; False where a stop is asked for."""
        if self._asked_to_stop():
            return False
        if not self._noticed:
            self._notice(
                f"no answer from {self._bootstrap}, {self.unknown:,} messages waiting; trying"
                " until it comes back or a Ctrl-C"
            )
        self._noticed = True
        return True
