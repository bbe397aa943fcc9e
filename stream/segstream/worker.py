"""One partition of the log, exactly once: the hot path of a worker.

Claim, when the partition is assigned:
  1. raise the epoch in Redis; refused to a member of an older group generation
  2. start the partition's transactional producer: a zombie's transaction is settled or aborted
  3. only then read the partition's committed offset and its metadata
  4. if the outbox's batch is newer than the committed one, publish it
  5. check the topic's id, and log start <= offset <= log end; else stop with the remedy
  6. load the records, seek, drop what was polled

Batch n, a run of the log (events, instants, the adoption of a model):
  1. take records from the log; the customers' records are in memory since the claim. Where the
     trainer is followed and the log is history, the batch ends with the day (`segstream.pace`).
     A small one waits for more until batch n-1 is published, and soon after it (`segstream.tempo`)
  2. adopt the newest model made for the next instant; fold, evaluate, decide: pure
  3. wait until batch n-1 is published
  4. WATCH, compare, MULTI: records, rosters, totals, position, outbox. Any error or unknown
     outcome: never retried, drop everything, claim again
  5. one Kafka transaction: changes, current segments, dead letters, evidence, and the offset with
     "n minute"

A crash at any point loses nothing and shows nothing twice to a read_committed consumer.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import msgspec
import numpy as np

from segstream.adapters.outages import ended
from segstream.adapters.redis_store import (
    Adoption,
    LogBatch,
    LogOutbox,
    PartitionClaim,
)
from segstream.core import layout as at
from segstream.core.changes import ChangeEncoder
from segstream.core.clock import ClockHint
from segstream.core.columns import ColumnBuilder
from segstream.core.dead_letters import DeadLetterWatch
from segstream.core.events import Event, Parsed, epoch_ms, parse_json_lines
from segstream.core.model import Model
from segstream.core.open_panel import OpenPanel, panel_rows
from segstream.core.partition import DayTotals, DeadLetter, PanelRows, Partition, Taken
from segstream.core.spec import CompiledSpec, IntArray, text_hash
from segstream.core.turns import turn_of
from segstream.errors import SourceError, StateError
from segstream.ports import DayEvidence, Outbox, PanelBlock
from segstream.settings import Settings, policy_of
from segstream.worker_parts import Piece, Record, Tasks, Told

AHEAD_MS: Final = 3_600_000
"""An event may be so much later than its Kafka record's timestamp."""
SMALL_BYTES: Final = 256 * 1024
"""Folded within some 15 ms, less than publishing takes: too little to do both at once."""
OFFSETS_EVERY_S: Final = 5.0
IDLE_S: Final = 0.2


class PartitionWorker:
    """Claims a partition and applies its log until it is lost or stopped."""

    def __init__(self, number: int, settings: Settings, spec: CompiledSpec, tasks: Tasks) -> None:
        self.number = number
        self._settings, self._spec, self._tasks = settings, spec, tasks
        self.partition: Partition
        self._published: asyncio.Task[None] | None = None
        self._told = Told()
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
        self._told.note(claim.outbox.evidence, self._last_publish)
        tasks.meter.claimed(self.partition.meta())
        self.claimed = True
        self.on_claim()

    def hint(self) -> ClockHint:
        """How far this partition's clock is."""
        event_ms = self.partition.clock_ms
        minute = self.partition.clock_minute
        if self._between_days:  # whoever follows this clock must close the day too
            minute += 1
        clock_ms = max(event_ms, minute * at.MINUTE_MS)
        return ClockHint(clock_ms, event_ms, self._caught_up)

    @property
    def offset(self) -> int:
        """Next offset to apply, as stored."""
        return self._offset

    @property
    def generation(self) -> int:
        """Generation that the partition uses; 0 before the first."""
        return self._adoption.generation

    @property
    def _caught_up(self) -> bool:
        return self._tasks.log.caught_up and not self._held.records

    @property
    def _between_days(self) -> bool:
        """Whether a day is closed and nothing of the next has happened."""
        return self.partition.clock_minute + 1 == self.partition.open_day_number * at.DAY_MINUTES

    @property
    def waits(self) -> bool:
        """Whether the trainer has not answered yet for the day before."""
        if self._tasks.models.fixed is not None:
            return False
        pace, day, now_ms = self._tasks.pace, self.partition.open_day_number, _now_ms()
        begins = self.partition.clock_ms < 0 and pace.waits_at(day, now_ms)
        return (begins or self._between_days) and pace.waits(day - 1, now_ms, time.monotonic())

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
        self._builder = ColumnBuilder(self._spec, settings.currency or None, 0)
        encoder = ChangeEncoder(settings.namespace, self._spec.spec.names)
        self.partition = Partition(
            self._spec, policy_of(settings), self._builder, encoder, self._tasks.erase_key
        )
        self._held = Piece()
        self._adoption = self._first_adoption() if claim.n == 0 else claim.adoption
        if self._adoption.number:
            await self._tasks.models.read(self._adoption.number)
        stored = await self._tasks.store.records()
        meta = msgspec.structs.replace(claim.meta, next_slot=len(stored))
        self.partition.load(meta, self._adopted_model(), iter(stored))
        self._known = len(stored)
        self._watch = DeadLetterWatch(settings.dead_letters.max_share, claim.watch)
        blocks, n_features = await self._tasks.store.panel(), self._spec.n_features
        self._panel = OpenPanel([panel_rows(b.keys, b.raw, n_features) for b in blocks])
        model = self.partition.model
        self.partition.set_panel_bits(model.panel_bits if model else 0)

    def _first_adoption(self) -> Adoption:
        """A partition that begins takes a fixed model at once."""
        fixed = self._tasks.models.fixed
        return Adoption() if fixed is None else Adoption(fixed.number, -1, -1, fixed.generation)

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
        try:
            if self._published is not None:
                await ended(self._published)
        finally:
            await self._tasks.publisher.stop()

    async def _step(self) -> None:
        waits, now_s = self.waits, time.monotonic()
        if self._told.due(now_s):
            await self._tell_again()
            self._told.again(now_s, waits)
        if waits:
            # The trainer cannot answer for evidence that the broker did not take.
            await self._settle()
            await self._tasks.models.news(IDLE_S)
            return
        piece = await self._next_piece()  # 1
        overdue = time.monotonic() - self._last_publish > OFFSETS_EVERY_S
        moves = piece.records or piece.evidence or piece.until > self.partition.clock_minute
        if moves or self._next_adoption() or overdue:
            await self._batch(piece, overdue)

    async def _tell_again(self) -> None:
        """Publish the last evidence once more, with the position that is published already."""
        await self._settle()
        outbox = LogOutbox(evidence=self._told.evidence)
        minute = self.partition.clock_minute
        await self._tasks.publisher.publish(self._n, self._offset, minute, outbox)

    async def _next_piece(self) -> Piece:
        """Take records and instants; no more than the open day where its end is to wait at."""
        piece, self._held = self._held, Piece()
        if not piece.records:
            records = await self._take()
            until = self._target() if not records and self._caught_up else -1
            with self._tasks.meter.timed("read"):
                piece = Piece(records, self._parse(records), until)
        if self._tasks.models.fixed is not None:
            return piece
        if self.partition.clock_minute < 0:
            return self._beginning(piece)
        day = self.partition.open_day_number
        if not self._tasks.pace.waits_at(day, _now_ms()):
            return piece
        return self._of_day(piece, day)

    async def _take(self) -> Sequence[Record]:
        """Take from the log; what would be a small batch soon after another waits for more."""
        log, size = self._tasks.log, self._settings.batch_bytes
        if log.waiting_bytes < min(size, SMALL_BYTES):
            # It could not be committed before: what comes meanwhile need not wait for the next.
            await self._settle()
        pause_s = self._tasks.tempo.pause_s(time.monotonic())
        if pause_s and log.waiting_bytes < size:
            await asyncio.sleep(pause_s)
        return await log.take(size, IDLE_S)

    def _target(self) -> int:
        """Minute up to which the clock may go without an event."""
        target = self._tasks.target_ms()
        if target < 0:
            return -1
        if self._tasks.models.fixed is not None:
            self.partition.start_clock(target)
        return target // at.MINUTE_MS

    def _beginning(self, piece: Piece) -> Piece:
        """Start the clock, and tell the trainer that nothing was here before its day."""
        first = self._first_beyond(piece, -1)
        minute = piece.until
        if first < len(piece.records):
            entry = piece.parsed[first]
            minute = epoch_ms(entry.ts) // at.MINUTE_MS if isinstance(entry, Event) else -1
        if minute < 0:
            return piece
        self.partition.start_clock(minute * at.MINUTE_MS)
        self._held = piece
        before = DayTotals(minute // at.DAY_MINUTES - 1, (), (), ())
        return Piece(evidence=[self._encoded(before, PanelBlock())])

    def _of_day(self, piece: Piece, day: int) -> Piece:
        """Hold back what is later than the day, and close it where something is."""
        end = (day + 1) * at.DAY_MINUTES
        first = self._first_beyond(piece, day)
        if first == len(piece.records):
            return Piece(piece.records, piece.parsed, min(piece.until, end), one_day=True)
        self._held = Piece(piece.records[first:], piece.parsed[first:])
        return Piece(piece.records[:first], piece.parsed[:first], end, one_day=True)

    def _first_beyond(self, piece: Piece, day: int) -> int:
        """Index of the first record that moves the clock beyond a day; else their number."""
        last = (day + 1) * at.DAY_MINUTES
        for i, (record, entry) in enumerate(zip(piece.records, piece.parsed, strict=True)):
            if isinstance(entry, Event) and epoch_ms(entry.ts) // at.MINUTE_MS >= last:
                latest = [record.timestamp + AHEAD_MS]
                # What becomes a dead letter moves no clock.
                if self._builder.build([entry], self.partition.clock_ms, latest).events:
                    return i
        return len(piece.records)

    async def _settle(self) -> None:
        if self._published is not None:
            await self._published
            self._published = None

    # ---- batch -------------------------------------------------------------------------

    async def _batch(self, piece: Piece, overdue: bool) -> None:
        self._tasks.tempo.began(time.monotonic())
        self._adopt()  # 2
        with self._tasks.meter.timed("fold"):
            evidence = self._fold(piece)
            taken, records = self.partition.take(), piece.records
        self._watch.check([d.index for d in taken.dead], len(records))
        offset = records[-1].offset + 1 if records else self._offset
        outbox = LogOutbox(
            Outbox(self._n + 1, tuple(taken.changes), self._dead(taken.dead, records)),
            tuple(evidence),
        )
        await self._settle()  # 3
        batch = self._log_batch(taken, offset, outbox)
        with self._tasks.meter.timed("commit"):
            await self._tasks.store.commit(batch, self._n)  # 4
        self._n, self._offset = batch.n, offset
        self._after_commit(taken)
        self._tasks.meter.committed(taken.meta, taken.dead, len(records))
        self.applied += len(records)
        if outbox.out.changes or outbox.out.dead_letters or evidence or overdue or records:
            self._last_publish = time.monotonic()
            self._told.note(outbox.evidence, self._last_publish)
            oldest_ms = min((r.timestamp for r in records), default=None)
            published = self._publish(batch, taken.moves, oldest_ms)
            self._published = asyncio.create_task(published)  # 5

    async def _publish(self, batch: LogBatch, moves: IntArray, oldest_ms: int | None) -> None:
        minute = batch.meta.clock_minute
        with self._tasks.meter.timed("publish"):
            await self._tasks.publisher.publish(batch.n, batch.offset, minute, batch.outbox)
        self._tasks.meter.published(moves, oldest_ms)

    def _fold(self, piece: Piece) -> list[bytes]:
        """Apply records and instants; returns the evidence of each day that closed."""
        self.partition.stage(piece.parsed, [r.timestamp + AHEAD_MS for r in piece.records])
        evidence = list(piece.evidence)
        while not self.partition.run(piece.until):
            evidence.append(self._evidence())
            self.partition.open_day()
            if piece.one_day:
                break
        return evidence

    def _parse(self, records: Sequence[Record]) -> list[Parsed]:
        parsed = parse_json_lines([r.value or b"" for r in records])
        kept = [(r, e) for r, e in zip(records, parsed, strict=True) if isinstance(e, Event)]
        ids = [event.customer_id for _, event in kept]
        keys = list(map(_key, ids))
        if keys != [record.key for record, _ in kept]:
            self._refuse_key(kept)
        for customer_id in self.partition.unknown(ids):
            self._tasks.owner(_key(customer_id))
        return parsed

    def _refuse_key(self, kept: Sequence[tuple[Record, Event]]) -> NoReturn:
        record = next(r for r, event in kept if r.key != _key(event.customer_id))
        raise SourceError(
            f"partition {self.number}, offset {record.offset}: expected the customer id as the "
            f"message's key, got {record.key!r}: one customer in two partitions would be two "
            "records. Copy the topic with: segstream-producers rekey SRC DST"
        )

    def _evidence(self) -> bytes:
        """The closed day of this partition, for the trainer."""
        panel = self._panel.close(self.partition)
        return self._encoded(self.partition.day_totals(), _block(panel))

    def _encoded(self, totals: DayTotals, panel: PanelBlock) -> bytes:
        told = DayEvidence(
            self.number,
            self._adoption.number,
            self.partition.first_ms,
            msgspec.msgpack.encode(totals),
            panel,
        )
        return msgspec.msgpack.encode(told)

    def _next_adoption(self) -> Adoption | None:
        """The model to use from the next instant on, where there is a newer one."""
        minute = self.partition.clock_minute + 1
        model = self._tasks.models.at(minute)
        if model is None or model.number <= self._adoption.number:
            return None
        same = model.generation == self._adoption.generation
        return Adoption(
            model.number,
            minute,
            self._adoption.generation_minute if same else minute,
            model.generation,
        )

    def _adopt(self) -> None:
        adoption = self._next_adoption()
        if adoption is None:
            return
        self._adoption = adoption
        model = self._adopted_model()
        if model is not None:
            self.partition.adopt(model)
            self.partition.set_panel_bits(model.panel_bits)

    def _log_batch(self, taken: Taken, offset: int, outbox: LogOutbox) -> LogBatch:
        turns = self.partition.policy
        stored = taken.records
        begun = np.flatnonzero(stored.slots >= self._known).tolist()
        new = [
            (int(turn_of(turns, text_hash(customer_id))), customer_id)
            for customer_id in map(stored.ids.__getitem__, begun)
        ]
        ended = [
            (int(turn_of(turns, text_hash(customer_id))), customer_id) for customer_id in taken.left
        ]
        panel, anew = self._panel.store(taken)
        return LogBatch(
            outbox.out.n, offset, taken.meta, self._adoption, outbox, taken.records, new, ended,
            _block(panel), bool(outbox.evidence) or anew, self._watch.flags,
        )  # fmt: skip

    def _after_commit(self, taken: Taken) -> None:
        self._known = taken.meta.next_slot

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


def _key(customer_id: str) -> bytes:
    return customer_id.encode("utf-8", "surrogatepass")


def _block(rows: PanelRows) -> PanelBlock:
    return PanelBlock(rows.keys.tobytes(), rows.raw.tobytes())


def _now_ms() -> int:
    return round(time.time() * 1000)
