"""A segment beside everybody: its profile, and how a feature is spread."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import plotly.graph_objects as go

from segstream.report.figures import MUTED, STAYED_COLOUR, figure, plotted

# Bars longer than this are cut: 40 times as often says no more than "far above".
_FARTHEST: Final = 8.0
_NOTHING: Final = 1.0 / _FARTHEST


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One feature of a segment.

    Attributes
    ----------
    ratio
        The segment's mean over everybody's.
    value, everybody
        Both in words.
    """

    label: str
    ratio: float
    value: str
    everybody: str


def profile_figure(rows: Sequence[ProfileRow], colour: str) -> go.Figure:
    """Each feature as a multiple of everybody's mean, on a doubling scale around 1."""
    fig = figure(70 + 40 * max(1, len(rows)))
    shown = [min(_FARTHEST, max(_NOTHING, row.ratio)) for row in rows]
    labels = [plotted(row.label) for row in rows]
    values = [plotted(row.value) for row in rows]
    fig.add_trace(
        go.Bar(
            y=labels, base=1.0, x=[ratio - 1.0 for ratio in shown], orientation="h",
            marker_color=colour, showlegend=False,
            customdata=[(v, plotted(row.everybody)) for v, row in zip(values, rows, strict=True)],
            hovertemplate="%{y}: %{customdata[0]}, everybody %{customdata[1]}<extra></extra>",
        )
    )  # fmt: skip
    # To the right also of bars that reach left: there they would stand on the names on a phone.
    fig.add_trace(
        go.Scatter(
            y=labels, x=[max(1.0, ratio) for ratio in shown], mode="text",
            text=[f" {value}" for value in values],
            textposition="middle right", cliponaxis=False, hoverinfo="skip", showlegend=False,
        )
    )  # fmt: skip
    fig.add_vline(x=1.0, line={"width": 1.5, "color": MUTED})
    # Room for the figures at the ends of the bars.
    reach = 0.35 + max([0.5, *(abs(math.log10(ratio)) for ratio in shown)])
    ticks = [0.125, 0.25, 0.5, 1, 2, 4, 8]
    fig.update_xaxes(
        type="log", range=[-reach, reach], tickvals=ticks,
        ticktext=["⅛", "¼", "½", "1×", "2×", "4×", "8×"], tickangle=0,
    )  # fmt: skip
    fig.update_yaxes(autorange="reversed", gridcolor="rgba(0,0,0,0)")
    return fig


def distribution_figure(
    edges: Sequence[float],
    own: Sequence[float],
    everybody: Sequence[float],
    names: tuple[str, str],
    colour: str,
) -> go.Figure:
    """Share of customers in each bin: the segment's in front, everybody's behind.

    Parameters
    ----------
    edges
        One more than there are bins.
    names
        Of the segment and of all customers.
    """
    fig = figure(300, barmode="overlay", bargap=0.04)
    middles = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    widths = [b - a for a, b in itertools.pairwise(edges)]
    for counts, name, shade, opacity in (
        (everybody, names[1], STAYED_COLOUR, 1.0),
        (own, names[0], colour, 0.72),
    ):
        total = sum(counts) or 1.0
        fig.add_trace(
            go.Bar(
                x=middles, y=[n / total for n in counts], width=widths, name=plotted(name),
                marker_color=shade, opacity=opacity,
                hovertemplate="about %{x:,.3~g}: %{y:.1%}<extra></extra>",
            )
        )  # fmt: skip
    fig.update_yaxes(tickformat=".0%", title="share")
    return fig
