"""The whole engine again, slowly: dicts and lists, event by event, instant by instant.

Written from the rules, not from the kernel. What the two must agree on to the last bit:
changes, the totals of each day, panel rows, vectors and counters.

The rules of time. The clock is the largest event time. An instant is a minute; all instants up
to the minute of an event are completed before it. At an instant every customer whose
``hash mod sweep`` is that minute's has its turn, in the order of first events. An event is
judged as of max(its time, the last turn of its customer's minute, the last evaluation).
"""

from collections.abc import Callable

from tests.core.counting import HOUR_MS
from tests.core.telling import tell
from tests.core.twin_records import (
    MEMORY_HOURS,
    Customer,
    Rules,
    Totals,
    fold,
    signed,
    unsigned_hash,
)  # fmt: skip
from tests.core.twin_vectors import Raw, nearest, raw, scaled, squared
from tests.core.verdicts import verdict

from segstream.core.events import Event, Parsed
from segstream.core.layout import MOST_DISTANT, Policy
from segstream.core.model import Model
from segstream.core.spec import Spec
from segstream.errors import BadEventError

MINUTE_MS = 60_000
DAY_MINUTES = 1440
ERASED_MS = 30 * 86_400_000
ONE = 1 << 20


class Twin:
    """One partition, by the rules."""

    def __init__(
        self, spec: Spec, policy: Policy, model: Model | None,
        switch: Callable[[int], Model | None], max_jump_ms: int, currency: str,
    ) -> None:  # fmt: skip
        self.spec, self.policy, self.switch = spec, policy, switch
        self.max_jump_ms, self.currency = max_jump_ms, currency
        self.clock_ms = self.minute = self.day = -1
        self.customers: dict[str, Customer] = {}
        self.erased: dict[str, tuple[int, int]] = {}
        self.changes: list[tuple[str, bytes]] = []
        self.days: list[tuple[int, Totals]] = []
        self.panel: list[tuple[int, int, int, str | None, Raw]] = []
        self.dead: list[tuple[int, str]] = []
        self.applied = self.duplicates = self.late = self.skipped = self.given = 0
        self.rules = Rules(spec)
        self._adopt(model)

    # ---- time ---------------------------------------------------------------------------

    def feed(self, entry: Parsed) -> None:
        """One entry of the log."""
        self.given += 1
        if entry is None:
            self.skipped += 1
            return
        code = entry.code if isinstance(entry, BadEventError) else verdict(
            entry, self.clock_ms, self.max_jump_ms, self.currency
        )  # fmt: skip
        if code is not None:
            self.dead.append((self.given - 1, code))
            return
        assert isinstance(entry, Event)
        assert isinstance(entry.ts, int)
        if self._is_straggler(entry, entry.ts):
            self.skipped += 1
            return
        self.advance_to(entry.ts // MINUTE_MS, first=self.clock_ms < 0)
        self.clock_ms = max(self.clock_ms, entry.ts)
        self._event(entry, entry.ts)

    def _is_straggler(self, event: Event, ts: int) -> bool:
        erased = self.erased.get(event.customer_id)
        if erased is None:
            return False
        erased_ts, told_at = erased
        return ts <= erased_ts and self.clock_ms < told_at + ERASED_MS

    def advance_to(self, minute: int, *, first: bool = False) -> None:
        """Complete every instant up to a minute; time starts with the first event."""
        if first:
            self.minute, self.day = minute, minute // DAY_MINUTES
        if self.minute < 0:
            return
        while self.minute < minute:
            if (self.minute + 1) // DAY_MINUTES > self.day:
                self._close_day()
            self._instant(self.minute + 1)
            self.minute += 1

    def _close_day(self) -> None:
        self.days.append((self.day, self.totals))
        self._adopt(self.switch(self.minute + 1) or self.model)
        self.day = (self.minute + 1) // DAY_MINUTES

    def _adopt(self, model: Model | None) -> None:
        self.model = model
        n, k = len(self.spec.features), len(model.segments) if model else 0
        self.totals = Totals([0] * k, [[0] * n for _ in range(k)], [0] * k)

    def _instant(self, minute: int) -> None:
        for c in list(self.customers.values()):
            if (minute - c.hash) % self.policy.sweep_minutes != 0:
                continue
            if minute // 60 - c.last_hour >= self.policy.forget_hours:
                self._leave(c, "forgotten", minute * MINUTE_MS, "instant")
            else:
                self._turn(c, minute)

    def last_turn_ms(self, c_hash: int) -> int:
        """The last completed instant of a customer's minute."""
        return (self.minute - (self.minute - c_hash) % self.policy.sweep_minutes) * MINUTE_MS

    def last_evaluation(self, c: Customer) -> int:
        """As of when a customer was last looked at."""
        return max(c.as_of, self.last_turn_ms(c.hash))

    # ---- turns and events ---------------------------------------------------------------

    def _turn(self, c: Customer, minute: int) -> None:
        learns = self._is_daily_turn(c, minute)
        as_of = max(minute * MINUTE_MS, c.as_of)
        if self.model is None:
            if learns and self._in_panel(c):
                self._panel_row(c, as_of, None, raw(self.spec, c, as_of // HOUR_MS))
            return
        self._judge_newer(c, self.model)
        vector = self._decide(c, self.model, "time", as_of, None)
        if learns:
            self._learn(self.model, scaled(self.spec, self.model, vector))
            if self._in_panel(c):
                self._panel_row(c, as_of, None, vector)

    def _is_daily_turn(self, c: Customer, minute: int) -> bool:
        sweep = self.policy.sweep_minutes
        return minute % DAY_MINUTES // sweep == c.hash // sweep % (DAY_MINUTES // sweep)

    def _in_panel(self, c: Customer) -> bool:
        return unsigned_hash(c.id) >> (64 - self.policy.panel_bits) == 0

    def _panel_row(self, c: Customer, as_of: int, event_id: str | None, vector: Raw) -> None:
        segment = -1 if c.segment is None else c.segment
        row = (signed(unsigned_hash(c.id)), as_of // HOUR_MS, segment, event_id, vector)
        self.panel.append(row)

    def _learn(self, model: Model, point: list[float]) -> None:
        best, distance = nearest(model, point)
        self.totals.counts[best] += 1
        self.totals.errors[best] += round(min(distance, MOST_DISTANT) * ONE)
        for j, x in enumerate(point):
            self.totals.sums[best][j] += round(x * ONE)

    def _event(self, e: Event, ts: int) -> None:
        c = self.customers.get(e.customer_id)
        known = self.last_turn_ms(unsigned_hash(e.customer_id) & ((1 << 63) - 1))
        as_of = max(ts, known, c.as_of if c else -1)
        if c and e.event_id in c.seen and as_of // HOUR_MS - c.seen[e.event_id] < MEMORY_HOURS:
            self.duplicates += 1
            return
        self.applied += 1
        if e.type == "erase":
            self._erase(e, ts, as_of)
            return
        if c is None:
            c = Customer(e.customer_id, ts // HOUR_MS, ts // HOUR_MS, [0] * len(self.spec.measures))
            self.customers[c.id] = c
        elif self.model is not None:
            self._judge_newer(c, self.model)
        self.late += fold(self.rules, c, e, ts, as_of)
        if self.model is None:
            return
        vector = self._decide(c, self.model, "behaviour", as_of, e.event_id)
        c.version = self.model.number
        if self.policy.observe_events and self._in_panel(c):
            self._panel_row(c, as_of, e.event_id, vector)

    def _erase(self, e: Event, ts: int, as_of: int) -> None:
        c = self.customers.get(e.customer_id)
        if c is not None:
            self._leave(c, "erased", as_of, e.event_id)
        self.erased[e.customer_id] = (ts, self.clock_ms)

    def _leave(self, c: Customer, reason: str, as_of: int, cause: str) -> None:
        nothing = [0.0] * len(self.spec.features)
        if c.segment is not None and self.model is not None:
            self._tell(c, self.model, None, reason, as_of, cause, (*nothing,), nothing)
        del self.customers[c.id]
        member = signed(unsigned_hash(c.id))
        self.panel = [row for row in self.panel if row[0] != member]

    # ---- decisions ----------------------------------------------------------------------

    def _judge_newer(self, c: Customer, model: Model) -> None:
        """Under a newer model a record is first judged as of its last evaluation."""
        as_of = self.last_evaluation(c)
        fresh = as_of // MINUTE_MS
        if c.segment is None or c.version >= model.number or fresh >= model.minute:
            return
        new_generation = c.generation != model.generation and fresh < model.generation_minute
        if new_generation and self._restore(c, model, as_of):
            return
        self._decide(c, model, model.generation_reason if new_generation else "model", as_of, None)

    def _restore(self, c: Customer, model: Model, as_of: int) -> bool:
        """A rollback gives the restored generation's segment back where it is known."""
        living = [s.id for s in model.segments]
        if model.restores < 0:
            return False
        if c.generation <= model.restores:
            return c.segment in living
        former, generation = c.former
        if generation > model.restores or former not in living:
            return False
        if c.segment != former:
            vector = raw(self.spec, c, as_of // HOUR_MS)
            point = scaled(self.spec, model, vector)
            self._tell(c, model, former, "rollback", as_of, model.version, vector, point)
        return True

    def _decide(
        self, c: Customer, model: Model, reason: str, as_of: int, event_id: str | None
    ) -> Raw:
        vector = raw(self.spec, c, as_of // HOUR_MS)
        point = scaled(self.spec, model, vector)
        best, distance = nearest(model, point)
        to = model.segments[best].id
        told = self._policy(c, model, to, distance, point, reason, as_of)
        if told is not None:
            by_model = told in ("model", "recluster", "rollback")
            cause = event_id or (model.version if by_model else "instant")
            self._tell(c, model, to, told, as_of, cause, vector, point)
        return vector

    def _policy(
        self, c: Customer, model: Model, to: int, distance: float, point: list[float],
        reason: str, as_of: int,
    ) -> str | None:  # fmt: skip
        """The reason to publish a change to the nearest segment; None to leave things be."""
        if c.segment is None:
            return "first" if c.events >= self.policy.min_events else None
        own = next((s.centre for s in model.segments if s.id == c.segment), None)
        wanted = c.segment != to and (
            own is None or distance < (1.0 - self.policy.margin) * squared(point, own)
        )
        if not wanted:
            c.pending = None
            return None
        if own is None or reason in ("recluster", "rollback"):
            return reason
        pointed = c.pending[1] if c.pending and c.pending[0] == to else reason
        if as_of - c.since < self.policy.dwell_ms:
            c.pending = (to, pointed)
            return None
        return pointed

    def _tell(
        self, c: Customer, model: Model, to: int | None, reason: str, as_of: int, cause: str,
        vector: Raw, point: list[float],
    ) -> None:  # fmt: skip
        c.sequence += 1
        if to is not None:
            c.entered[to] = c.entered.get(to, 0) + 1
        self.changes.append(
            (c.id, tell(self.spec, model, c.id, c.sequence, c.segment, to, reason, as_of, cause,
                        c.entered.get(to, 0) if to is not None else 0, c.since, vector, point))
        )  # fmt: skip
        if c.generation != model.generation:
            c.former = c.segment, c.generation
        c.segment, c.since, c.pending = to, as_of, None
        c.version, c.generation = model.number, model.generation
