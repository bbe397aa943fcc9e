"""The panel: a sample of customers by hash, one vector a day each."""

from typing import Final

import msgspec
import numpy as np

from segstream.core import layout as at
from segstream.core.fitting import panel_vectors
from segstream.core.partition import PanelRows
from segstream.core.spec import CompiledSpec, FloatArray, IntArray

_MOST_BITS: Final = 40


class Panel(msgspec.Struct, frozen=True):
    """One vector per member, in the unsigned order of their hashes.

    Attributes
    ----------
    hashes : shape (n,)
    raw, transformed : shape (n, F)
    """

    hashes: IntArray
    raw: FloatArray
    transformed: FloatArray

    def __len__(self) -> int:
        return len(self.hashes)


def collect_panel(spec: CompiledSpec, rows: PanelRows, panel_bits: int) -> Panel:
    """Take the day's last vector of each member."""
    turns = rows.keys[:, at.P_EVENT] == at.NOT_AN_EVENT
    hashes, raw = rows.keys[turns, at.P_HASH], rows.raw[turns]
    order = np.lexsort((np.arange(len(hashes)), hashes.view(np.uint64)))
    hashes, raw = hashes[order], raw[order]
    last = np.ones(len(hashes), dtype=bool)
    last[:-1] = hashes[1:] != hashes[:-1]
    if panel_bits:
        last &= hashes.view(np.uint64) < np.uint64(1 << (64 - panel_bits))
    raw = np.ascontiguousarray(raw[last])
    return Panel(np.ascontiguousarray(hashes[last]), raw, panel_vectors(spec, raw))


def thinned_bits(bits: int, rows: PanelRows, size: int) -> int:
    """Raise the leading zero bits a member's hash needs until the panel has at most `size`."""
    turns = rows.keys[:, at.P_EVENT] == at.NOT_AN_EVENT
    hashes = rows.keys[turns, at.P_HASH].view(np.uint64)
    while bits < _MOST_BITS:
        limit = np.uint64((1 << (64 - bits)) - 1)
        if np.count_nonzero(hashes <= limit) <= size:
            break
        bits += 1
    return bits


def means(raw: FloatArray) -> FloatArray:
    """Column means without what is missing; NaN where nobody has a value."""
    known = ~np.isnan(raw)
    counts = known.sum(axis=0)
    sums = np.where(known, raw, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def nullable(values: FloatArray) -> tuple[float | None, ...]:
    """Return NaN as None, which JSON can carry."""
    return tuple(None if np.isnan(v) else v for v in values.tolist())
