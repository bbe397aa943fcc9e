"""What segments buy and who they are: likelihoods and shares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import plotly.graph_objects as go

from segstream.report.figures import MUTED, figure, plotted

# Steps of one hue (ColorBrewer PuBu and greys): never a segment's colour, and in order of lightness
# for colour-blind readers.
_SHADES: Final = ("#034E7B", "#3690C0", "#A6BDDB", "#4D4D4D", "#878787", "#BABABA", "#E0E0E0")
_LONGEST: Final = 34
REST: Final = "all others"


@dataclass(frozen=True, slots=True)
class Bought:
    """How likely a customer of a segment buys a product; shares of one."""

    name: str
    likelihood: float
    low: float
    high: float
    everybody: float | None


def likelihood_figure(rows: Sequence[Bought], segment: str, colour: str) -> go.Figure:
    """A dot with its 95 % interval for the segment, a ring for everybody."""
    fig = figure(90 + 34 * max(1, len(rows)))
    labels = [short(row.name) for row in rows]
    fig.add_trace(
        go.Scatter(
            y=labels, x=[row.likelihood for row in rows], mode="markers", name=plotted(segment),
            marker={"size": 11, "color": colour},
            error_x={"type": "data", "symmetric": False, "color": colour, "thickness": 1.6,
                     "array": [row.high - row.likelihood for row in rows],
                     "arrayminus": [row.likelihood - row.low for row in rows]},
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )  # fmt: skip
    fig.add_trace(
        go.Scatter(
            y=labels, x=[row.everybody for row in rows], mode="markers", name="everybody",
            marker={"size": 10, "color": MUTED, "symbol": "circle-open", "line": {"width": 2}},
            hovertemplate="%{y}, everybody: %{x:.1%}<extra></extra>",
        )
    )  # fmt: skip
    fig.update_xaxes(tickformat=".0%", rangemode="tozero", title="share who bought it")
    # Else a product whose name is a number stands where the number is.
    fig.update_yaxes(autorange="reversed", type="category")
    return fig


def short(name: str) -> str:
    """Cut a long name, escaped for a figure.

    >>> short("a" * 50)[-3:]
    'aa…'
    """
    return plotted(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…")


def shares_figure(
    shares: Mapping[str, Mapping[str, float]], most: int = len(_SHADES) - 1
) -> go.Figure:
    """One stacked bar per segment of a value's shares, such as gender or city.

    Parameters
    ----------
    shares
        Segment to value to share of one.
    most
        Values shown on their own, by their sum; the others are one block.
    """
    fig = figure(96 + 44 * max(1, len(shares)), barmode="stack", bargap=0.35)
    segments = list(shares)
    shown, hidden = _largest(shares, most)
    for value, shade in zip([*shown, *([REST] if hidden else [])], _SHADES, strict=False):
        sizes = [
            sum(shares[s].get(v, 0.0) for v in (hidden if value == REST else [value]))
            for s in segments
        ]
        fig.add_trace(
            go.Bar(
                y=[short(s) for s in segments], x=sizes, name=short(value), orientation="h",
                marker_color=shade,
                hovertemplate=f"%{{y}}, {short(value)}: %{{x:.1%}}<extra></extra>",
            )
        )  # fmt: skip
    # Room for the last label, which would be cut off at the edge.
    fig.update_xaxes(tickformat=".0%", range=[0, 1.04], dtick=0.2)
    fig.update_yaxes(autorange="reversed", gridcolor="rgba(0,0,0,0)")
    fig.update_layout(showlegend=True, legend={"traceorder": "normal"})
    return fig


def used_figure(
    shares: Mapping[str, Mapping[str, float]], colours: Mapping[str, str], most: int = 12
) -> go.Figure:
    """One line per value and one dot per segment, for values of which a customer may have several.

    Stacked, such shares would add up to more than everybody.

    Parameters
    ----------
    shares
        Segment to value to share of one; a ring is drawn for segments without a colour.
    most
        Values shown, by their sum.
    """
    shown, _ = _largest(shares, most)
    # A phone puts each name of the legend on a line of its own.
    fig = figure(90 + 22 * len(shares) + 30 * max(1, len(shown)))
    for segment, mine in shares.items():
        colour = colours.get(segment)
        ring = {"color": MUTED, "symbol": "circle-open", "line": {"width": 2}}
        fig.add_trace(
            go.Scatter(
                y=[short(value) for value in shown], x=[mine.get(value, 0.0) for value in shown],
                mode="markers", name=short(segment),
                marker={"size": 11, "opacity": 0.9} | ({"color": colour} if colour else ring),
                hovertemplate=f"{short(segment)}, %{{y}}: %{{x:.1%}}<extra></extra>",
                cliponaxis=False,
            )
        )  # fmt: skip
    fig.update_xaxes(tickformat=".0%", rangemode="tozero", range=[0, None])
    fig.update_yaxes(autorange="reversed", type="category")
    return fig


def _largest(shares: Mapping[str, Mapping[str, float]], most: int) -> tuple[list[str], list[str]]:
    """Split values into the largest and the others."""
    totals: dict[str, float] = {}
    for mine in shares.values():
        for value, share in mine.items():
            totals[value] = totals.get(value, 0.0) + share
    ordered = sorted(totals, key=lambda value: (-totals[value], value))
    return ordered[:most], ordered[most:]
