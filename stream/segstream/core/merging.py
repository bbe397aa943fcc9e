"""Many partitions' evidence as one day: absolute totals and panels that simply add up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segstream.core.layout import N_PANEL_COLUMNS
from segstream.core.partition import DayTotals, PanelRows


@dataclass(frozen=True, slots=True)
class PartitionDay:
    """What one partition says of one day.

    Attributes
    ----------
    model
        Number of the model its totals were counted under.
    first_ms
        Time of the partition's first event; -1 where it has none.
    """

    model: int
    first_ms: int
    totals: DayTotals
    panel: PanelRows


def merge_days(
    days: Sequence[PartitionDay], model: int, n_features: int
) -> tuple[DayTotals, PanelRows, int]:
    """Add partitions up, in the order given.

    Parameters
    ----------
    model
        Number of the living model; totals counted under another are left out: their customers
        are learned from again tomorrow.

    Returns
    -------
    totals, panel, first_ms
    """
    same = [d.totals for d in days if d.model == model and d.totals.counts]
    counts = np.sum([t.counts for t in same], axis=0).tolist() if same else []
    sums = np.sum([t.sums for t in same], axis=0).tolist() if same else []
    errors = np.sum([t.errors for t in same], axis=0).tolist() if same else []
    totals = DayTotals(
        max(d.totals.day for d in days),
        tuple(counts),
        tuple(map(tuple, sums)),
        tuple(errors),
    )
    keys = [np.zeros((0, N_PANEL_COLUMNS), dtype=np.int64), *(d.panel.keys for d in days)]
    raw = [np.zeros((0, n_features), dtype=np.float64), *(d.panel.raw for d in days)]
    began = [d.first_ms for d in days if d.first_ms >= 0]
    panel = PanelRows(np.concatenate(keys), np.concatenate(raw))
    return totals, panel, min(began, default=-1)
