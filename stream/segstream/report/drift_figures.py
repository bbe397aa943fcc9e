"""Whether the population still looks as it did when the model was made, day by day."""

from collections.abc import Mapping, Sequence
from typing import Final

import plotly.graph_objects as go

from segstream.report.figures import OWN_COLOUR, figure, plotted
from segstream.report.palette import OKABE_ITO

LEVELS: Final = {"warn": ("#E69F00", "diamond"), "act": ("#D55E00", "x")}
_DASHES: Final = ("solid", "dash", "dot", "dashdot")


def distance_figure(
    days: Sequence[str], distances: Sequence[float], levels: Sequence[str]
) -> go.Figure:
    """Mean distance of the panel to its centres; days with a warning or a call are marked."""
    fig = figure(280)
    fig.add_trace(
        go.Scatter(x=list(days), y=list(distances), mode="lines", name="mean distance",
                   line={"color": OWN_COLOUR, "width": 1.8}, showlegend=False)
    )  # fmt: skip
    for level, (colour, symbol) in LEVELS.items():
        at = [i for i, found in enumerate(levels) if found == level]
        if at:
            fig.add_trace(
                go.Scatter(
                    x=[days[i] for i in at], y=[distances[i] for i in at], mode="markers",
                    name={"warn": "warning", "act": "calls a check"}[level],
                    marker={"color": colour, "symbol": symbol, "size": 8},
                )
            )  # fmt: skip
    fig.update_yaxes(title="mean distance", rangemode="tozero")
    return fig


def psi_figure(
    days: Sequence[str],
    psi: Mapping[str, Sequence[float | None]],
) -> go.Figure:
    """Population stability index of each feature, day by day.

    Parameters
    ----------
    psi
        Feature label to one value a day; features that stay at zero are left out.
    """
    fig = figure(320)
    moving = {label: values for label, values in psi.items() if any(values)}
    for n, (label, values) in enumerate(moving.items()):
        fig.add_trace(
            go.Scatter(
                x=list(days), y=list(values), mode="lines", name=plotted(label),
                line={"color": OKABE_ITO[n % len(OKABE_ITO)], "width": 1.6,
                      "dash": _DASHES[n // 2 % len(_DASHES)]},
            )
        )  # fmt: skip
    fig.update_yaxes(title="PSI", rangemode="tozero")
    return fig
