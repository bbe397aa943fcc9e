"""Overview: the segments, who moved and why, and what needs attention."""

import pandas as pd
import streamlit as st

from segstream.explorer.client import Answer, Api
from segstream.explorer.following import kept, segments
from segstream.explorer.look import chart, heading, html, paragraph, wide_chart
from segstream.explorer.screens.bought import bought_part
from segstream.explorer.screens.places import places_part
from segstream.explorer.wording import ago, names_and_colours, reason_words, words_of
from segstream.report.cards import segment_card
from segstream.report.change_figures import reasons_figure
from segstream.report.facts import Summary, from_json
from segstream.report.figures import aftermath_figure, flow_figure, size_figure
from segstream.report.markup import dot, table, text, tiles
from segstream.report.wording import activity, leavers_text, trust_lines
from segstream.report.words import Words

_SHOWN_FLOWS = 8


def page(api: Api) -> None:
    """Draw the page."""
    now = segments(api)
    if now is None:
        return
    overview = kept(api, now, "overview")
    summary, words = from_json(overview), words_of(now)
    names, colours = names_and_colours(overview, now)
    st.title(f"{summary.namespace}: {words.customers} and their segments", anchor=False)
    st.caption(f"{words.people(summary.customers)}, {activity(summary)}. Model {now['model']}.")
    _attention(summary, words)
    heading("Segments", "As published now; spend and orders are those of the last 90 days.")
    html('<div class="cards">',
         *(segment_card(segment, words) for segment in summary.segments), "</div>")  # fmt: skip
    _sizes(overview, summary, names, colours)
    _flows(summary, words, names, colours)
    left, right = st.columns(2, gap="large")
    with left:
        _reasons(summary)
    with right:
        _freshness(overview, names, colours)
    _after(overview, summary, words)
    every = kept(api, now, "insights")
    bought_part(every, words)
    places_part(every, now, words)


def _attention(summary: Summary, words: Words) -> None:
    heading("What needs attention")
    found = summary.leavers
    if found.segment is None:
        paragraph("Nothing here measures what was spent, so no segment can be called the best one.")
        return
    paragraph(leavers_text(summary, words))
    if found.customers:
        html(tiles((
            (words.people(found.customers), "left the best segment and stayed away"),
            (words.money(found.spend_before), "they had spent in the 90 days before"),
            (f"{found.silent:,}", "of them have fallen silent"),
        )))  # fmt: skip


def _sizes(
    overview: Answer, summary: Summary, names: dict[int, str], colours: dict[int, str]
) -> None:
    if not overview["sizes"]:
        return
    heading("Segment sizes over time", "A step on one day is a redrawing of the segments.")
    sizes = _by_day(pd.DataFrame(overview["sizes"]))
    waiting = _by_day(
        pd.DataFrame(overview.get("waiting_sizes") or [], columns=["day", "customers"])
    )
    order = [segment.id for segment in summary.segments]
    chart(size_figure(sizes, waiting, names, colours, order), "sizes")


def _by_day(rows: pd.DataFrame) -> pd.DataFrame:
    """Count dates in days since 1970, as the report's figures do."""
    since = pd.to_datetime(rows["day"]) - pd.Timestamp(0)
    return rows.assign(day=since.dt.days)


def _flows(summary: Summary, words: Words, names: dict[int, str], colours: dict[int, str]) -> None:
    heading("Who moved in the last 30 days", "Those who stayed where they were are left out.")
    moved = pd.DataFrame(
        [
            (-1 if f.from_id is None else f.from_id, -1 if f.to_id is None else f.to_id,
             f.customers)
            for f in summary.flows
            if f.from_id != f.to_id
        ],
        columns=["from_id", "to_id", "customers"],
    )  # fmt: skip
    if moved.empty:
        paragraph(f"Nobody: all {words.customers} are where they were 30 days ago.")
        return
    wide_chart(flow_figure(moved, names, colours), "flows")
    rows = [
        (_side(a, "new", names, colours), _side(b, "gone", names, colours), f"{n:,}")
        for a, b, n in moved.sort_values("customers", ascending=False)
        .head(_SHOWN_FLOWS)
        .itertuples(index=False)
    ]
    html(table(("30 days ago", "now", words.customers), rows, numbers=(2,)))


def _side(segment: int | None, none: str, names: dict[int, str], colours: dict[int, str]) -> str:
    if segment is None or segment < 0:
        return text(none)
    return dot(colours.get(segment, "#9AA0A6"), names.get(segment, f"segment {segment}"))


def _reasons(summary: Summary) -> None:
    heading("Changes by reason", "Since the first model; first segments are not changes.")
    counts = {
        reason_words(rate.reason): rate.changes for rate in summary.rates if rate.reason != "all"
    }
    if not counts:
        paragraph("There are no changes yet.")
        return
    chart(reasons_figure(counts), "reasons")
    for line in trust_lines(summary):
        paragraph(line)


def _freshness(overview: Answer, names: dict[int, str], colours: dict[int, str]) -> None:
    heading(
        "Freshness", "How long ago its customers were judged last, on average; time of the events."
    )
    rows = [
        (
            _side(fresh["segment_id"], "no segment yet", names, colours),
            text(f"{ago(fresh['seconds'])} ago"),
        )
        for fresh in overview["freshness"]
    ]
    html(table(("segment", "judged"), rows, numbers=(1,)))


def _after(overview: Answer, summary: Summary, words: Words) -> None:
    if not summary.aftermath:
        return
    seen = overview["looked_back"]
    sample = f" Of {words.people(seen)}, picked by chance." if seen < summary.customers else ""
    heading(
        "What followed a change",
        f"Mean spend in the eight weeks after a change, beside {words.customers} who stayed in the "
        f"same segment that day. An association, not an effect.{sample}",
    )
    chart(aftermath_figure(summary.aftermath, words), "aftermath")
