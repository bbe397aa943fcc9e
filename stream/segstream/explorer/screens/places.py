"""Cities and coupons: who is there, what is redeemed, what differs, and what to do about it."""

from typing import Final

import streamlit as st

from segstream.explorer.client import Answer
from segstream.explorer.look import chart, heading, html, paragraph
from segstream.explorer.screens.segment_insights import within
from segstream.explorer.wording import named
from segstream.report.markup import table, text
from segstream.report.place_figures import Rated, rates_figure
from segstream.report.words import Words, percent

_TITLES: Final = {
    "city": "Cities", "coupon": "Coupons", "merchant": "Coupons by merchant",
    "branch": "Coupons by branch",
}  # fmt: skip
_MANY: Final = {
    "city": "cities", "coupon": "coupons", "merchant": "merchants", "branch": "branches",
}  # fmt: skip
_WAYS: Final = {"more": "more", "less": "less", "same": "no", "unknown": "too little to tell"}
_DRAWN: Final = 12
_ADVISED: Final = 6


def places_part(every: Answer, now: Answer, words: Words) -> None:
    """Draw every list there is; nothing where events name no city and no coupon."""
    lists = every.get("places", [])
    if not lists:
        return
    _head(lists, within(every))
    for one in lists:
        st.markdown(f"**{_TITLES[one['kind']]}**")
        for line in one["says"]:
            paragraph(line)
        if one["rows"]:
            _list(one, now, words)


def _head(lists: list[Answer], window: str) -> None:
    cities = any(one["kind"] == "city" for one in lists)
    coupons = any(one["claimed"] or one["redeemed"] for one in lists)
    title = "Cities and coupons" if cities and coupons else "Cities" if cities else "Coupons"
    if not any(one["claimed"] for one in lists):
        heading(title, f"Coupons redeemed{window}." if coupons else "")
        return
    heading(
        title,
        f"Coupons claimed{window}, and how many of them were redeemed since, with 95 % intervals; "
        "dark where one differs from the others by more than chance explains.",
    )


def _list(one: Answer, now: Answer, words: Words) -> None:
    rows = one["rows"]
    _advice([(row["value"], said) for row in rows for said in row["advice"]], one["kind"])
    rated = [row for row in rows if row["rate"] is not None][:_DRAWN]
    if rated and one["rate"] is not None:
        drawn = [
            Rated(named(one["kind"], row["value"]), row["rate"], row["low"], row["high"],
                  row["differs"] in ("more", "less"))
            for row in rated
        ]  # fmt: skip
        chart(rates_figure(drawn, one["rate"]), f"rates_{one['kind']}")
    many = f"{one['count']:,} {_MANY[one['kind']]}"
    whole = len(rows) == one["count"]
    with st.expander(f"All {many}" if whole else f"{len(rows):,} of {many}"):
        html(_figures(one, words))
        html(_by_segment(one, now, words))
        if one["without"] and one["kind"] == "city":
            paragraph(f"{words.people(one['without'])} told no city.")


def _advice(said: list[tuple[str, Answer]], kind: str) -> None:
    if not said:
        return
    html('<div class="cards">', *(_card(value, advice, kind) for value, advice in said[:_ADVISED]),
         "</div>")  # fmt: skip
    if len(said) > _ADVISED:
        table_of = "places" if kind == "city" else "coupons"
        paragraph(f"And {len(said) - _ADVISED:,} more: segstream export {table_of}")


def _card(value: str, advice: Answer, kind: str) -> str:
    actions = "".join(f"<li>{text(action)}</li>" for action in advice["actions"])
    return (
        '<article class="card" style="--colour: var(--ink)">'
        f"<h3>{text(named(kind, value))}: {text(advice['name'])}</h3>"
        f"<p>{text(advice['why'])}</p>"
        f'<div class="do"><b>Strategy:</b> {text(advice["strategy"])}<ul>{actions}</ul></div>'
        "</article>"
    )


def _figures(one: Answer, words: Words) -> str:
    """Coupons of each place; only redeemed ones, or customers alone, where that is all there is."""
    if not one["claimed"]:
        some = 3 if one["redeemed"] else 2
        plain = [(text(named(one["kind"], row["value"])), f"{row['customers']:,}",
                  f"{row['redeemed']:,}")[:some] for row in one["rows"]]  # fmt: skip
        return table((one["kind"], words.customers, "redeemed")[:some], plain, numbers=(1, 2))
    head = (one["kind"], words.customers, "claimed", "of those redeemed", "rate", "95 % interval",
            "differs")  # fmt: skip
    rows = [
        (
            text(named(one["kind"], row["value"])), f"{row['customers']:,}",
            f"{row['claimed']:,}", f"{row['claimed_redeemed']:,}", _share(row["rate"]),
            _between(row["low"], row["high"]), text(_WAYS[row["differs"]]),
        )
        for row in (*one["rows"], {**one, "value": "all", "differs": "unknown"})
    ]  # fmt: skip
    rows[-1] = (f"<b>{rows[-1][0]}</b>", *rows[-1][1:-1], "")
    return table(head, rows, numbers=(1, 2, 3, 4, 5, 6), style="stack")


def _by_segment(one: Answer, now: Answer, words: Words) -> str:
    """Customers of each place by segment."""
    known = {s["id"]: s for s in now["segments"]}
    ids = [own["segment_id"] for own in one["rows"][0]["segments"] if own["segment_id"] in known]
    rows = []
    for row in one["rows"]:
        own = {s["segment_id"]: f"{s['customers']:,}" for s in row["segments"]}
        rows.append((text(named(one["kind"], row["value"])), *(own.get(i, "") for i in ids)))
    head = (f"{words.customers} by segment", *(known[i]["name"] for i in ids))
    return table(head, rows, numbers=tuple(range(1, len(ids) + 1)), style="stack")


def _share(value: float | None) -> str:
    return "-" if value is None else text(percent(value))


def _between(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{100 * low:.0f} to {100 * high:.0f} %"


# ---- one segment ---------------------------------------------------------------------------


def segment_places(every: Answer, found: Answer, words: Words) -> None:
    """Say in which cities a segment is more or less frequent than in the others."""
    cities = next((one for one in every.get("places", []) if one["kind"] == "city"), None)
    if cities is None or not cities["rows"]:
        return
    own = [
        (row, part)
        for row in cities["rows"]
        for part in row["segments"]
        if part["segment_id"] == found["id"] and part["lift"] is not None
    ]
    heading("Where they live", f"Its share of each city's {words.customers}, over its share of all "
            "of them (lift), with the 95 % interval.")  # fmt: skip
    differing = [(row, part) for row, part in own if part["differs"] in ("more", "less")]
    if all(part["differs"] == "unknown" for _, part in own):
        paragraph(f"There are too few {words.customers} to tell cities apart.")
    elif not differing:
        paragraph(
            f"In no city are its {words.customers} a larger or smaller part than chance explains "
            "among so many cities."
        )
    _advice(
        [(row["value"], said) for row, _ in differing for said in row["advice"]
         if said["segment_id"] == found["id"]], "city",
    )  # fmt: skip
    if differing:
        html(_lifts(differing, words))
    own.sort(key=lambda pair: (-pair[1]["lift"], pair[0]["value"]))
    with st.expander(f"The lift in {len(own):,} cities"):
        html(_lifts(own, words))


def _lifts(rows: list[tuple[Answer, Answer]], words: Words) -> str:
    return table(
        ("city", f"its {words.customers}", f"of the city's {words.customers}", "lift",
         "95 % interval", "differs"),
        [
            (text(row["value"]), f"{part['customers']:,}", text(percent(part["share"])),
             f"{part['lift']:.2f}", f"{part['low']:.2f} to {part['high']:.2f}",
             text(_WAYS[part["differs"]]))
            for row, part in rows
        ],
        numbers=(1, 2, 3, 4, 5),
        style="stack",
    )  # fmt: skip
