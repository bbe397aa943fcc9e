"""Reading one partition of a Kafka log."""

import asyncio
import contextlib
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from segstream.errors import FencedError

# A partition that is this far ahead of its task is not read on.
_BUFFER_BYTES: Final = 8 * 1024 * 1024


class Record(Protocol):
    """What is read of a record."""

    @property
    def offset(self) -> int:
        """Its place in the log."""
        ...

    @property
    def value(self) -> bytes | None:
        """Its body."""
        ...


@dataclass(slots=True)
class PartitionBuffer:
    """Records of one partition that its task has not taken yet, in the runs they came in.

    Attributes
    ----------
    runs
        Records and the bytes of their values.
    """

    runs: deque[tuple[Sequence[Record], int]] = field(default_factory=deque)
    size: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, records: Sequence[Record]) -> None:
        """Add what was polled."""
        if records:
            self._push(records, last=True)
            self.arrived.set()

    def _push(self, records: Sequence[Record], *, last: bool) -> None:
        size = sum([len(r.value or b"") for r in records])
        (self.runs.append if last else self.runs.appendleft)((records, size))
        self.size += size

    def take(self, max_bytes: int) -> list[Record]:
        """Take records of about `max_bytes`, at least one where there is one."""
        taken: list[Record] = []
        room = max_bytes
        while self.runs and (not taken or room > 0):
            records, size = self.runs.popleft()
            self.size -= size
            if size > room:
                ends = list(accumulate(len(r.value or b"") for r in records))
                cut = bisect_left(ends, room) + 1
                if cut < len(records):
                    self._push(records[cut:], last=False)
                    records = records[:cut]
            taken.extend(records)
            room -= size
        if not self.runs:
            self.arrived.clear()
        return taken

    def clear(self) -> None:
        """Drop what was polled."""
        self.runs.clear()
        self.size = 0
        self.arrived.clear()

    @property
    def full(self) -> bool:
        """Whether the partition should not be read on for now."""
        return self.size > _BUFFER_BYTES


class Member(Protocol):
    """What a partition's log shares with those of the worker's other partitions."""

    consumer: AIOKafkaConsumer
    admin: AIOKafkaAdminClient
    group: str

    async def topic_id(self) -> str:
        """Ask for the id of the source topic."""
        ...


class PartitionLog:
    """`segstream.worker.Log` on the shared consumer."""

    def __init__(self, owner: Member, partition: TopicPartition) -> None:
        self._owner, self._tp = owner, partition
        self.buffer = PartitionBuffer()
        self._next = -1
        self._fetched = -1

    async def committed(self) -> tuple[int | None, int]:
        """Read offset and metadata; the consumer's own `committed` drops the metadata."""
        found = await self._owner.admin.list_consumer_group_offsets(
            self._owner.group, partitions=[self._tp]
        )
        held = found.get(self._tp)
        if held is None:  # a coordinator that is loading answers with nothing at all
            raise KafkaError(f"expected an offset or -1 for {self._tp}, got neither")
        if held.offset < 0:
            return None, 0
        n = held.metadata.partition(" ")[0]
        return held.offset, int(n) if n.isdigit() else 0

    async def bounds(self) -> tuple[int, int, str]:
        """Log start, log end and topic id."""
        consumer = self._owner.consumer
        start = (await consumer.beginning_offsets([self._tp]))[self._tp]
        end = (await consumer.end_offsets([self._tp]))[self._tp]
        return start, end, await self._owner.topic_id()

    def seek(self, offset: int) -> None:
        """Read from here on; drop what was polled."""
        self.buffer.clear()
        self._next, self._fetched = offset, -1
        self._owner.consumer.seek(self._tp, offset)
        self._owner.consumer.resume(self._tp)

    def polled(self, position: int) -> None:
        """Note where the consumer stands."""
        self._fetched = position

    @property
    def sought(self) -> bool:
        """Whether the consumer was told where to begin."""
        return self._next >= 0

    async def take(self, max_bytes: int, wait_s: float) -> Sequence[Any]:
        """Records in order; none when nothing came in time.

        Raises
        ------
        FencedError
            The log is not what it was: the claim finds out what became of it.
        """
        if not self.buffer.runs:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.buffer.arrived.wait()
        if 0 <= self._fetched < self._next:
            raise self._changed(f"it was read up to {self._next}, now up to {self._fetched}")
        taken = self.buffer.take(max_bytes)
        if taken and taken[0].offset < self._next:
            taken = [r for r in taken if r.offset >= self._next]
        if taken:
            await self._check_gap(taken[0].offset)
            self._next = taken[-1].offset + 1
        return taken

    async def _check_gap(self, offset: int) -> None:
        """Offsets may be left out, by a transaction's marker; records may not."""
        if offset == self._next:
            return
        start = (await self._owner.consumer.beginning_offsets([self._tp]))[self._tp]
        if start > self._next:
            raise self._changed(f"expected offset {self._next}, got a log that begins at {start}")

    def _changed(self, how: str) -> FencedError:
        return FencedError(f"kafka: {self._tp.topic}, partition {self._tp.partition}: {how}")

    @property
    def waiting_bytes(self) -> int:
        """How much was read and not taken."""
        return self.buffer.size

    @property
    def caught_up(self) -> bool:
        """Whether everything up to the log's end was taken."""
        if self.buffer.runs:
            return False
        high = self._owner.consumer.highwater(self._tp)
        return high is not None and self._fetched >= high
