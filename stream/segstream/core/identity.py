"""Who a segment is after a re-cluster: its id, and where its customers come from.

Ids follow the customers: new segments are matched to living ones by overlap (Hungarian). The
lineage says what became of the segments as they were when the generation began: a revision moves
customers a few a day, so only the beginning shows that two have grown into one.

Terms after M. Spiliopoulou et al., "MONIC: modeling and monitoring cluster transitions" (KDD 2006).
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np

from segstream.core.spec import FloatArray, IntArray

# Most of either side's customers are in both.
SURVIVAL_SHARE: Final = 0.5
# A part of a split or a merge: less is exchange at the border.
PART_SHARE: Final = 0.25
# Members whose first segment is remembered; the lowest hashes are a sample of any panel.
MEMBERS_KEPT: Final = 4_096

Fate = Literal["survived", "split", "merged", "new", "retired"]


class Descent(msgspec.Struct, frozen=True):
    """What became of one segment.

    Attributes
    ----------
    segment
        Id; of a retired one its old id.
    parents
        Ids of the segments that most of its customers come from.
    """

    segment: int
    fate: Fate
    parents: tuple[int, ...]


class Origin(msgspec.Struct, frozen=True):
    """The panel's segments when a generation began.

    Attributes
    ----------
    hashes : shape (n,) uint64, sorted
    segments : shape (n,) int64, ids
    """

    hashes: bytes = b""
    segments: bytes = b""


def origin_of(hashes: IntArray, ids: IntArray) -> Origin:
    """Remember a panel's segments; `hashes` in unsigned order."""
    kept = slice(0, MEMBERS_KEPT)
    return Origin(hashes[kept].view(np.uint64).tobytes(), ids[kept].astype(np.int64).tobytes())


def original_ids(origin: Origin, hashes: IntArray) -> IntArray:
    """Segment of each member when the generation began.

    Returns
    -------
    array, shape (n,)
        -1 for who was not there, -2 for who is beyond the sample.
    """
    known = np.frombuffer(origin.hashes, dtype=np.uint64)
    ids = np.frombuffer(origin.segments, dtype=np.int64)
    asked = hashes.view(np.uint64)
    if not len(known):
        return np.full(len(asked), -2, dtype=np.int64)
    at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    found = np.where(known[at] == asked, ids[at], -1)
    if len(known) == MEMBERS_KEPT:
        found[asked > known[-1]] = -2
    result: IntArray = found
    return result


def continued(before: IntArray, labels: IntArray, living: Sequence[int]) -> IntArray:
    """Whose id each member may hand on.

    While a drift goes on its customers wander through segments that are not theirs: the segment
    they came from counts. Newcomers have none to continue.

    Parameters
    ----------
    before : shape (n,), ids as `original_ids` gives them
    labels : shape (n,), living segments' indices

    Returns
    -------
    array, shape (n,)
        Index of a living segment; -1 for none.
    """
    row_of = {segment: row for row, segment in enumerate(living)}
    known = [row_of.get(segment, -2) for segment in before.tolist()]
    rows = np.where(before == -1, -1, np.array(known, dtype=np.int64))
    found: IntArray = np.where(rows == -2, labels, rows)
    return found


def match(old: IntArray, new: IntArray, k_old: int, k_new: int) -> IntArray:
    """Which old segment each new one continues, by customer overlap (Hungarian).

    Parameters
    ----------
    old, new : shape (n,), segment indices of the same panel members

    Returns
    -------
    array, shape (k_new,)
        Old index of each new segment, or -1 where neither side keeps most of its customers.

    Examples
    --------
    >>> match(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]), 2, 2)
    array([1, 0])
    """
    # Its import takes a third of a second, and only a re-cluster needs it.
    from scipy.optimize import linear_sum_assignment

    overlap = np.zeros((k_new, k_old), dtype=np.int64)
    np.add.at(overlap, (new, old), 1)
    rows, columns = linear_sum_assignment(-overlap)
    heirs = np.full(k_new, -1, dtype=np.int64)
    for row, column in zip(rows, columns, strict=True):
        smaller = max(1, min(overlap[row].sum(), overlap[:, column].sum()))
        if overlap[row, column] / smaller >= SURVIVAL_SHARE:
            heirs[row] = column
    return heirs


def lineage(before: IntArray, after: IntArray, living: tuple[int, ...]) -> tuple[Descent, ...]:
    """Classify every segment of both sides.

    Parameters
    ----------
    before, after : shape (n,), segment ids of the same members
        `before` as `original_ids` gives it: -1 for who was not there; beyond the sample left out.
    living
        Ids before.
    """
    known = before != -2
    before, after = before[known], after[known]
    new_ids = sorted(set(after.tolist()))
    old_ids = [*living, -1]
    counts = np.array(
        [[np.count_nonzero((after == n) & (before == o)) for o in old_ids] for n in new_ids],
        dtype=np.float64,
    ).reshape(len(new_ids), len(old_ids))
    of_new = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    of_old = counts / np.maximum(counts.sum(axis=0, keepdims=True), 1)
    gone = [i for i in living if i not in new_ids]
    found = [
        _descent(n, row, of_new[row, :-1], of_old[:, :-1], living, gone)
        for row, n in enumerate(new_ids)
    ]
    found.extend(Descent(i, "retired", _absorbed(i, living, of_old, new_ids)) for i in gone)
    return tuple(found)


def _descent(
    segment: int, row: int, of_new: FloatArray, of_old: FloatArray, living: tuple[int, ...],
    gone: Sequence[int],
) -> Descent:  # fmt: skip
    """Classify one new segment; shares of it, and of each old one.

    A segment that lives on has not merged into another, though half its customers have gone there.
    """
    merged = [
        j
        for j, old in enumerate(living)
        if of_old[row, j] >= SURVIVAL_SHARE
        and of_new[j] >= PART_SHARE
        and (old in gone or old == segment)
    ]
    if len(merged) >= 2:
        return Descent(segment, "merged", tuple(living[j] for j in merged))
    main = int(np.argmax(of_new)) if len(of_new) else -1
    if main < 0 or of_new[main] < SURVIVAL_SHARE:
        return Descent(segment, "survived" if segment in living else "new", ())
    parent = (living[main],)
    parts = np.count_nonzero(of_old[:, main] >= PART_SHARE)
    if parts >= 2 and of_old[row, main] >= PART_SHARE and segment not in living:
        return Descent(segment, "split", parent)
    if segment in living:
        return Descent(segment, "survived", parent)
    return Descent(segment, "split" if of_old[row, main] >= PART_SHARE else "new", parent)


def _absorbed(
    segment: int, living: tuple[int, ...], of_old: FloatArray, new_ids: list[int]
) -> tuple[int, ...]:
    """Where most customers of a retired segment are now."""
    column = of_old[:, living.index(segment)]
    best = int(np.argmax(column)) if len(column) else -1
    return (new_ids[best],) if best >= 0 and column[best] >= SURVIVAL_SHARE else ()
