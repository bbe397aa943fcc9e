"""Cities and coupons for a reader: what differs, what to do, and the figures behind it."""

from typing import Final

import plotly.graph_objects as go

from segstream.core.insights_answer import InsightsTable
from segstream.core.places_answer import Advice, Place, Places
from segstream.report.markup import figure, note, section, table, text
from segstream.report.place_figures import Rated, rates_figure
from segstream.report.words import Words, percent

TITLES: Final = {
    "city": "Cities", "coupon": "Coupons", "merchant": "Coupons by merchant",
    "branch": "Coupons by branch",
}  # fmt: skip
WAYS: Final = {"more": "more", "less": "less", "same": "no", "unknown": "too little to tell"}
_DRAWN: Final = 12
_ADVISED: Final = 6


def named(kind: str, value: str) -> str:
    """What a reader calls a merchant or city: a number alone says nothing.

    >>> named("merchant", "15"), named("city", "Cairo")
    ('merchant 15', 'Cairo')
    """
    return f"{kind} {value}" if value.isdecimal() else value


def head(lists: list[Places], window: str) -> tuple[str, str]:
    """Return title and lead of all lists; `window` is as in " in 112 days"."""
    cities = any(one.kind == "city" for one in lists)
    coupons = any(one.claimed or one.redeemed for one in lists)
    title = "Cities and coupons" if cities and coupons else "Cities" if cities else "Coupons"
    if not any(one.claimed for one in lists):
        return title, f"Coupons redeemed{window}." if coupons else ""
    return title, (
        f"Coupons claimed{window}, and how many of them were redeemed since, with 95 % intervals; "
        "dark where one differs from the others by more than chance explains."
    )


def rates(one: Places) -> go.Figure | None:
    """Draw the first places' rates; None where there are none."""
    drawn = [
        Rated(named(one.kind, row.value), row.rate, row.low, row.high,
              row.differs in ("more", "less"))
        for row in one.rows
        if row.rate is not None and row.low is not None and row.high is not None
    ]  # fmt: skip
    return rates_figure(drawn[:_DRAWN], one.rate) if drawn and one.rate is not None else None


def drawn_text(one: Places) -> str:
    """Say which are drawn; nothing where all are."""
    if one.count <= _DRAWN:
        return ""
    return f"Drawn: {_DRAWN} of {one.count:,}, what differs first, then by coupons claimed."


# ---- what to do ----------------------------------------------------------------------------


def advice_cards(kind: str, said: list[tuple[Place, Advice]]) -> str:
    """Cards of what the playbook says, and how many more there are."""
    if not said:
        return ""
    cards = "".join(_card(kind, place, advice) for place, advice in said[:_ADVISED])
    more = f"And {len(said) - _ADVISED:,} more: segstream export {_export(kind)}"
    return f'<div class="cards">{cards}</div>{note(more) if len(said) > _ADVISED else ""}'


def advised(one: Places) -> list[tuple[Place, Advice]]:
    """All that is said of a list, in its order."""
    return [(row, said) for row in one.rows for said in row.advice]


def _card(kind: str, place: Place, advice: Advice) -> str:
    actions = "".join(f"<li>{text(action)}</li>" for action in advice.actions)
    return (
        '<article class="card" style="--colour: var(--ink)">'
        f"<h3>{text(named(kind, place.value))}: {text(advice.name)}</h3>"
        f"<p>{text(advice.why)}</p>"
        f'<div class="do"><b>Strategy:</b> {text(advice.strategy)}<ul>{actions}</ul></div>'
        "</article>"
    )


def _export(kind: str) -> str:
    return "places" if kind == "city" else "coupons"


# ---- figures -------------------------------------------------------------------------------


def figures_table(one: Places, words: Words) -> str:
    """Coupons of each place; only redeemed ones, or customers alone, where that is all there is."""
    if not one.claimed:
        some = 3 if one.redeemed else 2
        plain = [(text(named(one.kind, row.value)), f"{row.customers:,}",
                  f"{row.redeemed:,}")[:some] for row in one.rows]  # fmt: skip
        return table((one.kind, words.customers, "redeemed")[:some], plain, numbers=(1, 2))
    titles = (one.kind, words.customers, "claimed", "of those redeemed", "rate", "95 % interval",
              "differs")  # fmt: skip
    rows = [
        (text(named(one.kind, row.value)), *_coupons(row), text(WAYS[row.differs]))
        for row in one.rows
    ]
    rows.append(("<b>all</b>", *_coupons(one), ""))
    return table(titles, rows, numbers=(1, 2, 3, 4, 5, 6), style="stack")


def _coupons(row: Place | Places) -> tuple[str, str, str, str, str]:
    known = row.rate is not None and row.low is not None and row.high is not None
    return (
        f"{row.customers:,}", f"{row.claimed:,}", f"{row.claimed_redeemed:,}",
        text(percent(row.rate or 0.0)) if known else "-",
        f"{100 * (row.low or 0.0):.0f} to {100 * (row.high or 0.0):.0f} %" if known else "-",
    )  # fmt: skip


def by_segment_table(one: Places, names: dict[int, str], words: Words) -> str:
    """Customers of each place by segment."""
    ids = [own.segment_id for own in one.rows[0].segments if own.segment_id in names]
    rows = []
    for row in one.rows:
        own = {part.segment_id: f"{part.customers:,}" for part in row.segments}
        rows.append((text(named(one.kind, row.value)), *(own.get(i, "") for i in ids)))
    titles = (f"{words.customers} by segment", *(names[i] for i in ids))
    return table(titles, rows, numbers=tuple(range(1, len(titles))), style="stack")


# ---- the report ----------------------------------------------------------------------------


def places_section(found: InsightsTable | None) -> str:
    """Section of the page; empty where there is nothing to say of cities or coupons."""
    # Of coupons that are only redeemed, or cities too small to compare, an export says as much.
    lists = [one for one in found.places if one.says and (one.claimed or one.kind == "city")
             ] if found else []  # fmt: skip
    if found is None or not lists:
        return ""
    title, lead = head(lists, f" in the last {found.window_days:,} days")
    parts = [part for one in lists for part in _list(one)]
    more = " and ".join(
        f"segstream export {what}" for what in dict.fromkeys(_export(one.kind) for one in lists)
    )
    return section(title, lead, *parts, note(f"All of it: {more}"))


def _list(one: Places) -> list[str]:
    """Sentences and cards; drawn are cities, and what differs."""
    differs = one.kind == "city" or one.redemption.differ
    fig = rates(one) if differs else None
    return [
        f"<h3>{text(TITLES[one.kind])}</h3>",
        *(f"<p>{text(line)}</p>" for line in one.says),
        advice_cards(one.kind, advised(one)),
        figure(f"rates-{one.kind}", fig) if fig is not None else "",
        note(drawn_text(one)) if fig is not None and drawn_text(one) else "",
    ]
