"""Why customers change segment: counts by reason, and what drives one customer."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from segstream.report.figures import MUTED, STAYED_COLOUR, figure, plotted


def reasons_figure(changes: Mapping[str, int]) -> go.Figure:
    """How many changes came for which reason; labels are for people."""
    fig = figure(60 + 38 * max(1, len(changes)))
    fig.add_trace(
        go.Bar(
            y=[plotted(label) for label in changes], x=list(changes.values()), orientation="h",
            marker_color=STAYED_COLOUR, text=[f"{n:,}" for n in changes.values()],
            textposition="outside", cliponaxis=False, hoverinfo="skip", showlegend=False,
        )
    )  # fmt: skip
    room = 1.25 * max(changes.values(), default=1)
    fig.update_xaxes(showticklabels=False, showgrid=False, range=[0, room])
    fig.update_yaxes(autorange="reversed", gridcolor="rgba(0,0,0,0)")
    return fig


def drivers_figure(
    labels: Sequence[str],
    contributions: Sequence[float],
    names: tuple[str, str],
    colours: tuple[str, str],
) -> go.Figure:
    """What holds a customer in its segment (right) and what pulls to the next one (left).

    Parameters
    ----------
    contributions
        Squared scaled units; above zero speaks for the own segment.
    names, colours
        Of the own segment and of the next.
    """
    fig = figure(90 + 36 * max(1, len(labels)), barmode="relative")
    for name, colour, sign in ((names[0], colours[0], 1.0), (names[1], colours[1], -1.0)):
        fig.add_trace(
            go.Bar(
                y=[plotted(label) for label in labels],
                x=[c if c * sign > 0 else 0.0 for c in contributions], orientation="h",
                name=f"speaks for {plotted(name)}", marker_color=colour,
                hovertemplate="%{y}: %{x:.2f}<extra></extra>",
            )
        )  # fmt: skip
    fig.add_vline(x=0, line={"width": 1, "color": MUTED})
    fig.update_xaxes(title="squared distance")
    fig.update_yaxes(autorange="reversed", gridcolor="rgba(0,0,0,0)")
    return fig


def distances_figure(
    names: Sequence[str], distances: Sequence[float], colours: Sequence[str]
) -> go.Figure:
    """Squared distance to each segment, the nearest on top."""
    fig = figure(60 + 38 * max(1, len(names)))
    fig.add_trace(
        go.Bar(
            y=[plotted(name) for name in names], x=list(distances), orientation="h",
            marker_color=list(colours), text=[f"{d:.2f}" for d in distances],
            textposition="outside", cliponaxis=False, hoverinfo="skip", showlegend=False,
        )
    )  # fmt: skip
    fig.update_xaxes(range=[0, 1.3 * max(distances, default=1.0)])
    fig.update_yaxes(autorange="reversed", gridcolor="rgba(0,0,0,0)")
    return fig
