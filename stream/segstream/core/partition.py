"""One partition: its records in memory, and the steps that change them.

    stage ► run ► (close day ► adopt)* ► take

`Partition.stage` lays a batch out, `run` folds it with the kernel and stops where a day closes,
`take` gives everything the batch changed, to be stored in one atomic write.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from segstream.core import layout as at
from segstream.core.changes import ChangeEncoder
from segstream.core.codec import decode_rows, encode_rows, joined
from segstream.core.columns import Built, ColumnBuilder, Columns
from segstream.core.events import ERASE, Event, Parsed, epoch_ms
from segstream.core.kernel import advance
from segstream.core.layout import Layout, Outputs, Policy, Records, Totals, layout_of
from segstream.core.ledger import NO_LEDGER, ledger_rows
from segstream.core.memory import compact, grown, new_outputs, new_records, new_totals
from segstream.core.model import Model, model_arrays
from segstream.core.purchases import Purchases, folded_of, purchase_rows
from segstream.core.recent import Bought, recent_days
from segstream.core.spec import CompiledSpec, FloatArray, IntArray, spend_measure, text_hash
from segstream.core.stored import StoredRecord, StoredRows
from segstream.core.turns import link, turn_of
from segstream.errors import BadEventError

ERASED_DAYS: Final = 30
"""How long the keyed hash of an erased id stays, to drop stragglers."""
_ERASED_MS: Final = ERASED_DAYS * 86_400_000
_NO_MOVES: Final = np.zeros((0, 3), dtype=np.int64)


class DayTotals(msgspec.Struct, frozen=True):
    """One UTC day of one partition: what its learner needs, absolute and integer.

    Attributes
    ----------
    day
        Days since 1970.
    counts : shape (k,)
    sums : shape (k, F), scaled units times `VECTOR_ONE`
    """

    day: int
    counts: tuple[int, ...]
    sums: tuple[tuple[int, ...], ...]
    errors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PanelRows:
    """Vectors of panel members, in the order they were seen.

    Attributes
    ----------
    keys : shape (n, N_PANEL_COLUMNS)
    raw : shape (n, F), real units
    """

    keys: IntArray
    raw: FloatArray


class PartitionMeta(msgspec.Struct, frozen=True):
    """What a partition is besides its records; changes only together with them."""

    clock_ms: int = -1
    clock_minute: int = -1
    day: int = -1
    next_slot: int = 0
    applied: int = 0
    duplicates: int = 0
    late: int = 0
    skipped: int = 0
    dead: int = 0
    customers: int = 0
    first_ms: int = -1
    totals: DayTotals | None = None
    erased: dict[str, tuple[int, int]] = {}


class DeadLetter(msgspec.Struct, frozen=True):
    """An entry that could not be applied, by its index in the batch."""

    index: int
    code: str
    message: str


@dataclass(slots=True)
class Taken:
    """Everything one batch changed.

    Attributes
    ----------
    gone
        Hashes of who left, and of whom panel rows taken earlier must be dropped.
    moves : shape (n, 3), of each change: segment it left, segment it entered, reason code
    """

    records: StoredRows
    ended: list[int]
    left: list[str]
    gone: list[int]
    changes: list[tuple[str, bytes]]
    moves: IntArray
    dead: list[DeadLetter]
    panel: PanelRows
    ledger: IntArray
    meta: PartitionMeta


@dataclass(slots=True)
class _Staged:
    built: Built
    columns: Columns
    position: int = 0
    resume: int = -1
    dropped: int = 0


@dataclass(slots=True)
class _Pending:
    changes: list[tuple[str, bytes]] = field(default_factory=list)
    moves: list[IntArray] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    panel_keys: list[IntArray] = field(default_factory=list)
    panel_raw: list[FloatArray] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)

    def drop_panel(self, member: int) -> None:
        """Take a customer's vectors out of the panel, by its hash."""
        self.gone.append(member)
        kept = [keys[:, at.P_HASH] != member for keys in self.panel_keys]
        self.panel_keys = [k[rows] for k, rows in zip(self.panel_keys, kept, strict=True)]
        self.panel_raw = [r[rows] for r, rows in zip(self.panel_raw, kept, strict=True)]


class Partition:
    """Records, clock and totals of one partition, and the pure steps on them.

    Parameters
    ----------
    erase_key
        Key of the HMAC that remembers erased ids; the same on every worker.
    """

    def __init__(
        self,
        spec: CompiledSpec,
        policy: Policy,
        builder: ColumnBuilder,
        encoder: ChangeEncoder,
        erase_key: bytes,
    ) -> None:
        self.spec = spec
        self.policy = policy
        self.model: Model | None = None
        self._builder = builder
        self._encoder = encoder
        self._erase_key = erase_key
        self._layout: Layout = layout_of(spec)
        self._records: Records = new_records(self._layout, policy.sweep_minutes)
        self._outputs: Outputs = new_outputs(spec, self._layout)
        self._arrays = model_arrays(None, spec.n_features)
        self._totals: Totals = new_totals(0, spec.n_features)
        self._slots: dict[str, int] = {}
        self._ids: list[str] = []
        self._erased: dict[str, tuple[int, int]] = {}
        self._skipped = self._dead = 0
        self._first_ms = -1
        self._spend = spend_measure(spec)
        self._staged: _Staged | None = None
        self._pending = _Pending()

    # ---- loading -----------------------------------------------------------------------

    def load(
        self, meta: PartitionMeta, model: Model | None, stored: Iterator[StoredRecord]
    ) -> None:
        """Take over what the store has; `stored` comes in the order of slots."""
        counters = self._records.counters
        counters[at.CLOCK_MS], counters[at.CLOCK_MINUTE] = meta.clock_ms, meta.clock_minute
        counters[at.DAY] = meta.day
        counters[at.APPLIED], counters[at.DUPLICATES] = meta.applied, meta.duplicates
        counters[at.LATE] = meta.late
        self._skipped, self._dead, self._first_ms = meta.skipped, meta.dead, meta.first_ms
        self._erased = dict(meta.erased)
        self._set_model(model)
        if meta.totals is not None and model is not None:
            self._totals.counts[:] = meta.totals.counts
            self._totals.sums[:] = meta.totals.sums
            self._totals.errors[:] = meta.totals.errors
        chunk: list[StoredRecord] = []
        for record in stored:
            chunk.append(record)
            if len(chunk) == 20_000:
                self._load(chunk)
                chunk = []
        self._load(chunk)
        while len(self._ids) < meta.next_slot:
            self._ids.append("")

    def _load(self, chunk: list[StoredRecord]) -> None:
        if not chunk:
            return
        self._ensure_rows(chunk[-1].slot + 1)
        buffer, starts = joined([record.blob for record in chunk])
        # A word takes at least one byte (a hash eight), so bytes bound words.
        self._ensure_words(len(buffer))
        rows = np.array([record.slot for record in chunk], dtype=np.int64)
        if not decode_rows(self._layout, self._records, rows, buffer, starts):
            raise AssertionError("a stored record does not decode to its own length")
        for slot, customer_id, _ in chunk:
            self._name(slot, customer_id)
            head = self._records.head[slot]
            head[at.LIVE] = 1
            link(self._records, turn_of(self.policy, head[at.HASH]), slot)
        self._records.counters[at.CUSTOMERS] += len(chunk)

    def _name(self, slot: int, customer_id: str) -> None:
        while len(self._ids) < slot:
            self._ids.append("")
        self._ids.append(customer_id)
        self._slots[customer_id] = slot
        self._records.head[slot, at.HASH] = text_hash(customer_id)

    # ---- one batch ---------------------------------------------------------------------

    @property
    def clock_ms(self) -> int:
        """Largest event time so far, epoch ms; -1 before the first event."""
        return int(self._records.counters[at.CLOCK_MS])

    @property
    def clock_minute(self) -> int:
        """The last completed instant, minutes since 1970."""
        return int(self._records.counters[at.CLOCK_MINUTE])

    @property
    def customers(self) -> int:
        """Living records."""
        return int(self._records.counters[at.CUSTOMERS])

    @property
    def evaluations(self) -> int:
        """Vectors computed since this process loaded the partition."""
        return int(self._records.counters[at.EVALUATIONS])

    @property
    def first_ms(self) -> int:
        """Time of the first event ever; -1 before it."""
        return self._first_ms

    def stage(self, parsed: Sequence[Parsed], latest_ms: Sequence[int] | None = None) -> None:
        """Lay a batch out; see `ColumnBuilder.build` for `latest_ms`."""
        built = self._builder.build(parsed, self.clock_ms, latest_ms)
        self._staged = _Staged(built, built.columns)
        self._pending.dead.extend(DeadLetter(i, e.code, e.message) for i, e in built.dead)
        self._dead += len(built.dead)
        self._skipped += built.skipped
        if self._first_ms < 0 and len(built.events):
            self._first_ms = int(built.columns.time_ms[0])
        if self._erased:
            self._drop_stragglers(0)
        # After stragglers are gone: each slot belongs to an event that begins or ends a record.
        self._staged.columns.slot[:] = self._assign_slots(self._staged.built.events)

    def _assign_slots(self, events: list[Event]) -> IntArray:
        get = self._slots.get
        slots = [get(e.customer_id, -1) for e in events]
        if -1 in slots:
            for i, slot in enumerate(slots):
                if slot < 0:
                    slots[i] = self._slot(events[i].customer_id)
        return np.array(slots, dtype=np.int64)

    def _slot(self, customer_id: str) -> int:
        slot = self._slots.get(customer_id)
        if slot is None:
            slot = len(self._ids)
            self._ensure_rows(slot + 1)
            self._name(slot, customer_id)
        return slot

    def run(self, until_minute: int = -1) -> bool:
        """Fold the staged batch, then complete instants up to `until_minute`.

        Returns
        -------
        bool
            True when all is done; False where a day has closed: read `day_totals`, adopt a
            model if there is a new one, call `open_day`, and run again.
        """
        staged = self._staged
        if staged is None:
            self.stage(())
            return self.run(until_minute)
        while True:
            status, staged.position, staged.resume = advance(
                self.spec.arrays, self._layout, self._arrays, self.policy, self._records,
                self._totals, self._outputs, staged.columns, staged.position, until_minute,
                staged.resume,
            )  # fmt: skip
            if status == at.DONE:
                return True
            if status == at.DAY_CLOSED:
                self._drain()
                return False
            if status == at.FULL:
                self._drain()
            elif status == at.ARENA:
                self._records = compact(self._records, 0)
            elif status == at.ENDED:
                self._drain()
                self._end(int(self._records.counters[at.ENDED_SLOT]), staged)

    def _end(self, slot: int, staged: _Staged) -> None:
        """Forget an ended customer's slot; a later event of the batch begins anew."""
        customer_id = self._ids[slot]
        del self._slots[customer_id]
        self._ids[slot] = ""
        self._pending.ended.append(slot)
        self._pending.left.append(customer_id)
        self._pending.drop_panel(text_hash(customer_id))
        event = staged.position - 1
        erased = event >= 0 and staged.resume < 0 and staged.columns.kind[event] == ERASE
        if erased and staged.columns.slot[event] == slot:
            self._remember_erased(customer_id, int(staged.columns.time_ms[event]))
            self._drop_stragglers(staged.position)
        self._reassign_slots(staged)

    def _reassign_slots(self, staged: _Staged) -> None:
        """Give slots anew to customers not yet begun: their order is that of first events."""
        while self._ids and self._ids[-1] and not self._records.head[len(self._ids) - 1, at.LIVE]:
            del self._slots[self._ids.pop()]
        rest = staged.position
        staged.columns.slot[rest:] = self._assign_slots(staged.built.events[rest:])

    def _remember_erased(self, customer_id: str, time_ms: int) -> None:
        now = self.clock_ms
        self._erased = {k: v for k, v in self._erased.items() if v[1] + _ERASED_MS > now}
        self._erased[self._sealed(customer_id)] = (time_ms, now)

    def _sealed(self, customer_id: str) -> str:
        return hmac.new(self._erase_key, customer_id.encode("utf-8", "surrogatepass"),
                        hashlib.sha256).hexdigest()[:32]  # fmt: skip

    def _drop_stragglers(self, start: int) -> None:
        """Take events of erased customers from before their erasure out of the staged batch."""
        staged = self._staged
        if staged is None:
            return
        events = staged.built.events
        clocks = np.maximum.accumulate(np.append(self.clock_ms, staged.columns.time_ms))[1:]
        keep = [
            i < start or not self._is_straggler(event, clock)
            for i, (event, clock) in enumerate(zip(events, clocks.tolist(), strict=True))
        ]
        if all(keep):
            return
        mask = np.array(keep)
        self._skipped += int((~mask).sum())
        staged.columns = Columns(*(column[mask] for column in staged.columns))
        staged.built = staged.built._replace(
            events=[e for e, kept in zip(events, keep, strict=True) if kept],
            rows=staged.built.rows[mask],
        )

    def _is_straggler(self, event: Event, clock_ms: int) -> bool:
        erased = self._erased.get(self._sealed(event.customer_id))
        # An erase sent twice is one too: what it would delete now came after it.
        if erased is None:
            return False
        return epoch_ms(event.ts) <= erased[0] and clock_ms < erased[1] + _ERASED_MS

    # ---- days and models ---------------------------------------------------------------

    @property
    def open_day_number(self) -> int:
        """The UTC day whose totals are open, days since 1970."""
        return int(self._records.counters[at.DAY])

    def day_totals(self) -> DayTotals:
        """Totals of the open day so far."""
        return DayTotals(
            self.open_day_number,
            tuple(self._totals.counts.tolist()),
            tuple(map(tuple, self._totals.sums.tolist())),
            tuple(self._totals.errors.tolist()),
        )

    def take_gone(self) -> list[int]:
        """Hashes of who left since the last call: panel rows taken before are to be dropped."""
        gone, self._pending.gone = self._pending.gone, []
        return gone

    def take_panel(self) -> PanelRows:
        """Panel rows written since they were last taken."""
        pending = self._pending
        n_features = self.spec.n_features
        keys = [*pending.panel_keys, np.zeros((0, at.N_PANEL_COLUMNS), dtype=np.int64)]
        raw = [*pending.panel_raw, np.zeros((0, n_features), dtype=np.float64)]
        pending.panel_keys, pending.panel_raw = [], []
        return PanelRows(np.concatenate(keys), np.concatenate(raw))

    def open_day(self) -> None:
        """Start the next day's totals, at the instant after the last completed one."""
        for array in self._totals:
            array[:] = 0
        next_minute = self.clock_minute + 1
        self._records.counters[at.DAY] = next_minute // at.DAY_MINUTES

    def adopt(self, model: Model) -> None:
        """Use a model from the next instant on."""
        self._drain()
        self._set_model(model)

    def start_clock(self, clock_ms: int) -> None:
        """Start the instants of a partition that has not seen an event yet."""
        counters = self._records.counters
        if counters[at.CLOCK_MINUTE] < 0:
            counters[at.CLOCK_MINUTE] = clock_ms // at.MINUTE_MS
            counters[at.DAY] = clock_ms // at.MINUTE_MS // at.DAY_MINUTES

    def set_panel_bits(self, bits: int) -> None:
        """Thin the panel to customers whose hash has so many leading zero bits."""
        self.policy = self.policy._replace(panel_bits=bits)

    def _set_model(self, model: Model | None) -> None:
        self.model = model
        self._arrays = model_arrays(model, self.spec.n_features)
        self._totals = new_totals(len(model.segments) if model else 0, self.spec.n_features)

    # ---- what a batch changed ----------------------------------------------------------

    def take(self) -> Taken:
        """Give everything changed since the last call, and count it as stored."""
        self._drain()
        rows = self._dirty_rows()
        buffer, ends = encode_rows(self._layout, self._records, rows)
        ids = self._ids
        records = StoredRows(rows, [ids[row] for row in rows.tolist()], buffer.tobytes(), ends)
        panel = self.take_panel()
        staged, self._staged = self._staged, None
        pending, self._pending = self._pending, _Pending()
        ledger = ledger_rows(staged.columns, self._spend) if staged else NO_LEDGER
        moves = np.concatenate([*pending.moves, _NO_MOVES])
        return Taken(
            records, pending.ended, pending.left, pending.gone, pending.changes, moves,
            pending.dead, panel, ledger, self.meta(),
        )  # fmt: skip

    def purchases(self) -> Purchases | None:
        """What the batch's customers bought, without those who left; to be asked before `take`."""
        staged = self._staged
        if staged is None:
            return None
        return purchase_rows(folded_of(staged.built.events, staged.columns, self._pending.ended))

    def _dirty_rows(self) -> IntArray:
        counters = self._records.counters
        rows: IntArray = np.sort(self._records.dirty_rows[: counters[at.N_DIRTY]])
        self._records.dirty[rows] = 0
        counters[at.N_DIRTY] = 0
        living: IntArray = rows[self._records.head[rows, at.LIVE] == 1]
        return living

    def meta(self) -> PartitionMeta:
        """Everything besides the records."""
        c = self._records.counters
        return PartitionMeta(
            clock_ms=int(c[at.CLOCK_MS]), clock_minute=int(c[at.CLOCK_MINUTE]), day=int(c[at.DAY]),
            next_slot=len(self._ids), applied=int(c[at.APPLIED]),
            duplicates=int(c[at.DUPLICATES]), late=int(c[at.LATE]), skipped=self._skipped,
            dead=self._dead, customers=int(c[at.CUSTOMERS]), first_ms=self._first_ms,
            totals=self.day_totals() if self.model else None, erased=self._erased,
        )  # fmt: skip

    def _drain(self) -> None:
        """Encode the kernel's outputs under the model that made them."""
        counters, out = self._records.counters, self._outputs
        n_changes, n_panel = int(counters[at.N_CHANGES]), int(counters[at.N_PANEL])
        if n_changes:
            self._encode_changes(out.changes[:n_changes])
        if n_panel:
            self._pending.panel_keys.append(out.panel[:n_panel].copy())
            self._pending.panel_raw.append(out.panel_raw[:n_panel].copy())
        counters[at.N_CHANGES] = counters[at.N_PANEL] = 0

    def _encode_changes(self, rows: IntArray) -> None:
        out, pending, n = self._outputs, self._pending, len(rows)
        if self.model is None:
            raise AssertionError("a change needs a model")
        ids = [self._ids[slot] for slot in rows[:, at.C_SLOT].tolist()]
        causes = list(zip(ids, self._causes(rows, self.model), strict=True))
        raw, scaled = out.change_raw[:n], out.change_scaled[:n]
        bodies = self._encoder.encode(rows, raw, scaled, causes, self.model)
        pending.changes.extend(zip(ids, bodies, strict=True))
        pending.moves.append(rows[:, (at.C_FROM, at.C_TO, at.C_REASON)])

    def _causes(self, rows: IntArray, model: Model) -> list[str]:
        """Event id, model version or "instant" of each change."""
        staged = self._staged
        if staged is None:
            raise AssertionError("a change needs a staged batch")
        by_model, events = (at.MODEL, at.RECLUSTER, at.ROLLBACK), staged.built.events
        return [
            events[event].event_id if event >= 0
            else model.version if reason in by_model else "instant"
            for event, reason in rows[:, (at.C_EVENT, at.C_REASON)].tolist()
        ]  # fmt: skip

    # ---- room --------------------------------------------------------------------------

    def _ensure_rows(self, rows: int) -> None:
        if rows > len(self._records.head):
            self._records = grown(self._records, max(rows, 2 * len(self._records.head)))

    def _ensure_words(self, words: int) -> None:
        used = int(self._records.counters[at.ARENA_USED])
        if used + words > len(self._records.arena):
            self._records = compact(self._records, words)

    # ---- looking -----------------------------------------------------------------------

    def living(self) -> tuple[list[str], IntArray]:
        """Ids and rows of all customers, in the order of their first events."""
        rows = np.flatnonzero(self._records.head[: len(self._ids), at.LIVE] == 1)
        return [self._ids[row] for row in rows.tolist()], rows

    def recent_days(self, rows: IntArray, bought: Bought) -> IntArray:
        """What rows bought, by day; see `segstream.core.recent.recent_days`."""
        return recent_days(
            self._layout, self._records, rows, self.clock_ms // at.HOUR_MS, bought.orders,
            bought.spend,
        )  # fmt: skip

    def slot_of(self, customer_id: str) -> int | None:
        """Row of a customer; None where there is no record."""
        return self._slots.get(customer_id)

    def unknown(self, customer_ids: Iterable[str]) -> list[str]:
        """Those of some customers that have no record, each once."""
        return [one for one in dict.fromkeys(customer_ids) if one not in self._slots]

    def head(self, rows: IntArray) -> IntArray:
        """Fixed columns of rows, shape (n, H)."""
        return self._records.head[rows]

    def evaluate(self, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Raw and scaled features of rows, as of each one's last evaluation; shapes (n, F)."""
        from segstream.core.memory import evaluate_rows

        return evaluate_rows(
            self.spec.arrays, self._layout, self._arrays, self.policy, self._records, rows,
            self._outputs,
        )  # fmt: skip


__all__ = ["BadEventError", "DayTotals", "Partition", "PartitionMeta", "StoredRecord", "Taken"]
