"""A partition with a store beside it: batches, restarts and day closes in a few lines."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from segstream.core.changes import ChangeEncoder
from segstream.core.columns import ColumnBuilder
from segstream.core.events import Event, Parsed
from segstream.core.layout import P_EVENT, P_HASH, P_HOUR, P_SEGMENT, Policy
from segstream.core.ledger import L_DAY, L_IS_ORDER, L_ORDER, L_SLOT, L_SPEND
from segstream.core.model import Fit, Model, Segment
from segstream.core.partition import DayTotals, Partition, PartitionMeta, StoredRecord, Taken
from segstream.core.spec import CompiledSpec, Spec

NAMESPACE = "shop"
CURRENCY = "EUR"
ERASE_KEY = b"a test's key"
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MINUTE_MS = 60_000

Switch = Callable[[int], Model | None]
"""Which model to adopt at an instant that opens a day, given its minute."""


def policy(**changed: Any) -> Policy:
    """Everyday policy, with what a test changes."""
    plain = {
        "margin": 0.2,
        "dwell_ms": 0,
        "min_events": 1,
        "sweep_minutes": 60,
        "forget_hours": 800 * 24,
        "panel_bits": 0,
        "observe_events": 0,
    }
    return Policy(**{**plain, **changed})


def model_of(spec: Spec, centres: Sequence[Sequence[float]], **changed: Any) -> Model:
    """A first model with the given centres; segments are numbered from 1."""
    n = len(spec.features)
    segments = tuple(
        Segment(
            id=i + 1, name=f"Segment {i + 1}", description="", action="", centre=tuple(centre),
            average=tuple(10.0 * (i + 1) + j for j in range(n)), customers=1, share=0.5,
        )
        for i, centre in enumerate(centres)
    )  # fmt: skip
    plain = {
        "number": 1, "generation": 1, "revision": 0, "created_ms": 0, "minute": 0,
        "generation_minute": 0, "generation_reason": "first",
        "spec_digest": spec.digest, "features": spec.names,
        "mean": (0.0,) * n, "weight": (1.0,) * n, "median": (0.0,) * n, "population": (1.0,) * n,
        "segments": segments, "retired": (), "next_id": len(segments) + 1,
        "fit": Fit(len(segments), 1, 0, 1, 0.0, None, None), "value_feature": 0,
    }  # fmt: skip
    return Model(**{**plain, **changed})


def parts(
    spec: CompiledSpec, rules: Policy, max_jump_days: int = 60, currency: str | None = CURRENCY
) -> Partition:
    """An empty partition."""
    return Partition(
        spec,
        rules,
        ColumnBuilder(spec, currency, max_jump_days * DAY_MS),
        ChangeEncoder(NAMESPACE, spec.spec.names),
        ERASE_KEY,
    )


class Engine:
    """A partition, all it ever gave out, and what a store would hold of it.

    Attributes
    ----------
    store
        Slot to (customer id, record bytes).
    changes
        (customer id, change bytes), in order.
    days
        Totals of each closed day.
    panel
        (customer hash, hour, segment, event id, vector) of each panel row.
    ledger
        (slot, day, order hash, 1 for a purchase) to spend in stored units.
    dead
        (index among all entries given, code).
    """

    def __init__(
        self,
        spec: CompiledSpec,
        rules: Policy,
        model: Model | None = None,
        switch: Switch = lambda _: None,
    ) -> None:
        self.spec, self.rules, self.switch = spec, rules, switch
        self.partition = parts(spec, rules)
        if model is not None:
            self.partition.adopt(model)
        self.store: dict[int, tuple[str, bytes]] = {}
        self.changes: list[tuple[str, bytes]] = []
        self.days: list[DayTotals] = []
        self.panel: list[tuple[int, int, int, str | None, tuple[float | None, ...]]] = []
        self.dead: list[tuple[int, str]] = []
        self.ledger: Counter[tuple[int, ...]] = Counter()
        self.given = 0
        self.meta = PartitionMeta()

    def batch(self, entries: Iterable[Parsed], until_minute: int = -1) -> "Engine":
        """One batch, folded, closed where days close, and stored."""
        listed = list(entries)
        self.partition.stage(listed)
        self._run(until_minute)
        self.take()
        self.given += len(listed)
        return self

    def until(self, minute: int) -> "Engine":
        """Let the clock reach a minute without events."""
        self._run(minute)
        self.take()
        return self

    def _run(self, minute: int) -> None:
        while not self.partition.run(minute):
            self.days.append(self.partition.day_totals())
            model = self.switch(self.partition.clock_minute + 1)
            if model is not None:
                self.partition.adopt(model)
            self.partition.open_day()

    def take(self) -> Taken:
        """Store what changed; what ended is no longer there."""
        events = self._staged_events()
        taken = self.partition.take()
        for record in taken.records:
            self.store[record.slot] = (record.customer_id, record.blob)
        for slot in taken.ended:
            self.store.pop(slot, None)
        self.changes += taken.changes
        self.dead += [(self.given + letter.index, letter.code) for letter in taken.dead]
        self.panel = [row for row in self.panel if row[0] not in taken.gone]
        for key, raw in zip(taken.panel.keys, taken.panel.raw, strict=True):
            event = int(key[P_EVENT])
            self.panel.append(
                (
                    int(key[P_HASH]), int(key[P_HOUR]), int(key[P_SEGMENT]),
                    events[event].event_id if event >= 0 else None, plain(raw),
                )
            )  # fmt: skip
        for row in taken.ledger.tolist():
            self.ledger[(row[L_SLOT], row[L_DAY], row[L_ORDER], row[L_IS_ORDER])] += row[L_SPEND]
        self.meta = taken.meta
        return taken

    def _staged_events(self) -> list[Event]:
        staged = self.partition._staged
        return staged.built.events if staged else []

    def restart(self) -> "Engine":
        """Go on in a new partition that knows only what was stored."""
        model = self.partition.model
        self.partition = parts(self.spec, self.rules)
        stored = [StoredRecord(slot, *self.store[slot]) for slot in sorted(self.store)]
        self.partition.load(self.meta, model, iter(stored))
        return self

    def records(self) -> dict[str, bytes]:
        """Customer id to record bytes."""
        return dict(self.store.values())

    def vectors(self) -> dict[str, tuple[tuple[float | None, ...], tuple[float | None, ...]]]:
        """Customer id to raw and scaled features, as of each one's last evaluation."""
        ids, rows = self.partition.living()
        raw, scaled = self.partition.evaluate(rows)
        return {c: (plain(r), plain(s)) for c, r, s in zip(ids, raw, scaled, strict=True)}

    def features(self, customer_id: str) -> dict[str, float | None]:
        """Raw features of one customer by name."""
        return dict(zip(self.spec.spec.names, self.vectors()[customer_id][0], strict=True))


def plain(vector: "np.ndarray[Any, Any]") -> tuple[float | None, ...]:
    """Python floats; None for NaN, which equals nothing."""
    return tuple(None if np.isnan(x) else float(x) for x in vector)
