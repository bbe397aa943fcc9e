"""The report's figures: frames in, Plotly figures out; nothing here reads a state.

Names may be anything a feed brought, so every label is escaped.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from segstream.report.aftermath import Aftermath
from segstream.report.palette import UNASSIGNED
from segstream.report.timeline import Timeline
from segstream.report.words import Words

INK: Final = "#1F2933"
MUTED: Final = "#6B7780"
GRID: Final = "#E4E7EB"
OWN_COLOUR: Final = "#0B3C5D"
STAYED_COLOUR: Final = "#B8C0C8"
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_CLOSE: Final = pd.Timedelta(days=9)
KIND_LABELS: Final = {
    "moved_up": "Moved up",
    "fell_silent": "Fell silent",
    "left_best": "Left the<br>top segment",
}


def figure(height: int, **layout: Any) -> go.Figure:
    """Return an empty figure in the report's style."""
    fig = go.Figure()
    fig.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 13, "color": INK},
        hoverlabel={"font": {"family": FONT}},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "xanchor": "left"},
        **layout,
    )
    fig.update_xaxes(gridcolor=GRID, zeroline=False, automargin=True)
    fig.update_yaxes(gridcolor=GRID, zeroline=False, automargin=True)
    return fig


def flow_figure(
    flows: pd.DataFrame, names: Mapping[int, str], colours: Mapping[int, str]
) -> go.Figure:
    """Who moved: 30 days ago on the left, today on the right; stayers are left out.

    Parameters
    ----------
    flows
        from_id, to_id (-1 for none), customers.
    """
    moved = flows[flows["from_id"] != flows["to_id"]]
    left, right = (_by_size(moved, side) for side in ("from_id", "to_id"))
    row = {("l", s): i for i, (s, _) in enumerate(left)}
    row |= {("r", s): i + len(left) for i, (s, _) in enumerate(right)}
    labels = [f"{name_of(s, names)}: {n:,} left" if s >= 0 else f"New: {n:,}" for s, n in left]
    labels += [f"{name_of(s, names)}: {n:,} came" if s >= 0 else f"Gone: {n:,}" for s, n in right]
    fig = figure(min(420, 90 + 66 * max(len(left), len(right))))
    fig.add_trace(
        go.Sankey(
            arrangement="fixed",
            node={
                "label": labels,
                "color": [colour_of(s, colours) for s, _ in (*left, *right)],
                "pad": 18, "thickness": 16, "line": {"width": 0},
                "hovertemplate": "%{label}<extra></extra>",
            },
            link={
                "source": [row["l", s] for s in moved["from_id"].tolist()],
                "target": [row["r", s] for s in moved["to_id"].tolist()],
                "value": moved["customers"].tolist(),
                "color": [_faded(colour_of(s, colours)) for s in moved["from_id"].tolist()],
                "hovertemplate": "%{source.label} → %{target.label}: %{value}<extra></extra>",
            },
        )
    )  # fmt: skip
    return fig


def _by_size(moved: pd.DataFrame, side: str) -> list[tuple[int, int]]:
    totals = moved.groupby(side)["customers"].sum()
    ordered = totals.sort_values(ascending=False, kind="stable")
    return [(int(s), int(n)) for s, n in zip(ordered.index, ordered, strict=True)]


def size_figure(
    sizes: pd.DataFrame,
    waiting: pd.DataFrame,
    names: Mapping[int, str],
    colours: Mapping[int, str],
    order: Sequence[int],
) -> go.Figure:
    """Members of each segment by day, stacked; days before the first model are shaded.

    Parameters
    ----------
    sizes
        day (since 1970), segment_id, customers.
    waiting
        day, customers: the warm-up.
    order
        Living segments, the lowest in the stack first.
    """
    fig = figure(380, hovermode="x unified")
    if len(waiting):
        _warm_up(fig, waiting)
    found = sizes["segment_id"].unique().tolist()
    for segment_id in [*order, *(s for s in found if s not in order)]:
        mine = sizes[sizes["segment_id"] == segment_id]
        if mine["customers"].any():
            fig.add_trace(
                go.Scatter(
                    x=_dates(mine["day"]), y=mine["customers"].tolist(), stackgroup="segments",
                    name=name_of(segment_id, names), mode="lines",
                    line={"width": 0.5, "color": colour_of(segment_id, colours)},
                    fillcolor=colour_of(segment_id, colours),
                )
            )  # fmt: skip
    fig.update_yaxes(rangemode="tozero")
    return fig


def _warm_up(fig: go.Figure, waiting: pd.DataFrame) -> None:
    days = _dates(waiting["day"])
    fig.add_trace(
        go.Scatter(
            x=days, y=waiting["customers"].tolist(), name="not in a segment yet", mode="lines",
            line={"width": 1, "color": UNASSIGNED, "dash": "dot"},
        )
    )  # fmt: skip
    fig.add_vrect(
        x0=days[0], x1=days[-1], fillcolor=UNASSIGNED, opacity=0.18, line_width=0,
        annotation_text="warm-up", annotation_position="bottom right",
        annotation_font_color=MUTED,
    )  # fmt: skip


def timeline_figure(
    timeline: Timeline, names: Mapping[int, str], colours: Mapping[int, str], words: Words
) -> go.Figure:
    """One customer's orders as bars, segments as bands, changes as numbered lines."""
    fig = figure(340, bargap=0)
    fig.update_layout(legend_y=1.08)
    orders = timeline.orders
    counts = orders["orders"].to_numpy(dtype=np.int64)
    has_spend = bool(orders["spend"].any())
    heights = orders["spend"] if has_spend else orders["orders"]
    texts = [
        f"{words.money(spend)} in {n}" if has_spend else str(n)
        for spend, n in zip(orders["spend"].tolist(), counts.tolist(), strict=True)
    ]
    fig.add_trace(
        go.Bar(
            x=_moments(orders["day"]), y=heights.tolist(), width=86_400_000 * 1.4, name="orders",
            marker_color=INK, customdata=texts, showlegend=False,
            hovertemplate="%{x|%d %b}: %{customdata}<extra></extra>",
        )
    )  # fmt: skip
    _bands(fig, timeline.bands, names, colours)
    _numbered(fig, timeline.changes["time"])
    fig.update_xaxes(type="date")
    if has_spend:
        fig.update_yaxes(tickprefix=_sign(words))
    return fig


def _numbered(fig: go.Figure, times: "pd.Series[pd.Timestamp]") -> None:
    """Mark changes; numbers that would stand on each other go one below the other."""
    close = (times.diff() < _CLOSE).tolist()
    level = 0
    for n, when in enumerate(_moments(times), start=1):
        level = level + 1 if close[n - 1] else 0
        fig.add_vline(x=when, line={"width": 1.5, "color": INK, "dash": "dot"})
        fig.add_annotation(
            x=when, y=1.0 - 0.09 * level, yref="paper", text=f"<b>{n}</b>", showarrow=False,
            xanchor="left", yanchor="top", xshift=2, bgcolor="rgba(255,255,255,0.85)",
        )  # fmt: skip


def _bands(
    fig: go.Figure, bands: pd.DataFrame, names: Mapping[int, str], colours: Mapping[int, str]
) -> None:
    starts, ends = _moments(bands["start"]), _moments(bands["end"])
    for segment_id, start, end in zip(bands["segment_id"].tolist(), starts, ends, strict=True):
        colour = colour_of(segment_id, colours)
        shape = {"type": "rect", "x0": start, "x1": end, "yref": "paper", "line": {"width": 0}}
        # A strip in the full colour: two pale ones are hard to tell apart.
        fig.add_shape(**shape, y0=0, y1=1, fillcolor=colour, opacity=0.14, layer="below")
        fig.add_shape(**shape, y0=1.0, y1=1.05, fillcolor=colour)
    for segment_id in dict.fromkeys(bands["segment_id"].tolist()):
        fig.add_trace(
            go.Scatter(
                x=[None], y=[None], mode="markers", name=name_of(segment_id, names),
                marker={"size": 13, "symbol": "square", "color": colour_of(segment_id, colours)},
            )
        )  # fmt: skip


def aftermath_figure(rows: Sequence[Aftermath], words: Words) -> go.Figure:
    """Spend in the eight weeks after a change: movers beside stayers."""
    fig = figure(300, barmode="group", bargap=0.35)
    labels = [KIND_LABELS[row.kind] for row in rows]
    for name, values, colour in (
        ("those who stayed that day", [row.stayers_spend for row in rows], STAYED_COLOUR),
        ("those who changed", [row.spend for row in rows], OWN_COLOUR),
    ):
        fig.add_trace(
            go.Bar(
                y=labels, x=values, name=name, orientation="h", marker_color=colour,
                text=[plotted(words.money(v)) for v in values], textposition="auto",
                hovertemplate="%{y}: %{text}<extra></extra>",
            )
        )  # fmt: skip
    fig.update_yaxes(autorange="reversed", gridcolor="rgba(0,0,0,0)")
    fig.update_xaxes(tickprefix=_sign(words), rangemode="tozero")
    return fig


def plotted(text: str) -> str:
    """Escape any text for a figure.

    Plotly reads `&lt;`, but shows the entity of a quotation mark as it is written.

    >>> plotted('<b>"North"</b>')
    '&lt;b&gt;"North"&lt;/b&gt;'
    """
    return escape(text, quote=False)


def name_of(segment_id: int, names: Mapping[int, str]) -> str:
    """Escaped name of a segment."""
    return plotted(names.get(segment_id, "none" if segment_id < 0 else f"segment {segment_id}"))


def colour_of(segment_id: int, colours: Mapping[int, str]) -> str:
    """Colour of a segment; grey for none."""
    return colours.get(segment_id, UNASSIGNED)


def _faded(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.45)"


def _sign(words: Words) -> str:
    return plotted(words.money(0.0).removesuffix("0"))


def _dates(days: "pd.Series[int]") -> list[str]:
    return pd.to_datetime(days, unit="D").dt.strftime("%Y-%m-%d").tolist()


def _moments(times: "pd.Series[pd.Timestamp]") -> list[str]:
    return pd.to_datetime(times, utc=True).dt.strftime("%Y-%m-%d %H:%M").tolist()
