"""The tree of the segments, as a dendrogram, and what it says in a sentence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from segstream.core.tree import Merge
from segstream.report.figures import MUTED, colour_of, figure, name_of
from segstream.report.words import percent


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a branch ends: its height, and its place among the leaves."""

    height: float
    place: float


def tree_figure(
    tree: Sequence[Merge], names: Mapping[int, str], colours: Mapping[int, str]
) -> go.Figure:
    """Segments on the left, merged from left to right.

    Heights are the square root of what a merge costs, as dendrograms of Ward's criterion have it:
    on the costs themselves the first merges could not be told apart.
    """
    leaves = [*tree[-1].left, *tree[-1].right] if tree else []
    spots: dict[tuple[int, ...], _Spot] = {
        (leaf,): _Spot(0.0, float(i)) for i, leaf in enumerate(leaves)
    }
    fig = figure(76 + 40 * max(1, len(leaves)))
    for merge in tree:
        left, right = spots[tuple(merge.left)], spots[tuple(merge.right)]
        height = math.sqrt(merge.cost)
        fig.add_trace(
            go.Scatter(
                x=[left.height, height, height, right.height],
                y=[left.place, left.place, right.place, right.place],
                mode="lines", line={"width": 2, "color": MUTED}, showlegend=False,
                hoverinfo="skip",
            )
        )  # fmt: skip
        spots[(*merge.left, *merge.right)] = _Spot(height, (left.place + right.place) / 2)
    fig.add_trace(
        go.Scatter(
            x=[0.0] * len(leaves), y=list(range(len(leaves))), mode="markers", showlegend=False,
            marker={"size": 13, "color": [colour_of(leaf, colours) for leaf in leaves]},
            text=[name_of(leaf, names) for leaf in leaves],
            hovertemplate="%{text}<extra></extra>", cliponaxis=False,
        )
    )  # fmt: skip
    highest = max((spot.height for spot in spots.values()), default=0.0) or 1.0
    fig.update_xaxes(showticklabels=False,
                     range=[-0.01 * highest, 1.01 * highest])  # fmt: skip
    fig.update_yaxes(
        tickvals=list(range(len(leaves))), ticktext=[name_of(leaf, names) for leaf in leaves],
        range=[len(leaves) - 0.5, -0.5], showgrid=False, ticklabelstandoff=9,
    )  # fmt: skip
    return fig


def nearest_text(tree: Sequence[Merge], names: Mapping[int, str]) -> str:
    """Say which two segments are nearest; plain text.

    >>> nearest_text([Merge([1], [2], 10, 1.0), Merge([1, 2], [3], 20, 9.0)], {1: "A", 2: "B"})
    'A and B are nearest: they would be merged first, and 10 % of what tells the segments apart \
would be lost.'
    """
    if not tree:
        return "There is one segment, so nothing to merge it with."
    first, total = tree[0], sum(merge.cost for merge in tree)
    left, right = (names.get(i, f"segment {i}") for i in (*first.left, *first.right))
    lost = percent(first.cost / total) if total else percent(0.0)
    return (
        f"{left} and {right} are nearest: they would be merged first, and {lost} of what tells the "
        "segments apart would be lost."
    )
