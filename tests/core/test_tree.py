"""The tree of the segments against scipy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage

from segstream.core.tree import Merge, ward

POINTS = st.integers(2, 7).flatmap(
    lambda k: st.lists(
        st.tuples(*[st.floats(-50, 50, allow_nan=False)] * 3), min_size=k, max_size=k, unique=True
    )
)


def costs_of(points: np.ndarray) -> list[float]:
    """What scipy's merges add to the sum of squares: its heights are roots of twice as much."""
    costs: list[float] = (linkage(points, "ward")[:, 2] ** 2 / 2).tolist()
    return costs


def sides(tree: list[Merge]) -> set[frozenset[frozenset[int]]]:
    return {frozenset((frozenset(m.left), frozenset(m.right))) for m in tree}


@given(POINTS)
def test_with_equal_weights_costs_are_scipys(points: list[tuple[float, float, float]]) -> None:
    """One customer in each segment: the same sums of squares, merge by merge."""
    centres = np.array(points)
    tree = ward(range(len(points)), centres, [1] * len(points))
    assert [m.cost for m in tree] == pytest.approx(costs_of(centres), rel=1e-6, abs=1e-6)
    total = ((centres - centres.mean(axis=0)) ** 2).sum()
    assert sum(m.cost for m in tree) == pytest.approx(total)


def test_with_equal_weights_the_tree_is_scipys() -> None:
    """The same segments are merged, in the same order."""
    centres = np.random.default_rng(3).normal(size=(8, 2))
    tree = ward(range(8), centres, [1] * 8)
    members = [[i] for i in range(8)]
    for merge, (a, b, _, size) in zip(tree, linkage(centres, "ward"), strict=True):
        left, right = members[int(a)], members[int(b)]
        assert {frozenset(merge.left), frozenset(merge.right)} == {
            frozenset(left), frozenset(right),
        }  # fmt: skip
        assert merge.customers == size
        members.append([*left, *right])


def test_a_weight_is_so_many_customers_on_one_spot() -> None:
    """The tree of weighted centres is the upper part of the tree over their customers."""
    centres, weights = np.array([[0.0, 1.0], [2.0, 0.5], [7.0, 7.0], [9.0, 4.0]]), [5, 1, 12, 3]
    tree = ward([4, 8, 15, 16], centres, weights)
    everybody = costs_of(np.repeat(centres, weights, axis=0))
    assert [m.cost for m in tree] == pytest.approx(everybody[-3:])
    assert everybody[:-3] == pytest.approx([0.0] * (len(everybody) - 3))
    assert tree[-1].customers == 21


def test_a_small_segment_is_merged_before_a_large_one() -> None:
    """At one distance weight decides: three equal gaps, and the lightest pair goes first."""
    tree = ward([1, 2, 3, 4], np.array([[0.0], [10.0], [20.0], [30.0]]), [90, 90, 4, 5])
    assert (tree[0].left, tree[0].right) == ([3], [4])


def test_ties_and_empty_segments_are_settled() -> None:
    """Of equals the first pair; a segment without customers costs nothing; one has no tree."""
    square = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert (ward([1, 2, 3, 4], square, [1] * 4)[0].right) == [2]
    empty = ward([1, 2, 3], np.array([[0.0], [5.0], [50.0]]), [0, 0, 8])
    assert [m.cost for m in empty] == [0.0, 0.0]
    assert sides(empty) == sides(ward([1, 2, 3], np.array([[0.0], [5.0], [50.0]]), [0, 0, 8]))
    assert ward([7], np.array([[1.0]]), [3]) == []
