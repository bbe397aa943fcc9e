"""Panel rows of the open day: they gather batch by batch, and leave with their customer.

Who is erased, or forgotten, is in no panel from then on: not in what a store keeps of the open day,
and not in the day that the trainer gets.
"""

from collections.abc import Sequence

import numpy as np

from segstream.core import layout as at
from segstream.core.partition import PanelRows, Partition, Taken
from segstream.core.spec import FloatArray, IntArray


def panel_rows(keys: bytes, raw: bytes, n_features: int) -> PanelRows:
    """Rows out of their bytes, C order."""
    found: IntArray = np.frombuffer(keys, dtype=np.int64).reshape(-1, at.N_PANEL_COLUMNS)
    values: FloatArray = np.frombuffer(raw, dtype=np.float64).reshape(-1, n_features)
    return PanelRows(found, values)


class OpenPanel:
    """What a partition has written since its day began.

    Parameters
    ----------
    blocks
        What a store has of it, in order.
    """

    def __init__(self, blocks: Sequence[PanelRows]) -> None:
        self._blocks = list(blocks)

    def close(self, partition: Partition) -> PanelRows:
        """Give the day's rows, and begin with the next day."""
        gone, rows = partition.take_gone(), partition.take_panel()
        blocks, self._blocks = self._blocks, []
        return _joined([*(_without(block, gone) for block in blocks), rows])

    def store(self, taken: Taken) -> tuple[PanelRows, bool]:
        """Give what a batch writes, and whether it takes the place of all blocks before."""
        rows, gone = taken.panel, taken.gone
        anew = bool(gone) and any(_holds(block, gone) for block in self._blocks)
        if anew:
            rows = _joined([*(_without(block, gone) for block in self._blocks), rows])
            self._blocks = []
        if len(rows.keys):
            self._blocks.append(rows)
        return rows, anew


def _holds(rows: PanelRows, members: Sequence[int]) -> bool:
    return bool(np.isin(rows.keys[:, at.P_HASH], members).any())


def _without(rows: PanelRows, members: Sequence[int]) -> PanelRows:
    if not members:
        return rows
    kept = ~np.isin(rows.keys[:, at.P_HASH], members)
    return PanelRows(rows.keys[kept], rows.raw[kept])


def _joined(blocks: Sequence[PanelRows]) -> PanelRows:
    return PanelRows(
        np.concatenate([b.keys for b in blocks]), np.concatenate([b.raw for b in blocks])
    )
