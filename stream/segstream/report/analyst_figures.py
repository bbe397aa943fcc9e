"""Figures for those who want to check: map, elbow, silhouettes."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from segstream.report.figures import OWN_COLOUR, STAYED_COLOUR, colour_of, figure, name_of


def map_figure(
    points: pd.DataFrame,
    explained: tuple[float, float],
    names: Mapping[int, str],
    colours: Mapping[int, str],
) -> go.Figure:
    """Customers on the two principal components; x, y, segment_id."""
    fig = figure(460)
    for segment_id, mine in points.groupby("segment_id"):
        fig.add_trace(
            go.Scatter(
                x=mine["x"].round(3).tolist(), y=mine["y"].round(3).tolist(), mode="markers",
                name=name_of(int(str(segment_id)), names), hoverinfo="name",
                marker={"size": 5, "opacity": 0.65,
                        "color": colour_of(int(str(segment_id)), colours)},
            )
        )  # fmt: skip
    fig.update_xaxes(title=f"first component, {explained[0]:.0%} of the variance")
    fig.update_yaxes(title=f"second, {explained[1]:.0%}")
    return fig


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
