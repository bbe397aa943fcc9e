"""Cities and coupons: how many of the claimed coupons are redeemed in each."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from segstream.report.figures import INK, MUTED, OWN_COLOUR, figure
from segstream.report.insight_figures import short


@dataclass(frozen=True, slots=True)
class Rated:
    """A place's share of claimed coupons that were redeemed; shares of one.

    Attributes
    ----------
    differs
        Whether by more than chance explains.
    """

    name: str
    rate: float
    low: float
    high: float
    differs: bool


def rates_figure(rows: Sequence[Rated], whole: float) -> go.Figure:
    """A dot with its 95 % interval for each place, dark where it differs; a line for all."""
    fig = figure(86 + 27 * len(rows))
    for differs, colour in ((True, OWN_COLOUR), (False, MUTED)):
        mine = [row for row in rows if row.differs == differs]
        if not mine:
            continue
        fig.add_trace(
            go.Scatter(
                y=[short(row.name) for row in mine], x=[row.rate for row in mine],
                mode="markers", marker={"size": 10, "color": colour},
                error_x={"type": "data", "symmetric": False, "color": colour, "thickness": 1.6,
                         "array": [row.high - row.rate for row in mine],
                         "arrayminus": [row.rate - row.low for row in mine]},
                hovertemplate="%{y}: %{x:.1%}<extra></extra>",
            )
        )  # fmt: skip
    fig.add_vline(x=whole, line={"width": 1.5, "color": INK, "dash": "dash"},
                  annotation_text=f"all: {whole:.0%}", annotation_position="top")  # fmt: skip
    fig.update_xaxes(tickformat=".0%", title="share redeemed")
    # As given, whichever trace a place is in; a number would stand where the number is.
    fig.update_yaxes(
        type="category", categoryorder="array", categoryarray=[short(row.name) for row in rows],
        range=[len(rows) - 0.5, -0.5],
    )  # fmt: skip
    fig.update_layout(margin_t=24, showlegend=False)
    return fig
