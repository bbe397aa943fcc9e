"""Figures for those who want to check: maps, elbow, silhouettes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from segstream.report.figures import (
    GRID,
    OWN_COLOUR,
    STAYED_COLOUR,
    colour_of,
    figure,
    name_of,
    plotted,
)


def map_figure(
    points: pd.DataFrame,
    titles: tuple[str, str],
    names: Mapping[int, str],
    colours: Mapping[int, str],
) -> go.Figure:
    """Customers as dots in the colour of their segment.

    Parameters
    ----------
    points
        x, y, segment_id; customer_id where a dot shall say whose it is.
    titles
        Of the two axes.
    """
    fig = figure(460)
    for segment_id, mine in points.groupby("segment_id"):
        fig.add_trace(
            go.Scatter(
                x=mine["x"].round(3).tolist(), y=mine["y"].round(3).tolist(), mode="markers",
                marker={"size": 5, "opacity": 0.65,
                        "color": colour_of(int(str(segment_id)), colours)},
                **_dot_words(mine, name_of(int(str(segment_id)), names)),
            )
        )  # fmt: skip
    fig.update_layout(legend={"itemsizing": "constant"})
    fig.update_xaxes(title=titles[0])
    fig.update_yaxes(title=titles[1])
    return fig


def space_figure(
    points: pd.DataFrame,
    titles: tuple[str, str, str],
    names: Mapping[int, str],
    colours: Mapping[int, str],
) -> go.Figure:
    """Customers in three dimensions, to be turned; like `map_figure` with a column z."""
    fig = figure(560)
    for segment_id, mine in points.groupby("segment_id"):
        fig.add_trace(
            go.Scatter3d(
                x=mine["x"].round(3).tolist(), y=mine["y"].round(3).tolist(),
                z=mine["z"].round(3).tolist(), mode="markers",
                marker={"size": 2.6, "opacity": 0.75,
                        "color": colour_of(int(str(segment_id)), colours)},
                **_dot_words(mine, name_of(int(str(segment_id)), names)),
            )
        )  # fmt: skip
    axes = {f"{axis}axis": {"title": title, "gridcolor": GRID}
            for axis, title in zip("xyz", titles, strict=True)}  # fmt: skip
    # Far enough that the axes' titles stay inside.
    eye = {"x": 1.55, "y": 1.55, "z": 0.9}
    fig.update_layout(scene={**axes, "camera": {"eye": eye}}, legend={"itemsizing": "constant"})
    return fig


def _dot_words(mine: pd.DataFrame, name: str) -> dict[str, Any]:
    """What a dot says: its segment, and whose it is where that is known."""
    if "customer_id" not in mine:
        return {"name": name, "hoverinfo": "name"}
    ids = [plotted(str(customer)) for customer in mine["customer_id"]]
    return {"name": name, "text": ids, "hovertemplate": f"%{{text}}: {name}<extra></extra>"}


def component_titles(explained: Sequence[float]) -> tuple[str, ...]:
    """Titles of principal components with their share of the variance.

    >>> component_titles((0.5, 0.25))
    ('first component, 50% of the variance', 'second, 25%')
    """
    first, *rest = short_titles(explained)
    return (f"{first.replace(',', ' component,')} of the variance", *rest)


def short_titles(explained: Sequence[float]) -> tuple[str, ...]:
    """Titles of up to three components for where there is little room.

    >>> short_titles((0.5, 0.25))
    ('first, 50%', 'second, 25%')
    """
    ordinals = ("first", "second", "third")
    return tuple(f"{which}, {share:.0%}" for which, share in zip(ordinals, explained, strict=False))


def elbow_figure(elbow: pd.DataFrame, k: int) -> go.Figure:
    """WCSS by number of segments; the one in use is marked."""
    fig = figure(300)
    marks = [12 if n == k else 6 for n in elbow["k"].tolist()]
    fills = [OWN_COLOUR if n == k else STAYED_COLOUR for n in elbow["k"].tolist()]
    fig.add_trace(
        go.Scatter(
            x=elbow["k"].tolist(), y=elbow["wcss"].round(1).tolist(), mode="lines+markers",
            line={"color": STAYED_COLOUR}, marker={"size": marks, "color": fills}, showlegend=False,
            hovertemplate="%{x} segments: %{y:,.0f}<extra></extra>",
        )
    )  # fmt: skip
    fig.update_xaxes(title="number of segments", dtick=1)
    fig.update_yaxes(title="within-cluster sum of squares", rangemode="tozero")
    return fig


def silhouette_figure(
    silhouettes: pd.DataFrame, names: Mapping[int, str], colours: Mapping[int, str]
) -> go.Figure:
    """Mean silhouette of each segment."""
    ids = silhouettes["segment_id"].astype(int).tolist()
    values = silhouettes["silhouette"].round(3).tolist()
    fig = figure(60 + 44 * max(1, len(ids)))
    fig.add_trace(
        go.Bar(
            y=[name_of(i, names) for i in ids], x=values, orientation="h", showlegend=False,
            marker_color=[colour_of(i, colours) for i in ids], text=[f"{v:.2f}" for v in values],
            textposition="outside", cliponaxis=False, hoverinfo="skip",
        )
    )  # fmt: skip
    fig.update_xaxes(title="mean silhouette", range=[min(0.0, *values, 0.0), 1.0])
    fig.update_yaxes(autorange="reversed", gridcolor="rgba(0,0,0,0)")
    return fig


def silhouette_plot(
    values: Mapping[int, Sequence[float]], names: Mapping[int, str], colours: Mapping[int, str]
) -> go.Figure:
    """Every customer's silhouette, each segment a block sorted from the best down.

    Parameters
    ----------
    values
        Silhouettes of each segment's sampled customers.
    """
    fig = figure(420)
    below, everybody = 0, [v for mine in values.values() for v in mine]
    gap = max(1, len(everybody) // 60)
    for segment_id, mine in values.items():
        ordered = np.sort(np.asarray(mine, dtype=np.float64))[::-1]
        fig.add_trace(
            go.Scatter(
                x=ordered.round(3).tolist(), y=list(range(below, below + len(ordered))),
                mode="lines", fill="tozerox", line={"width": 0.5},
                name=name_of(segment_id, names), marker_color=colour_of(segment_id, colours),
                hovertemplate="%{x:.2f}",
            )
        )  # fmt: skip
        below += len(ordered) + gap
    if everybody:
        mean = float(np.mean(everybody))
        fig.add_vline(x=mean, line={"dash": "dash", "width": 1.5, "color": OWN_COLOUR},
                      annotation_text=f"mean {mean:.2f}",
                      annotation_position="top right")  # fmt: skip
    fig.update_xaxes(title="silhouette of each customer")
    fig.update_yaxes(showticklabels=False, autorange="reversed", showgrid=False)
    return fig
