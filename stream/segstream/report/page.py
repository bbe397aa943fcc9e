"""report.html: one page that needs nothing beside itself, for a marketer.

Top down:

    attention ► segments ► buying ► places ► flows ► trust ► one customer ► sizes
    ► (folded) for analysts
"""

from typing import Final

import pandas as pd
from plotly.offline import get_plotlyjs

from segstream.report.analyst import analyst_part
from segstream.report.attention import attention_part
from segstream.report.buying import buying_part
from segstream.report.cards import segment_card
from segstream.report.facts import Facts, Summary
from segstream.report.figures import flow_figure, size_figure, timeline_figure
from segstream.report.markup import dot, figure, note, section, table, text
from segstream.report.places import places_section
from segstream.report.style import DRAW, ICON, STYLE
from segstream.report.trust import trust_part
from segstream.report.wording import activity
from segstream.report.words import Words, date_text

SHOWN_FLOWS: Final = 8
SHOWN_CHANGES: Final = 12


def page(facts: Facts) -> str:
    """Return the whole page."""
    summary = facts.summary
    words = Words(summary.customer_word, summary.currency)
    parts = _parts(facts, words) if summary.model else [_no_model(summary, words)]
    title = f"{summary.namespace}: customer segments"
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{text(title)}</title><link rel="icon" href="{ICON}">',
            f"<style>{STYLE}</style></head><body><main>",
            _header(summary, words),
            *parts,
            "</main>",
            f"<script>{get_plotlyjs()}</script><script>{DRAW}</script>" if summary.model else "",
            "</body></html>\n",
        )
    )


def _parts(facts: Facts, words: Words) -> list[str]:
    return [
        attention_part(facts, words),
        _segments(facts.summary, words),
        _buying(facts, words),
        places_section(facts.tables.insights),
        _flows(facts, words),
        trust_part(facts.summary, words),
        _timeline(facts, words),
        _sizes(facts, words),
        analyst_part(facts, words),
    ]


def _header(summary: Summary, words: Words) -> str:
    spend = "" if summary.spend_90d is None else (
        f" They spent {words.money(summary.spend_90d)} in the last 90 days."
    )  # fmt: skip
    return (
        f"<h1>{text(summary.namespace)}: {text(words.customers)} and where they are heading</h1>"
        f'<p class="lead">{text(words.people(summary.customers))}, {text(activity(summary))}.'
        f"{text(spend)}</p>"
    )


def _no_model(summary: Summary, words: Words) -> str:
    return section(
        "No segments yet",
        f"The first model is still waiting: {summary.waiting}.",
        note(
            f"{words.people(summary.customers)} are known so far. Segments come by themselves once "
            "there is enough to learn from; feed more events and look again."
        ),
        style="alert",
    )


# ---- segments ------------------------------------------------------------------------------


def _segments(summary: Summary, words: Words) -> str:
    cards = "".join(segment_card(segment, words) for segment in summary.segments)
    return section(
        "The segments",
        "As published today; spend and orders are those of the last 90 days.",
        f'<div class="cards">{cards}</div>',
    )


def _buying(facts: Facts, words: Words) -> str:
    tags = {s.id: dot(s.colour, s.name) for s in facts.summary.segments}
    return buying_part(facts.tables.insights, facts.summary.buying, tags, words)


# ---- flows and sizes -----------------------------------------------------------------------


def _flows(facts: Facts, words: Words) -> str:
    flows, tables = facts.tables.flows, facts.tables
    moved = flows[(flows["from_id"] != flows["to_id"]) & (flows["to_id"] >= 0)]
    total, known = int(moved["customers"].sum()), int(flows["customers"].sum())
    title = "Who moved in the last 30 days"
    if not total:
        return section(title, f"Nobody: all {words.customers} are where they were 30 days ago.")
    rows = [
        (_segment(facts, f), _segment(facts, t), f"{n:,}")
        for f, t, n in moved.head(SHOWN_FLOWS).itertuples(index=False)
    ]
    return section(
        title,
        f"{total:,} of {words.people(known)} are in another segment than 30 days ago; the others "
        "stayed and are left out here.",
        figure("flows", flow_figure(moved, tables.names, tables.colours), "laptop"),
        table(("30 days ago", "today", words.customers), rows, numbers=(2,)),
        note("The largest flows; there-and-back within the 30 days does not show."),
    )


def _segment(facts: Facts, segment_id: int) -> str:
    if segment_id < 0:
        return text("new")
    tables = facts.tables
    return dot(tables.colours.get(segment_id, "#999"), tables.names.get(segment_id, "unknown"))


def _sizes(facts: Facts, words: Words) -> str:
    tables, summary = facts.tables, facts.summary
    if tables.sizes.empty:
        return ""
    order = [segment.id for segment in summary.segments]
    fig = size_figure(tables.sizes, tables.waiting, tables.names, tables.colours, order)
    warm_up = (
        f" Shaded: the first {summary.warm_up_days:.0f} days, before the first model."
        if len(tables.waiting)
        else ""
    )
    redrawn = summary.changes.get("recluster", 0)
    steps = " A step on one day is a redrawing of the segments." if redrawn else ""
    return section(
        "Segment sizes over time",
        f"{words.customers.capitalize()} in each segment, day by day.{warm_up}{steps}",
        figure("sizes", fig),
    )


# ---- one customer --------------------------------------------------------------------------


def _timeline(facts: Facts, words: Words) -> str:
    timeline, tables = facts.tables.timeline, facts.tables
    if timeline is None:
        return ""
    fig = timeline_figure(timeline, tables.names, tables.colours, words)
    shown = timeline.changes.head(SHOWN_CHANGES)
    items = "".join(
        f"<li>{text(date_text(pd.Timestamp(str(c.time))))}: <b>{text(c.from_name)}</b> → "
        f"<b>{text(c.to_name)}</b>: {text(c.why)}</li>"
        for c in shown.itertuples(index=False)
    )
    more = len(timeline.changes) - len(shown)
    early = len(timeline.orders) and timeline.orders["day"].min() < timeline.bands["start"].min()
    white = " White: before the first segment." if early else ""
    measure = "spend" if timeline.orders["spend"].any() else "orders"
    bars = f"Bars: {measure} a day. " if len(timeline.orders) else ""
    return section(
        f"One {words.customer}, start to end: {timeline.customer_id}",
        f"{bars}Colours: the segment published at the time.{white} Numbers: changes, told below.",
        figure("timeline", fig),
        f'<ol class="changes">{items}</ol>',
        note(f"And {more:,} more.") if more else "",
    )
