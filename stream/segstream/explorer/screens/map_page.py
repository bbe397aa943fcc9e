"""Map: every customer a dot, on principal components or on two features."""

from typing import Any, Final

import pandas as pd
import streamlit as st

from segstream.explorer.client import Answer, Api
from segstream.explorer.following import kept, segments
from segstream.explorer.look import chart, paragraph
from segstream.explorer.wording import names_and_colours, words_of
from segstream.report.analyst_figures import (
    component_titles,
    map_figure,
    short_titles,
    space_figure,
)
from segstream.report.words import percent

_SAMPLE: Final = 2000
_FLAT, _SPACE, _RAW = "Components, 2-D", "Components, 3-D", "Two features"


def page(api: Api) -> None:
    """Draw the page."""
    now = segments(api)
    if now is None:
        return
    words = words_of(now)
    found = kept(api, now, "map", sample=_SAMPLE)
    st.title(f"Map of the {words.customers}", anchor=False)
    points = found["points"]
    thinned = "" if len(points) >= now["customers"] else f", a sample of {now['customers']:,}"
    st.caption(f"Each dot is a {words.customer} in the colour of its segment: "
               f"{len(points):,}{thinned}. Point at one to see whose it is; drag to zoom or turn, "
               "click a name in the legend to hide its segment.")  # fmt: skip
    view = st.segmented_control("Axes", (_FLAT, _SPACE, _RAW), default=_FLAT, required=True)
    names, colours = names_and_colours(now)
    if view == _RAW:
        _features(found, now["features"], names, colours)
        return
    _components(found, names, colours, in_space=view == _SPACE)


def _components(
    found: Answer, names: dict[int, str], colours: dict[int, str], *, in_space: bool
) -> None:
    titles = component_titles(found["explained"][:3])
    frame = pd.DataFrame([p["pc"] for p in found["points"]], columns=list("xyz"))
    frame = frame.assign(**_whose(found))
    short = short_titles(found["explained"])
    if in_space and len(short) == len("xyz"):
        chart(space_figure(frame, (short[0], short[1], short[2]), names, colours), "space")
    else:
        chart(map_figure(frame, (titles[0], titles[1]), names, colours), "map")
    told = " + ".join(percent(share) for share in found["explained"][:3])
    total = percent(sum(found["explained"][:3]))
    paragraph(
        f"The components are the directions in which customers differ most, in scaled features. "
        f"The first three explain {total} of the variance ({told}). What lies apart here is apart; "
        "what overlaps here may differ in a direction that is not shown."
    )


def _features(
    found: Answer, features: list[Answer], names: dict[int, str], colours: dict[int, str]
) -> None:
    told = {f["name"]: f"{f['label']}{_unit(f['unit'])}" for f in features}
    labels = [told.get(name, name) for name in found["features"]]
    left, right = st.columns(2)
    across = left.selectbox("Across", range(len(labels)), format_func=lambda j: labels[j])
    up = right.selectbox("Up", range(len(labels)), index=min(1, len(labels) - 1),
                         format_func=lambda j: labels[j])  # fmt: skip
    values = pd.DataFrame([p["values"] for p in found["points"]], columns=range(len(labels)))
    frame = pd.DataFrame({"x": values[across], "y": values[up], **_whose(found)})
    known = frame.dropna()
    chart(map_figure(known, (labels[across], labels[up]), names, colours), "raw")
    if len(known) < len(frame):
        paragraph(f"{len(frame) - len(known):,} without a value are left out.")


def _whose(found: Answer) -> dict[str, Any]:
    return {
        "segment_id": [-1 if p["segment_id"] is None else p["segment_id"]
                       for p in found["points"]],
        "customer_id": [p["customer_id"] for p in found["points"]],
    }  # fmt: skip


def _unit(unit: str) -> str:
    return f", {unit}" if unit else ""
