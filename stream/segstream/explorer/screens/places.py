"""Cities and coupons: who is there, what is redeemed, what differs, and what to do about it."""

import msgspec
import streamlit as st

from segstream.core.places_answer import Place, Places, PlaceSegment
from segstream.core.places_words import PLURAL
from segstream.explorer.client import Answer
from segstream.explorer.look import chart, heading, html, paragraph
from segstream.explorer.screens.segment_insights import within
from segstream.report.markup import table, text
from segstream.report.places import (
    TITLES,
    WAYS,
    advice_cards,
    advised,
    by_segment_table,
    drawn_text,
    figures_table,
    head,
    rates,
)
from segstream.report.words import Words, percent


def _lists(every: Answer) -> list[Places]:
    return msgspec.convert(every.get("places", []), list[Places])


def places_part(every: Answer, now: Answer, words: Words) -> None:
    """Draw every list there is; nothing where events name no city and no coupon."""
    lists = _lists(every)
    if not lists:
        return
    heading(*head(lists, within(every)))
    names = {s["id"]: s["name"] for s in now["segments"]}
    for one in lists:
        st.markdown(f"**{TITLES[one.kind]}**")
        for line in one.says:
            paragraph(line)
        if one.rows:
            _list(one, names, words)


def _list(one: Places, names: dict[int, str], words: Words) -> None:
    cards = advice_cards(one.kind, advised(one))
    if cards:
        html(cards)
    drawn = rates(one)
    if drawn is not None:
        chart(drawn, f"rates_{one.kind}")
        if drawn_text(one):
            st.caption(drawn_text(one))
    many, shown = f"{one.count:,} {PLURAL[one.kind]}", len(one.rows)
    with st.expander(f"All {many}" if shown == one.count else f"{shown:,} of {many}"):
        html(figures_table(one, words), by_segment_table(one, names, words))
        if one.without and one.kind == "city":
            paragraph(f"{words.people(one.without)} told no city.")


# ---- one segment ---------------------------------------------------------------------------


def segment_places(every: Answer, found: Answer, words: Words) -> None:
    """Say in which cities a segment is more or less frequent than in the others."""
    cities = next((one for one in _lists(every) if one.kind == "city"), None)
    own = [
        (row, part)
        for row in (cities.rows if cities else ())
        for part in row.segments
        if part.segment_id == found["id"] and part.lift is not None
    ]
    if not own:
        return
    heading("Where they live", f"Its share of each city's {words.customers}, over its share of all "
            "of them (lift), with the 95 % interval.")  # fmt: skip
    differing = [(row, part) for row, part in own if part.differs in ("more", "less")]
    if all(part.differs == "unknown" for _, part in own):
        paragraph(f"There are too few {words.customers} to tell cities apart.")
    elif not differing:
        paragraph(
            f"In no city are its {words.customers} a larger or smaller part than chance explains "
            "among so many cities."
        )
    else:
        said = [(row, one) for row, _ in differing for one in row.advice
                if one.segment_id == found["id"]]  # fmt: skip
        html(advice_cards("city", said), _lifts(differing, words))
    own.sort(key=lambda pair: (-(pair[1].lift or 0.0), pair[0].value))
    with st.expander(f"The lift in {len(own):,} cities"):
        html(_lifts(own, words))


def _lifts(rows: list[tuple[Place, PlaceSegment]], words: Words) -> str:
    return table(
        ("city", f"its {words.customers}", f"of the city's {words.customers}", "lift",
         "95 % interval", "differs"),
        [
            (text(row.value), f"{part.customers:,}", text(percent(part.share)),
             f"{part.lift:.2f}", f"{part.low:.2f} to {part.high:.2f}", text(WAYS[part.differs]))
            for row, part in rows
        ],
        numbers=(1, 2, 3, 4, 5),
        style="stack",
    )  # fmt: skip
