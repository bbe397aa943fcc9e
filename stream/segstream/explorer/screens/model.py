"""Model: how good it is, where it comes from, whether it still fits, and who may change it."""

import msgspec
import numpy as np
import pandas as pd
import streamlit as st

from segstream.core.tree import Merge
from segstream.explorer.client import Answer, Api
from segstream.explorer.following import segments
from segstream.explorer.look import chart, heading, html, paragraph
from segstream.explorer.screens.model_commands import commands_part
from segstream.explorer.screens.model_life import drift_part, life_part
from segstream.explorer.wording import names_and_colours
from segstream.report.analyst_figures import elbow_figure, silhouette_figure, silhouette_plot
from segstream.report.markup import tiles
from segstream.report.tree_figures import nearest_text, tree_figure


def page(api: Api) -> None:
    """Draw the page."""
    now = segments(api)
    if now is None:
        return
    models = api.get("models")
    found = living(api, now)
    st.title(f"Model {now['model']}", anchor=False)
    _quality(found, now)
    _tree(found, now)
    commands_part(api, models, now)
    life_part(models, found, now)
    drift_part(found, now)


def living(api: Api, now: Answer) -> Answer:
    """Return the living model, asked for anew when it or the clock has moved on."""
    store = st.session_state.setdefault("_model", {})
    name = (now["as_of"], now["model"])
    if name not in store:
        store.clear()
        with st.spinner("Reading …"):
            store[name] = api.get("models", now["model"])
    answer: Answer = store[name]
    return answer


def _quality(found: Answer, now: Answer) -> None:
    quality = found["quality"]
    st.caption(
        f"{quality['k']} segments; best of {quality['starts']} starts, seed {quality['seed']}. "
        "Computed on the model that is served."
    )
    html(tiles((
        (_score(quality["silhouette"]), "silhouette: 1 is far apart, 0 touches"),
        (_score(quality["davies_bouldin"]), "Davies-Bouldin: lower is further apart"),
        (f"{quality['wcss']:,.0f}", "within-cluster sum of squares"),
    )))  # fmt: skip
    names, colours = names_and_colours(now)
    left, right = st.columns(2, gap="large")
    with left:
        heading("Elbow", "The within-cluster sum of squares by number of segments.")
        _elbow(quality)
    with right:
        heading("Silhouettes", "Each customer a line; what reaches left of zero is nearer to "
                "another segment.")  # fmt: skip
        values = {s["segment_id"]: s["values"] for s in found["silhouettes"] if s["values"]}
        if values:
            chart(silhouette_plot(values, names, colours), "silhouettes")
        else:
            paragraph("There is one segment, so nothing to compare it with.")
    if values:
        heading("Mean silhouette by segment")
        chart(silhouette_figure(_means(values), names, colours), "silhouette_means")


def _tree(found: Answer, now: Answer) -> None:
    tree = msgspec.convert(found["tree"], list[Merge])
    if not tree:
        return
    names, colours = names_and_colours(now)
    heading("Tree of the segments", "Merged step by step, the nearest first: hierarchical "
            "clustering of their centres, by Ward's criterion. The further right two branches "
            "meet, the more they differ.")  # fmt: skip
    paragraph(nearest_text(tree, names))
    chart(tree_figure(tree, names, colours), "tree")


def _elbow(quality: Answer) -> None:
    curve = sorted((int(k), wcss) for k, wcss in (quality["curve"] or {}).items())
    if not curve:
        paragraph("k was set by hand, and no other number was tried.")
        return
    chart(elbow_figure(pd.DataFrame(curve, columns=["k", "wcss"]), quality["k"]), "elbow")


def _means(values: dict[int, list[float]]) -> pd.DataFrame:
    rows = [(segment, float(np.mean(mine))) for segment, mine in values.items()]
    return pd.DataFrame(rows, columns=["segment_id", "silhouette"])


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
