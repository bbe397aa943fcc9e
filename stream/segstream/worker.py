"""One partition of the log, exactly once: the hot path of a worker.

Claim, when the partition is assigned:
  1. raise the epoch in Redis; refused to a member of an older group generation
  2. start the partition's transactional producer: a zombie's transaction is settled or aborted
  3. only then read the partition's committed offset and its metadata
  4. if the outbox's batch is newer than the committed one, publish it
  5. check the topic's id, and log start <= offset <= log end; else stop with the remedy
  6. load the records, seek, drop what was polled

Batch n, a run of the log (events, instants, the adoption of a model):
  1. take records from the log; the customers' records are in memory since the claim
  2. fold, evaluate, decide: pure
  3. wait until batch n-1 is published
  4. WATCH, compare, MULTI: records, rosters, totals, position, outbox. Any error or unknown
     outcome: never retried, drop everything, claim again
  5. one Kafka transaction: changes, dead letters, evidence, and the offset with "n minute"

A crash at any point loses nothing and shows nothing twice to a read_committed consumer.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from segstream.adapters.redis_store import (
    Adoption,
    DayEvidence,
    LogBatch,
    LogOutbox,
    PartitionClaim,
    RedisStore,
)
from segstream.core import layout as at
from segstream.core.changes import ChangeEncoder
from segstream.core.clock import ClockHint
from segstream.core.columns import ColumnBuilder
from segstream.core.dead_letters import DeadLetterWatch
from segstream.core.events import Event, Parsed, parse_json_lines
from segstream.core.model import Model
from segstream.core.partition import DeadLetter, PanelRows, Partition, Taken
from segstream.core.spec import CompiledSpec, text_hash
from segstream.core.turns import turn_of
from segstream.errors import SourceError, StateError
from segstream.ports import Outbox, PanelBlock
from segstream.settings import Settings, policy_of

AHEAD_MS: Final = 3_600_000
"""An event may be so much later than its Kafka record's timestamp."""
OFFSETS_EVERY_S: Final = 5.0
IDLE_S: Final = 0.2


class Record(Protocol):
    """What the worker reads of a Kafka record."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


class Publisher(Protocol):
    """Publishes a partition's batches, each whole."""

    async def start(self) -> None:
        """Fence every earlier publisher of the partition."""
        ...

    async def stop(self) -> None:
        """Release it."""
        ...

    async def publish(self, n: int, offset: int, minute: int, outbox: LogOutbox) -> None:
        """Publish batch n with the offset behind it, all or nothing."""
        ...


class Log(Protocol):
    """One partition of the source topic."""

    async def committed(self) -> tuple[int | None, int]:
        """The group's offset and the number of the batch published with it; 0 for none."""
        ...

    async def bounds(self) -> tuple[int, int, str]:
        """Log start, log end and topic id."""
        ...

    def seek(self, offset: int) -> None:
        """Read from here on; drop what was polled."""
        ...

    async def take(self, max_bytes: int, wait_s: float) -> Sequence[Record]:
        """Records in order; none when nothing came in time."""
        ...

    @property
    def caught_up(self) -> bool:
        """Whether everything up to the log's end was taken."""
        ...


class Models(Protocol):
    """The models topic, as far as it was read."""

    @property
    def latest(self) -> Model | None:
        """The living model; None before the first."""
        ...

    def get(self, number: int) -> Model:
        """Return a model by its number."""
        ...

    async def read(self, number: int) -> None:
        """Wait until a model is there that another worker has read already."""
        ...


@dataclass(slots=True)
class Tasks:
    """What a partition's worker is given.

    Attributes
    ----------
    target_ms
        Where the clock may go without an event, once caught up.
    generation
        The consumer group's generation now.
    owner
        Checks that a key's partition is this one; raises `SourceError`.
    """

    store: RedisStore
    publisher: Publisher
    log: Log
    models: Models
    target_ms: Callable[[], int]
    generation: Callable[[], int]
    owner: Callable[[bytes], None]


class PartitionWorker:
    """Claims a partition and applies its log until it is lost or stopped."""

    def __init__(
        self, number: int, settings: Settings, spec: CompiledSpec, tasks: Tasks, erase_key: bytes
    ) -> None:
        self.number = number
        self._settings, self._spec, self._tasks = settings, spec, tasks
        self._erase_key = erase_key
        self.partition: Partition
        self._published: asyncio.Task[None] | None = None
        self._stopping = False
        self.on_claim: Callable[[], None] = lambda: None
        self.claimed = False
        self.applied = 0

    # ---- claim -------------------------------------------------------------------------

    async def claim(self) -> None:
        """Take the partition over; see the module for the numbers."""
        tasks = self._tasks
        claim = await tasks.store.claim(tasks.generation())  # 1
        await tasks.publisher.start()  # 2
        committed, published = await tasks.log.committed()  # 3
        offset = claim.offset if claim.offset is not None else committed
        if claim.n > published and claim.offset is not None:  # 4
            minute = claim.meta.clock_minute
            await tasks.publisher.publish(claim.n, claim.offset, minute, claim.outbox)
        start, end, topic_id = await tasks.log.bounds()  # 5
        offset = start if offset is None else offset
        self._check_log(claim, offset, start, end, topic_id)
        await tasks.store.remember_topic(topic_id)
        await self._load(claim)  # 6
        tasks.log.seek(offset)
        self._n, self._offset = claim.n, offset
        self._last_publish = time.monotonic()
        self.claimed = True
        self.on_claim()

    def hint(self) -> ClockHint:
        """How far this partition's clock is."""
        event_ms = self.partition.clock_ms
        clock_ms = max(event_ms, self.partition.clock_minute * at.MINUTE_MS)
        return ClockHint(clock_ms, event_ms, self._tasks.log.caught_up)

    def _check_log(
        self, claim: PartitionClaim, offset: int, start: int, end: int, topic_id: str
    ) -> None:
        if claim.topic_id and claim.topic_id != topic_id:
            raise StateError(
                f"partition {self.number}: expected topic id {claim.topic_id}, got {topic_id}: the "
                "topic was made anew and offsets mean nothing; rebuild into a new namespace"
            )
        if not start <= offset <= end:
            raise StateError(
                f"partition {self.number}: expected offset {offset} within {start} to {end}, got a "
                "log that was cut or deleted; restore it, or rebuild into a new namespace"
            )

    async def _load(self, claim: PartitionClaim) -> None:
        settings = self._settings
        builder = ColumnBuilder(self._spec, settings.currency or None, 0)
        encoder = ChangeEncoder(settings.namespace, self._spec.spec.names)
        self.partition = Partition(
            self._spec, policy_of(settings), builder, encoder, self._erase_key
        )
        self._adoption = self._first_adoption() if claim.n == 0 else claim.adoption
        if self._adoption.number:
            await self._tasks.models.read(self._adoption.number)
        stored = await self._tasks.store.records()
        meta = msgspec.structs.replace(claim.meta, next_slot=len(stored))
        self.partition.load(meta, self._adopted_model(), iter(stored))
        self._known = len(stored)
        self._watch = DeadLetterWatch(settings.dead_letters.max_share, claim.watch)
        self._panel = list(await self._tasks.store.panel())
        model = self.partition.model
        self.partition.set_panel_bits(model.panel_bits if model else 0)

    def _first_adoption(self) -> Adoption:
        """A partition that begins takes the living model at once."""
        latest = self._tasks.models.latest
        return Adoption() if latest is None else Adoption(latest.number, -1, -1, latest.generation)

    def _adopted_model(self) -> Model | None:
        adoption = self._adoption
        if adoption.number == 0:
            return None
        return msgspec.structs.replace(
            self._tasks.models.get(adoption.number),
            minute=adoption.minute,
            generation_minute=adoption.generation_minute,
        )

    # ---- run ---------------------------------------------------------------------------

    def stop(self) -> None:
        """End after the batch that is under way."""
        self._stopping = True

    async def run(self) -> None:
        """Claim, then apply batch after batch; ends on `stop`.

        Raises
        ------
        FencedError
            The partition is lost, or a commit's outcome is not known: claim again if it is still
            assigned.
        """
        try:
            await self.claim()
            while not self._stopping:
                await self._step()
            await self._settle()
        finally:
            await self._abandon()

    async def _abandon(self) -> None:
        """Leave what is under way as it is: the next claim settles it."""
        if self._published is not None:
            self._published.cancel()
            await asyncio.wait([self._published])
            if not self._published.cancelled():
                self._published.exception()  # seen
        await self._tasks.publisher.stop()

    async def _step(self) -> None:
        records = await self._tasks.log.take(self._settings.batch_bytes, IDLE_S)  # 1
        until = -1
        if not records and self._tasks.log.caught_up:
            until = self._follow()
        waits = time.monotonic() - self._last_publish > OFFSETS_EVERY_S
        if records or until > self.partition.clock_minute or self._next_adoption() or waits:
            await self._batch(records, until, waits)

    def _follow(self) -> int:
        target = self._tasks.target_ms()
        if target < 0:
            return -1
        self.partition.start_clock(target)
        return target // at.MINUTE_MS

    async def _settle(self) -> None:
        if self._published is not None:
            await self._published
            self._published = None

    # ---- batch -------------------------------------------------------------------------

    async def _batch(self, records: Sequence[Record], until: int, waits: bool) -> None:
        evidence = self._fold(records, until)  # 2
        taken = self.partition.take()
        self._watch.check([d.index for d in taken.dead], len(records))
        offset = records[-1].offset + 1 if records else self._offset
        outbox = LogOutbox(
            Outbox(self._n + 1, tuple(taken.changes), self._dead(taken.dead, records)),
            tuple(evidence),
        )
        adoption = self._next_adoption() or self._adoption
        await self._settle()  # 3
        batch = self._log_batch(taken, offset, outbox, adoption)
        await self._tasks.store.commit(batch, self._n)  # 4
        self._n, self._offset = batch.n, offset
        self._after_commit(taken, adoption)
        self.applied += len(records)
        if outbox.out.changes or outbox.out.dead_letters or evidence or waits or records:
            self._last_publish = time.monotonic()
            minute = self.partition.clock_minute
            self._published = asyncio.create_task(  # 5
                self._tasks.publisher.publish(batch.n, offset, minute, outbox)
            )

    def _fold(self, records: Sequence[Record], until: int) -> list[bytes]:
        """Apply records and instants; returns the evidence of each day that closed."""
        parsed, latest = self._parse(records)
        self.partition.stage(parsed, latest)
        evidence: list[bytes] = []
        while not self.partition.run(until):
            evidence.append(self._evidence())
            self._panel = []
            self.partition.open_day()
        return evidence

    def _parse(self, records: Sequence[Record]) -> tuple[list[Parsed], list[int]]:
        payloads = [r.value or b"" for r in records]
        parsed = parse_json_lines(payloads)
        known = self.partition.slot_of
        for record, entry in zip(records, parsed, strict=True):
            if isinstance(entry, Event):
                self._check_key(record, entry, first=known(entry.customer_id) is None)
        return parsed, [r.timestamp + AHEAD_MS for r in records]

    def _check_key(self, record: Record, event: Event, *, first: bool) -> None:
        key = event.customer_id.encode("utf-8", "surrogatepass")
        if record.key != key:
            raise SourceError(
                f"partition {self.number}, offset {record.offset}: expected the customer id as the "
                f"message's key, got {record.key!r}: one customer in two partitions would be two "
                "records. Copy the topic with: segstream-producers rekey SRC DST"
            )
        if first:
            self._tasks.owner(key)

    def _evidence(self) -> bytes:
        """The closed day of this partition, for the trainer."""
        blocks = [*self._panel, _block(self.partition.take_panel())]
        return msgspec.msgpack.encode(
            DayEvidence(
                self.number,
                self._adoption.number,
                self.partition.first_ms,
                msgspec.msgpack.encode(self.partition.day_totals()),
                PanelBlock(b"".join(b.keys for b in blocks), b"".join(b.raw for b in blocks)),
            )
        )

    def _next_adoption(self) -> Adoption | None:
        """The model to use from the next batch on, where there is a newer one."""
        latest = self._tasks.models.latest
        if latest is None or latest.number <= self._adoption.number:
            return None
        minute = self.partition.clock_minute + 1
        same = latest.generation == self._adoption.generation
        return Adoption(
            latest.number,
            minute,
            self._adoption.generation_minute if same else minute,
            latest.generation,
        )

    def _log_batch(
        self, taken: Taken, offset: int, outbox: LogOutbox, adoption: Adoption
    ) -> LogBatch:
        turns = self.partition.policy
        new = [
            (int(turn_of(turns, text_hash(r.customer_id))), r.customer_id)
            for r in taken.records
            if r.slot >= self._known
        ]
        ended = [
            (int(turn_of(turns, text_hash(customer_id))), customer_id) for customer_id in taken.left
        ]
        return LogBatch(
            outbox.out.n, offset, taken.meta, adoption, outbox, taken.records, new, ended,
            _block(taken.panel), bool(outbox.evidence), self._watch.flags,
        )  # fmt: skip

    def _after_commit(self, taken: Taken, adoption: Adoption) -> None:
        self._known = taken.meta.next_slot
        if len(taken.panel.keys):
            self._panel.append(_block(taken.panel))
        if adoption is not self._adoption:
            self._adoption = adoption
            model = self._adopted_model()
            if model is not None:
                self.partition.adopt(model)
                self.partition.set_panel_bits(model.panel_bits)

    def _dead(self, dead: Sequence[DeadLetter], records: Sequence[Record]) -> tuple[bytes, ...]:
        return tuple(
            msgspec.msgpack.encode(
                {
                    "code": letter.code,
                    "message": letter.message,
                    "place": f"{self.number}:{records[letter.index].offset}",
                    "key": records[letter.index].key,
                    "value": records[letter.index].value,
                }
            )
            for letter in dead
        )


def _block(rows: PanelRows) -> PanelBlock:
    return PanelBlock(rows.keys.tobytes(), rows.raw.tobytes())
