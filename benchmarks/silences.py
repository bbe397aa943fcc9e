"""Days of silence until a regular customer first drops, by running the engine's own clock on.

At each reference moment a partition gets the records of the regulars and the model of that
moment, and no more events. What it publishes is what the stream would have published, had these
customers never come back.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from benchmarks.streaming import DAY_MS, Snapshot, Streamed
from segstream.core.changes import ChangeEncoder
from segstream.core.columns import ColumnBuilder
from segstream.core.layout import layout_of
from segstream.core.partition import Partition
from segstream.core.spec import FloatArray, IntArray
from segstream.report.silence import REGULAR_DAYS, REGULAR_ORDERS
from segstream.report.spending import Spending, spending_of
from segstream.settings import policy_of
from segstream.view_frames import changes_frame

HORIZON_DAYS: Final = 120
# A spell that began earlier was counted at the reference moment before.
LAST_ORDER_DAYS: Final = 28
HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000
_NO_PANEL_BITS: Final = 62


@dataclass(frozen=True, slots=True)
class SimulatedSilence:
    """Spells of silence that begin with a regular's last order.

    Attributes
    ----------
    spells
        Regulars at reference moments 28 days apart.
    days_median
        From the last order to the first `time` change downwards; infinite where over half of the
        regulars do not drop within 120 days, None without regulars.
    dropped_28_days
        Share that dropped within 28 days.
    quantiles
        Of the days, at 10, 25, 75 and 90 %.
    """

    spells: int
    days_median: float | None
    dropped_28_days: float | None
    quantiles: tuple[float, ...]


def summarise(days: FloatArray) -> SimulatedSilence:
    """Summarise days to the first drop; infinite for none."""
    if not len(days):
        return SimulatedSilence(0, None, None, ())
    quantiles = np.quantile(days, (0.1, 0.25, 0.5, 0.75, 0.9), method="higher")
    low, lower, median, upper, high = quantiles.tolist()
    within = float((days <= REGULAR_LIMIT_DAYS).mean())
    return SimulatedSilence(len(days), median, within, (low, lower, upper, high))


REGULAR_LIMIT_DAYS: Final = 28.0


def simulated_silence(streamed: Streamed) -> SimulatedSilence:
    """Measure at every snapshot of a stream."""
    view = streamed.view
    slots = view.customers["slot"].to_numpy(dtype=np.int64)
    spending = spending_of(view.ledger, slots)
    found = [_days_at(streamed, snapshot, slots, spending) for snapshot in streamed.snapshots]
    return summarise(np.concatenate(found) if found else np.zeros(0))


def first_drops(
    changes: pd.DataFrame, ids: list[str], last_order_ms: IntArray, past_ms: int
) -> FloatArray:
    """Days from each customer's last order to its first drop by time; infinite for none.

    Parameters
    ----------
    changes
        As `segstream.view.View.changes`, in order.
    past_ms
        Changes from here on are not looked at.
    """
    time_ms = changes["time"].to_numpy(dtype="datetime64[ms]").astype(np.int64)
    drops = (changes["reason"] == "time") & (changes["direction"] == "down")
    who = pd.Index(ids).get_indexer(pd.Index(changes["customer_id"]))
    kept = drops.to_numpy() & (who >= 0) & (time_ms < past_ms)
    days = np.full(len(ids), np.inf)
    for i, moment in zip(who[kept].tolist(), time_ms[kept].tolist(), strict=True):
        if moment > last_order_ms[i]:
            days[i] = min(days[i], (moment - last_order_ms[i]) / DAY_MS)
    return days


def _days_at(
    streamed: Streamed, snapshot: Snapshot, slots: IntArray, spending: Spending
) -> FloatArray:
    chosen = _regulars(snapshot, slots, spending)
    if not chosen:
        return np.zeros(0)
    partition = _partition(streamed, snapshot, chosen)
    ids, rows = partition.living()
    last_order_ms = _last_orders(partition, rows)
    until_ms = snapshot.moment_ms + HORIZON_DAYS * DAY_MS
    while not partition.run(until_ms // MINUTE_MS):
        partition.take_panel()
        partition.open_day()
    simulated = changes_frame([body for _, body in partition.take().changes])
    # Up to the moment, what was published is the real thing.
    real = first_drops(streamed.view.changes, ids, last_order_ms, snapshot.moment_ms)
    return np.minimum(real, first_drops(simulated, ids, last_order_ms, until_ms))


def _regulars(snapshot: Snapshot, slots: IntArray, spending: Spending) -> set[int]:
    """Slots of the customers with enough orders in the days before the moment."""
    day = snapshot.moment_ms // DAY_MS
    who = np.arange(len(slots), dtype=np.int64)
    today = np.full(len(slots), day, dtype=np.int64)
    orders = spending.orders(who, today - REGULAR_DAYS, today)
    recent = day - spending.last_order(who, today) <= LAST_ORDER_DAYS
    return set(slots[(orders >= REGULAR_ORDERS) & recent].tolist())


def _partition(streamed: Streamed, snapshot: Snapshot, chosen: set[int]) -> Partition:
    view = streamed.view
    partition = Partition(
        view.spec,
        policy_of(view.settings),
        ColumnBuilder(view.spec, None, 1),
        ChangeEncoder(view.settings.namespace, view.spec.spec.names),
        b"",
    )
    records = (record for record in snapshot.records if record.slot in chosen)
    partition.load(snapshot.meta, snapshot.model, records)
    partition.set_panel_bits(_NO_PANEL_BITS)
    return partition


def _last_orders(partition: Partition, rows: IntArray) -> IntArray:
    """Hour of each one's last order, epoch ms."""
    spec = partition.spec
    column = layout_of(spec).slots + 2 * spec.slots.index("orders") + 1
    return partition.head(rows)[:, column] * HOUR_MS
