"""One customer: events, features and changes over time, and why it is where it is."""

import pandas as pd
import streamlit as st

from segstream.explorer.client import Answer, Api, ApiError
from segstream.explorer.following import kept, segments
from segstream.explorer.look import chart, heading, html, paragraph
from segstream.explorer.wording import names_and_colours, reason_words, words_of
from segstream.report.change_figures import drivers_figure
from segstream.report.figures import timeline_figure
from segstream.report.markup import dot, table, text, tiles
from segstream.report.palette import UNASSIGNED
from segstream.report.timeline import Timeline
from segstream.report.words import Words, date_text, number


def page(api: Api) -> None:
    """Draw the page."""
    now = segments(api)
    if now is None:
        return
    words = words_of(now)
    overview = kept(api, now, "overview")
    asked = st.query_params.get("id") or overview.get("examples", {}).get("customer", "")
    st.title(f"One {words.customer}", anchor=False)
    wanted = st.text_input(f"Id of the {words.customer}, as in the feed", value=asked, key="id")
    if not wanted:
        paragraph(f"Type an id, or choose a {words.customer} on the Segment page.")
        return
    try:
        found = kept(api, now, "customers", wanted)
    except ApiError as error:
        if error.status != 404:
            raise
        st.warning(f"There is no {words.customer} of that id.", icon=":material/search_off:")
        paragraph(error.detail)
        return
    names, colours = names_and_colours(overview, now)
    names = {h["to_id"]: h["to"] for h in found["history"] if h["to"]} | names
    _head(found, words, colours)
    _timeline(found, words, names, colours)
    _why(kept(api, now, "customers", wanted, "why"), found, words, colours)
    _features(found)
    _history(found, names, colours)


def _head(found: Answer, words: Words, colours: dict[int, str]) -> None:
    segment = found["segment_id"]
    colour = UNASSIGNED if segment is None else colours.get(segment, UNASSIGNED)
    since = f"since {_date(found['since'])}" if found["since"] else "no segment yet"
    changes = found["history"][-1]["sequence"] if found["history"] else 0
    html(
        f'<article class="card" style="--colour: {text(colour)}">',
        f"<h3>{text(found['customer_id'])}: {text(found['segment'] or 'unassigned')}</h3>",
        tiles((
            (since, f"as of {_date(found['as_of'])}"),
            (f"{changes:,}", "published changes, the first segment included"),
        )), "</article>",
    )  # fmt: skip
    nearest = found["nearest_id"]
    if None not in (segment, nearest) and nearest != segment:
        name = next(d["name"] for d in found["distances"] if d["segment_id"] == nearest)
        paragraph(f"{name} is nearer by now; the margin holds the {words.customer} back.")


def _date(moment: str) -> str:
    return date_text(pd.Timestamp(moment))


def _timeline(found: Answer, words: Words, names: dict[int, str], colours: dict[int, str]) -> None:
    heading(
        "Timeline",
        "Bars: orders by day. Colours: the segment published at the time. Numbers: the changes "
        "told below.",
    )
    chart(timeline_figure(_laid_out(found), names, colours, words), "timeline")
    if found["orders"] is None:
        paragraph("Orders by day are not kept here; the segments are.")


def _laid_out(found: Answer) -> Timeline:
    """Make the report's timeline out of an answer."""
    history = found["history"]
    starts = [pd.Timestamp(h["time"]) for h in history]
    ends = [*starts[1:], pd.Timestamp(found["as_of"])]
    bands = pd.DataFrame(
        [
            (h["to_id"], h["to"], start, end)
            for h, start, end in zip(history, starts, ends, strict=False)
            if h["to_id"] is not None
        ],
        columns=["segment_id", "name", "start", "end"],
    )
    times = [t for h, t in zip(history, starts, strict=True) if h["from_id"] is not None]
    orders = pd.DataFrame(found["orders"] or [], columns=["day", "orders", "spend"])
    orders["day"] = pd.to_datetime(orders["day"], utc=True)
    changes = pd.DataFrame({"time": pd.Series(times, dtype="datetime64[ns, UTC]")})
    typed = orders.astype({"orders": "int64", "spend": "float64"})
    return Timeline(found["customer_id"], typed, bands, changes)


def _why(why: Answer, found: Answer, words: Words, colours: dict[int, str]) -> None:
    heading("Why here")
    if why["next"] is None or not why["drivers"]:
        paragraph("There is no other segment to compare with.")
        return
    by_name = {d["name"]: d["segment_id"] for d in found["distances"]}
    own, other = why["segment"] or "unassigned", why["next"]
    held = "speaks for" if (why["margin"] or 0.0) >= 0 else "no longer speaks for"
    paragraph(
        f"What separates this {words.customer} from {other}, the next segment. In all it {held} "
        f"{own}: squared distance {abs(why['margin'] or 0.0):.2f} "
        f"{'less' if (why['margin'] or 0.0) >= 0 else 'more'} than to {other}."
    )
    shades = (colours.get(by_name.get(own, -1), UNASSIGNED),
              colours.get(by_name.get(other, -1), UNASSIGNED))  # fmt: skip
    drivers = why["drivers"]
    chart(
        drivers_figure([d["label"] for d in drivers], [d["contribution"] for d in drivers],
                       (own, other), shades),
        "drivers",
    )  # fmt: skip
    units = {f["name"]: f["unit"] for f in found["features"]}
    rows = [
        (text(d["label"]), *(text(words.value(d[part], units.get(d["feature"], "")))
                             for part in ("value", "segment_average", "next_average")))
        for d in drivers
    ]  # fmt: skip
    html(table(("feature", f"this {words.customer}", own, other), rows, numbers=(1, 2, 3),
               style="stack"))  # fmt: skip
    _last_change(why["last_change"], found)


def _last_change(change: Answer | None, found: Answer) -> None:
    if change is None:
        return
    labels = {f["name"]: f["label"] for f in found["features"]}
    drivers = [
        f"{labels.get(d['feature'], d['feature'])} {_known(d['value'])} (average there "
        f"{_known(d['to_average'])})"
        for d in change["drivers"]
    ]
    paragraph(
        f"Moved last on {_date(change['time'])}, {reason_words(change['reason'])}: "
        f"{change['from'] or 'no segment'} to {change['to'] or 'none'}"
        + (f"; {', '.join(drivers)}." if drivers else ".")
    )


def _known(value: float | None) -> str:
    return "unknown" if value is None else number(value)


def _features(found: Answer) -> None:
    heading("Features")
    rows = [
        (text(f["label"]), text(f["text"]), text(f["population_text"])) for f in found["features"]
    ]
    html(table(("feature", "value", "everybody's mean"), rows, numbers=(1, 2)))


def _history(found: Answer, names: dict[int, str], colours: dict[int, str]) -> None:
    heading("Changes", "Names are those of the time; colours belong to the segment's id.")
    changed = 0
    rows = []
    for h in found["history"]:
        changed += h["from_id"] is not None
        rows.append((
            str(changed) if h["from_id"] is not None else "", text(_date(h["time"])),
            _dotted(h["from_id"], h["from"], names, colours),
            _dotted(h["to_id"], h["to"], names, colours), text(reason_words(h["reason"])),
        ))  # fmt: skip
    html(table(("", "when", "from", "to", "why"), rows[::-1]))


def _dotted(
    segment: int | None, name: str | None, names: dict[int, str], colours: dict[int, str]
) -> str:
    if segment is None:
        return "-"
    return dot(colours.get(segment, UNASSIGNED), name or names.get(segment, f"segment {segment}"))
