"""What if: type in what is known of a customer, and see the segment at once."""

import streamlit as st

from segstream.explorer.client import Answer, Api
from segstream.explorer.following import segments
from segstream.explorer.look import chart, heading, html, paragraph
from segstream.explorer.wording import words_of
from segstream.report.change_figures import distances_figure
from segstream.report.markup import table, text
from segstream.report.palette import UNASSIGNED
from segstream.report.words import MONEY_UNITS, Words, number


def page(api: Api) -> None:
    """Draw the page."""
    now = segments(api)
    if now is None:
        return
    words = words_of(now)
    st.title("What if", anchor=False)
    st.caption(f"Type in what you know of a {words.customer}; the answer follows at once. What is "
               "left empty counts as the median of all.")  # fmt: skip
    medians = {a["name"]: a["value"] for a in
               kept_answer(api, now, {})["assumed"] if a["value"] is not None}  # fmt: skip
    asked, told = st.columns([2, 3], gap="large")
    with asked:
        given = _form(now, medians)
    with told:
        _answer(kept_answer(api, now, given), now, words)


def kept_answer(api: Api, now: Answer, given: dict[str, float]) -> Answer:
    """Ask what if; the same question is asked once while the stream stands still."""
    store = st.session_state.setdefault("_what_if", {})
    name = (tuple(sorted(given.items())), now["as_of"], now["model"])
    if name not in store:
        store.clear()
        store[name] = api.post("assign", body={"features": given})
    answer: Answer = store[name]
    return answer


def _form(now: Answer, medians: dict[str, float]) -> dict[str, float]:
    # Money by its code: a sign would be read as the beginning of a formula.
    features = [f | {"unit": now["currency"] if f["unit"] in MONEY_UNITS else f["unit"]}
                for f in now["features"]]  # fmt: skip
    shaping = [f for f in features if f["use"] == "cluster"]
    others = [f for f in features if f["use"] != "cluster"]
    given = _fields(shaping, medians)
    if others:
        with st.expander("Only described: these do not move the segment"):
            given |= _fields(others, medians)
    return given


def _fields(features: list[Answer], medians: dict[str, float]) -> dict[str, float]:
    given = {}
    for feature in features:
        name, median = feature["name"], medians.get(feature["name"])
        value = st.number_input(
            f"{feature['label']}{_unit(feature['unit'])}", value=None, format="%g", step=1.0,
            placeholder="" if median is None else f"median: {number(median)}",
            key=f"what_if_{name}",
        )  # fmt: skip
        if value is not None:
            given[name] = float(value)
    return given


def _unit(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _answer(answer: Answer, now: Answer, words: Words) -> None:
    colours = {s["id"]: s["colour"] for s in now["segments"]}
    colour = colours.get(answer["segment_id"], UNASSIGNED)
    actions = "".join(f"<li>{text(action)}</li>" for action in answer["actions"])
    html(
        f'<article class="card" style="--colour: {text(colour)}">'
        f"<h3>{text(answer['segment'])}</h3><p>{text(answer['description'])}</p>",
        f'<div class="do"><b>Strategy:</b> {text(answer["action"])}<ul>{actions}</ul></div>',
        "</article>",
    )
    if answer["next"]:
        paragraph(
            f"Next: {answer['next']}, at a squared distance of {answer['next_distance']:.2f} "
            f"against {answer['distance']:.2f}."
        )
    assumed = ", ".join(f"{a['label']} {a['text']}" for a in answer["assumed"])
    if assumed:
        paragraph(f"Not given, so taken as the median of all {words.customers}: {assumed}.")
    heading("How far each segment is", "Squared distance in scaled features; the nearest serves.")
    chart(
        distances_figure(
            [d["name"] for d in answer["distances"]], [d["distance"] for d in answer["distances"]],
            [colours.get(d["segment_id"], UNASSIGNED) for d in answer["distances"]],
        ),
        "distances",
    )  # fmt: skip
    heading(f"Averages of {answer['segment']}")
    rows = [
        (text(f["label"]), _typed(answer["given"].get(f["name"]), f["unit"], words),
         text(words.value(answer["averages"].get(f["name"]), f["unit"])))
        for f in now["features"]
    ]  # fmt: skip
    html(table(("feature", "you typed", "the segment's average"), rows, numbers=(1, 2)))


def _typed(value: float | None, unit: str, words: Words) -> str:
    return "-" if value is None else text(words.value(value, unit))
