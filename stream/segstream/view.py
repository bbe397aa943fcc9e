"""What a state and its output say, as tables: for exports, reports and look-ups.

Everything here reads; nothing changes a record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from segstream.adapters.file_sink import CHANGES
from segstream.adapters.sqlite_store import SqliteStore
from segstream.core import layout as at
from segstream.core.changes import ChangeEncoder
from segstream.core.columns import ColumnBuilder
from segstream.core.freshness import evaluations
from segstream.core.insights_answer import InsightsTable
from segstream.core.ledger import L_SLOT, rows_of_ledger
from segstream.core.model import Model, model_arrays
from segstream.core.partition import Partition
from segstream.core.spec import CompiledSpec, FloatArray, IntArray
from segstream.core.trainer_state import TrainerState
from segstream.core.vectors import nearest_rows
from segstream.core.vectors import scale as scale_vector
from segstream.settings import Settings, compile_spec, policy_of
from segstream.stored_state import stored_product_names, stored_settings
from segstream.view_frames import changes_frame, ledger_frame, memberships_frame

SPEND_DAYS: Final = 90
"""What a segment spends now is what it spent in these days."""


@dataclass(frozen=True, slots=True)
class Distances:
    """One customer beside every segment.

    Attributes
    ----------
    table
        One row per segment: id, name, squared distance in scaled units, nearest first.
    """

    table: pd.DataFrame


class View:
    """A state, loaded once.

    Parameters
    ----------
    partition
        Loaded; its clock is the state's.
    models
        Every model so far, oldest first.
    ledger
        int64 rows of `segstream.core.ledger`, C order.
    changes
        Lines of changes.jsonl.
    purchases
        Blocks of `segstream.core.purchases`, in the order they were written.
    product_names
        By product id, where there are any.
    """

    def __init__(
        self,
        settings: Settings,
        partition: Partition,
        trainer: TrainerState,
        models: list[Model],
        ledger: bytes,
        changes: list[bytes],
        purchases: Sequence[bytes] = (),
        product_names: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self.spec: CompiledSpec = partition.spec
        self.partition = partition
        self.trainer = trainer
        self.models = models
        self._ledger = ledger
        self._changes = changes
        self.purchases = purchases
        self.product_names = product_names or {}

    @property
    def model(self) -> Model | None:
        """The living model; None before the first."""
        return self.partition.model

    @cached_property
    def vectors(self) -> tuple[list[str], FloatArray, FloatArray]:
        """Customer ids, raw and scaled features, each as of its last evaluation."""
        ids, rows = self.partition.living()
        raw, scaled = self.partition.evaluate(rows)
        return ids, raw, scaled

    @cached_property
    def slots(self) -> IntArray:
        """Row of each customer of `vectors` in the state."""
        return self.partition.living()[1]

    @cached_property
    def heads(self) -> IntArray:
        """Fixed columns of the customers of `vectors`, shape (n, H)."""
        return self.partition.head(self.slots)

    @cached_property
    def evaluations(self) -> tuple[IntArray, IntArray]:
        """Segment and last evaluation (epoch ms) of the customers of `vectors`; shapes (n,)."""
        return evaluations(self.partition)

    @cached_property
    def customers(self) -> pd.DataFrame:
        """One row per customer: id, segment, since, features in real units, scaled vector.

        Columns: customer_id, segment_id (nullable), segment, since, nearest_id, events,
        first_event, last_event, one column per feature (real units), one `scaled_<feature>`
        column per feature, changes (sequence number), slot.
        """
        ids, raw, scaled = self.vectors
        head = self.heads
        names = self.spec.spec.names
        frame = pd.DataFrame({"customer_id": ids, "slot": self.slots})
        segment = pd.array(head[:, at.SEGMENT], dtype="Int64")
        segment[head[:, at.SEGMENT] == at.NO_SEGMENT] = pd.NA
        frame["segment_id"] = segment
        frame["segment"] = [self.segment_name(i) for i in head[:, at.SEGMENT].tolist()]
        since = pd.to_datetime(head[:, at.SINCE], unit="ms", utc=True)
        frame["since"] = since.where(head[:, at.SEGMENT] != at.NO_SEGMENT)
        frame["nearest_id"] = self._nearest(scaled)
        frame["changes"] = head[:, at.SEQUENCE]
        frame["events"] = head[:, at.EVENTS]
        frame["first_event"] = pd.to_datetime(head[:, at.FIRST_HOUR] * 3600, unit="s", utc=True)
        frame["last_event"] = pd.to_datetime(head[:, at.LAST_HOUR] * 3600, unit="s", utc=True)
        features = pd.DataFrame(raw, columns=list(names))
        vectors = pd.DataFrame(scaled, columns=[f"scaled_{n}" for n in names])
        return pd.concat([frame, features, vectors], axis=1)

    def _nearest(self, scaled: FloatArray) -> pd.Series:
        if self.model is None or not len(scaled):
            return pd.Series(pd.array([pd.NA] * len(scaled), dtype="Int64"))
        index, _ = nearest_rows(self.model.centres, scaled)
        ids = np.array([s.id for s in self.model.segments])
        return pd.Series(pd.array(ids[index], dtype="Int64"))

    def segment_name(self, segment_id: int) -> str:
        """Name of a segment, living or retired; `unassigned` for none."""
        if segment_id == at.NO_SEGMENT or self.model is None:
            return "unassigned"
        segment = self.model.segment(segment_id)
        return segment.name if segment else f"segment {segment_id}"

    @cached_property
    def segments(self) -> pd.DataFrame:
        """One row per living segment, by published membership.

        Columns: segment_id, name, description, action, customers, share, one column per feature
        (mean over members, real units).
        """
        if self.model is None:
            return pd.DataFrame(
                columns=["segment_id", "name", "description", "action", "customers", "share"]
            )
        names = list(self.spec.spec.names)
        grouped = self.customers.groupby("segment_id")[names].mean()
        counts = self.customers["segment_id"].value_counts()
        rows = []
        for s in self.model.segments:
            members = int(counts.get(s.id, 0))
            rows.append(
                {
                    "segment_id": s.id, "name": s.name, "description": s.description,
                    "action": s.action, "customers": members,
                    "share": members / max(1, len(self.customers)),
                    **(grouped.loc[s.id].to_dict() if s.id in grouped.index else {}),
                }
            )  # fmt: skip
        return pd.DataFrame(rows)

    @cached_property
    def changes(self) -> pd.DataFrame:
        """One row per published change, in order.

        Columns: id, customer_id, sequence, time, from_id, from_name, to_id, to_name, reason,
        direction, times_entered, since, margin, model, drivers (list of mappings).
        """
        return changes_frame(self._changes)

    @cached_property
    def memberships(self) -> pd.DataFrame:
        """One row per stay of a customer in a segment; see `memberships_frame`."""
        return memberships_frame(self.changes)

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """One row per order (or return) and day: slot, day (date), order, spend, bought (bool)."""
        return ledger_frame(rows_of_ledger(self._ledger))

    @property
    def recent(self) -> pd.DataFrame:
        """`ledger`, whole for `SPEND_DAYS` and each customer's last order at least."""
        return self.ledger

    @property
    def n_orders(self) -> int:
        """Orders so far."""
        return int(self.ledger.loc[self.ledger["bought"], "order"].nunique())

    @cached_property
    def _ledger_by_slot(self) -> tuple[IntArray, IntArray]:
        rows = rows_of_ledger(self._ledger)
        order = np.argsort(rows[:, L_SLOT], kind="stable")
        return rows[order], rows[order, L_SLOT]

    def ledger_of(self, slot: int) -> IntArray:
        """Rows of `segstream.core.ledger` of one customer, by time; shape (n, N_LEDGER)."""
        rows, slots = self._ledger_by_slot
        start, stop = np.searchsorted(slots, (slot, slot + 1))
        return rows[start:stop]

    @property
    def counted(self) -> InsightsTable | None:
        """What each segment buys, where somebody else counts it; None to count `purchases`."""
        return None

    @property
    def keeps_ledger(self) -> bool:
        """Whether orders by day are known."""
        return True

    @property
    def keeps_recent(self) -> bool:
        """Whether `recent` is known."""
        return True

    @property
    def first_ms(self) -> int:
        """Time of the first event ever, epoch ms; -1 before it."""
        return self.partition.first_ms

    @property
    def clock_ms(self) -> int:
        """Event time the state stands at, epoch ms; 0 before the first event."""
        return max(self.partition.clock_ms, 0)

    @property
    def clock(self) -> pd.Timestamp:
        """The same."""
        return pd.Timestamp(self.clock_ms, unit="ms", tz="UTC")

    def distances(self, scaled: FloatArray) -> pd.DataFrame:
        """Squared distance of one scaled vector to every segment, nearest first."""
        if self.model is None:
            return pd.DataFrame(columns=["segment_id", "name", "distance"])
        rows = [
            {
                "segment_id": s.id,
                "name": s.name,
                "distance": float(((scaled - np.array(s.centre)) ** 2).sum()),
            }
            for s in self.model.segments
        ]
        return pd.DataFrame(rows).sort_values("distance", kind="stable", ignore_index=True)

    def scale(self, raw: FloatArray) -> FloatArray:
        """Scale one raw vector with the kernel's own function; shape (F,)."""
        scaled = np.zeros_like(raw)
        arrays = model_arrays(self.model, self.spec.n_features)
        scale_vector(self.spec.arrays, arrays, np.ascontiguousarray(raw), scaled)
        return scaled


def empty_partition(settings: Settings, spec: CompiledSpec) -> Partition:
    """Nobody: for a view whose customers are elsewhere."""
    encoder = ChangeEncoder(settings.namespace, spec.spec.names)
    return Partition(spec, policy_of(settings), ColumnBuilder(spec, None, 1), encoder, b"")


def open_view(state: Path, out: Path | None) -> View:
    """Load a state directory, and the changes it published to `out`.

    Raises
    ------
    StateError
        There is no state.
    """
    settings = stored_settings(state)
    spec = compile_spec(settings)
    store = SqliteStore.to_read(state)
    try:
        claim = store.held()
        partition = empty_partition(settings, spec)
        models = store.models()
        model = claim.trainer.model or (models[-1] if models else None)
        partition.load(claim.meta, model, store.records())
        return View(
            settings, partition, claim.trainer, models, store.ledger(), _changes(out),
            store.purchases(), stored_product_names(state),
        )  # fmt: skip
    finally:
        store.close()


def _changes(out: Path | None) -> list[bytes]:
    if out is None or not (out / CHANGES).exists():
        return []
    return (out / CHANGES).read_bytes().splitlines()
