"""Ids follow customers; the lineage says where a segment's customers come from."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segstream.core.identity import (
    MEMBERS_KEPT,
    Descent,
    Origin,
    lineage,
    match,
    origin_of,
    original_ids,
)
from segstream.core.spec import IntArray

HUNDRED = np.arange(100, dtype=np.int64)


def ids(*parts: tuple[int, int]) -> IntArray:
    """(segment, so many customers) one after the other."""
    return np.repeat([s for s, _ in parts], [n for _, n in parts])


def fates(
    before: IntArray, after: IntArray, *living: int
) -> dict[int, tuple[str, tuple[int, ...]]]:
    return {d.segment: (d.fate, d.parents) for d in lineage(before, after, living)}


def test_segments_that_keep_their_customers_survive() -> None:
    """Exchange at the border is no event."""
    before, after = ids((1, 50), (2, 50)), ids((1, 45), (2, 55))
    assert fates(before, after, 1, 2) == {1: ("survived", (1,)), 2: ("survived", (2,))}


def test_a_split_has_one_parent() -> None:
    """Two new segments out of one old: one keeps the id, the other is its split."""
    found = fates(ids((1, 60), (2, 40)), ids((1, 30), (3, 30), (2, 40)), 1, 2)
    assert found[3] == ("split", (1,))
    assert found[2] == ("survived", (2,))


def test_a_merge_has_both_parents_and_retires_one_id() -> None:
    """Most of both old segments in one new one."""
    found = fates(ids((1, 50), (2, 50)), ids((1, 95), (4, 5)), 1, 2)
    assert found[1] == ("merged", (1, 2))
    assert found[2] == ("retired", (1,))


def test_a_segment_that_lives_on_has_not_merged() -> None:
    """Half of its customers went to the other one; both are there, so both survived."""
    found = fates(ids((1, 50), (2, 50)), ids((1, 76), (2, 24)), 1, 2)
    assert (found[1][0], found[2][0]) == ("survived", "survived")


def test_customers_who_were_not_there_make_a_new_segment() -> None:
    """A segment of newcomers has no parent, wherever the old model had put them meanwhile."""
    before = ids((1, 40), (2, 40), (-1, 20))
    assert fates(before, ids((1, 40), (2, 40), (3, 20)), 1, 2)[3] == ("new", ())


def test_a_segment_whose_customers_left_retires() -> None:
    """Its customers are in another that hardly changed by them."""
    found = fates(ids((1, 90), (2, 10)), ids((1, 100)), 1, 2)
    assert found == {1: ("survived", (1,)), 2: ("retired", (1,))}


def test_the_origin_tells_newcomers_from_who_is_beyond_the_sample() -> None:
    """Members above the highest remembered hash are unknown, not new."""
    hashes = np.arange(2 * MEMBERS_KEPT, dtype=np.int64) * 2
    origin = origin_of(hashes, np.full(len(hashes), 7))
    asked = np.array([0, 1, 2 * (MEMBERS_KEPT - 1), 2 * MEMBERS_KEPT])
    assert original_ids(origin, asked).tolist() == [7, -1, 7, -2]
    assert original_ids(Origin(), asked).tolist() == [-2] * 4


def test_hashes_are_compared_unsigned() -> None:
    """A negative 64 bit number is a large hash."""
    hashes = np.array([5, -5], dtype=np.int64)
    assert original_ids(origin_of(hashes, np.array([1, 2])), hashes).tolist() == [1, 2]


labels = st.lists(st.integers(0, 3), min_size=20, max_size=20).map(np.array)


@given(labels, labels)
def test_an_id_has_one_heir_at_most(old: IntArray, new: IntArray) -> None:
    """Whatever the overlap, no two segments inherit the same id."""
    heirs = match(old, new, 4, 4)
    kept = heirs[heirs >= 0].tolist()
    assert len(kept) == len(set(kept))


@given(labels, labels)
def test_every_segment_of_both_sides_has_one_fate(old: IntArray, new: IntArray) -> None:
    """Who is gone retires, who is there is anything else."""
    after = new + 1
    found: tuple[Descent, ...] = lineage(old + 1, after, (1, 2, 3, 4))
    there = set(after.tolist())
    assert {d.segment for d in found if d.fate != "retired"} == there
    assert {d.segment for d in found if d.fate == "retired"} == {1, 2, 3, 4} - there
    assert len(found) == len({d.segment for d in found})
