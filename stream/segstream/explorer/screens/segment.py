"""One segment: what sets it apart, who its customers are, what they buy, what to do."""

import streamlit as st

from segstream.explorer.client import Answer, Api
from segstream.explorer.following import kept, segments
from segstream.explorer.look import chart, heading, html, paragraph
from segstream.explorer.opening import open_customer
from segstream.explorer.screens.places import segment_places
from segstream.explorer.screens.segment_insights import insights_part
from segstream.explorer.wording import words_of
from segstream.report.figures import plotted
from segstream.report.markup import table, text, tiles
from segstream.report.profile_figures import ProfileRow, distribution_figure, profile_figure
from segstream.report.words import Words, percent

_SAMPLE = 10


def page(api: Api) -> None:
    """Draw the page."""
    now = segments(api)
    if now is None:
        return
    words = words_of(now)
    chosen = choose_segment(now)
    found = kept(api, now, "segments", chosen)
    _head(found, words)
    _profile(found, now["features"], words)
    _distribution(found, now["features"])
    insights_part(api, now, found, words)
    if found["insights"] is not None:
        segment_places(kept(api, now, "insights"), found, words)
    _members(api, now, found, words)


def choose_segment(now: Answer) -> int:
    """Let the reader choose a living segment; `?segment=ID` in the address chooses it too."""
    names = {s["id"]: s["name"] for s in now["segments"]}
    asked = st.query_params.get("segment", "")
    first = list(names).index(int(asked)) if asked.isdecimal() and int(asked) in names else 0
    chosen: int = st.selectbox(
        "Segment", list(names), index=first, format_func=lambda i: names.get(i, f"segment {i}"),
        key="segment",
    )  # fmt: skip
    return chosen


def _head(found: Answer, words: Words) -> None:
    st.title(found["name"], anchor=False)
    numbers = [(f"{found['customers']:,}", f"{words.customers}, {percent(found['share'])} of all")]
    if found["share_of_spend"] is not None:
        numbers.append((percent(found["share_of_spend"]), "of all spend in 90 days"))
    if found["spend_each"] is not None:
        numbers.append((words.money(found["spend_each"]), f"spend a {words.customer} in 90 days"))
    if found["last_order_days"] is not None:
        numbers.append((f"{found['last_order_days']:.0f} days", "since the last order (median)"))
    others = "".join(f"<li>{text(action)}</li>" for action in found["actions"])
    html(
        f'<article class="card" style="--colour: {text(found["colour"])}">',
        tiles(numbers), f"<p>{text(found['description'])}</p>",
        f'<div class="do"><b>Strategy:</b> {text(found["action"])}<ul>{others}</ul></div>',
        "</article>",
    )  # fmt: skip


def _profile(found: Answer, features: list[Answer], words: Words) -> None:
    heading("Profile", f"Means of its {words.customers} as multiples of everybody's mean (1×).")
    rows, told = [], []
    for feature in features:
        own, everybody = (part.get(feature["name"]) for part in
                          (found["averages"], found["population"]))  # fmt: skip
        value, all_value = (words.value(v, feature["unit"]) for v in (own, everybody))
        told.append(
            (
                text(feature["label"]),
                text(value),
                text(all_value),
                text(found["levels"].get(feature["name"], "").replace("_", " ")),
            )
        )
        if own is not None and everybody is not None and everybody > 0:
            rows.append(ProfileRow(feature["label"], own / everybody, value, all_value))
    if rows:
        chart(profile_figure(rows, found["colour"]), "profile")
    with st.expander("The figures"):
        html(table(("feature", "segment", "everybody", "level"), told, numbers=(1, 2)))


def _distribution(found: Answer, features: list[Answer]) -> None:
    spread = found["distributions"]
    labels = {f["name"]: f["label"] for f in features if f["name"] in spread}
    if not labels:
        return
    heading("Distribution", "Shares by value: the segment in front of everybody.")
    name = st.selectbox("Feature", list(labels), format_func=lambda n: labels.get(n, n))
    one = spread[name]
    fig = distribution_figure(
        one["edges"], one["counts"], one["population_counts"], (found["name"], "everybody"),
        found["colour"],
    )  # fmt: skip
    fig.update_xaxes(title=plotted(labels[name]))
    chart(fig, "distribution")


def _members(api: Api, now: Answer, found: Answer, words: Words) -> None:
    heading(f"Some of its {words.customers}", "In the order of their ids.")
    before: list[str] = st.session_state.setdefault(f"pages_{found['id']}", [""])
    query: dict[str, str | int] = {"limit": _SAMPLE}
    if before[-1]:
        query["cursor"] = before[-1]
    members = kept(api, now, "segments", found["id"], "customers", **query)
    if not members["customers"]:
        paragraph(f"No {words.customer} is in it now.")
        return
    shown = [f for f in now["features"] if f["use"] == "cluster"][:4]
    rows: list[tuple[str, ...]] = [
        (
            text(m["customer_id"]),
            text((m["since"] or "")[:10]),
            *(text(words.value(m["features"].get(f["name"]), f["unit"])) for f in shown),
        )
        for m in members["customers"]
    ]
    html(table((words.customer, "in it since", *(f["label"] for f in shown)), rows,
               numbers=tuple(range(2, 2 + len(shown))), style="stack"))  # fmt: skip
    back, on, which, go = st.columns([1, 1, 2, 1], vertical_alignment="bottom")
    if back.button("Back", disabled=len(before) == 1):
        before.pop()
        st.rerun(scope="fragment")
    if on.button("Next", disabled=not members["next_cursor"]):
        before.append(members["next_cursor"])
        st.rerun(scope="fragment")
    chosen = which.selectbox(f"Look at a {words.customer}",
                             [m["customer_id"] for m in members["customers"]])  # fmt: skip
    if go.button("Open") and chosen:
        open_customer(chosen)
