"""What a segment's customers buy and who they are: the Segment page's lower half."""

from typing import Final

import streamlit as st

from segstream.explorer.client import Answer, Api
from segstream.explorer.following import kept
from segstream.explorer.look import chart, heading, html, notes, paragraph
from segstream.report.insight_figures import (
    Bought,
    likelihood_figure,
    shares_figure,
    used_figure,
)
from segstream.report.markup import table, text
from segstream.report.places import named
from segstream.report.words import Words, percent

_SHOWN: Final = 10
SHARES: Final = {
    "gender": "Gender", "city": "City", "country": "Country", "channel": "Channel",
    "merchant": "Merchant", "branch": "Branch", "coupon": "Coupon use",
}  # fmt: skip

_SEVERAL: Final = frozenset({"channel", "merchant", "branch", "coupon"})
"""Of these a customer may have several."""


def insights_part(api: Api, now: Answer, found: Answer, words: Words) -> None:
    """Draw products, pairs and shares, or say why there are none."""
    group = found["insights"]
    if group is None:
        heading("What they buy")
        paragraph(
            "Nothing was counted: products come from events with a product_id or items, shares "
            "from events with a city, country, channel and the like. See docs/events.md."
        )
        return
    every = kept(api, now, "insights")
    _products(group, every, found, words)
    _pairs(group)
    _shares(every, now)
    notes(every["notices"])


def within(every: Answer) -> str:
    """Say over which days was counted; nothing where over all."""
    return f" in {every['window_days']:,.0f} days" if every["window_days"] else ""


def _products(group: Answer, every: Answer, found: Answer, words: Words) -> None:
    kinds = {k: t for k, t in (("products", "Products"), ("categories", "Categories")) if group[k]}
    if not kinds:
        return
    heading(
        "What they buy",
        f"Share of the segment's {words.customers} who bought it{within(every)}, "
        "with its 95 % interval. Lift: that share over everybody's."
        + ("" if every["exact"] else f" From a sketch, off by at most {every['error']:.2g}."),
    )
    # Products that nobody named are numbers to a reader: then categories come first.
    named = any(p["name"] != p["id"] for p in group["products"])
    first = "products" if named or "categories" not in kinds else "categories"
    kind = st.segmented_control("Of", list(kinds), format_func=lambda k: kinds.get(k, k),
                                default=first, label_visibility="collapsed",
                                required=True)  # fmt: skip
    kind = kind or first
    shown = group[kind][:_SHOWN]
    everybody = {p["id"]: p["likelihood"] for p in every["all"][kind]}
    rows = [
        Bought(p["name"] or p["id"], p["likelihood"], p["low"], p["high"],
               everybody.get(p["id"]) or _from_lift(p))
        for p in shown
    ]  # fmt: skip
    chart(likelihood_figure(rows, found["name"], found["colour"]), "likelihoods")
    html(
        table(
            ("product", words.customers, "likelihood", "lift", "95 % interval of lift", "revenue"),
            [_product_row(p, words) for p in shown],
            numbers=(1, 2, 3, 4, 5),
            style="stack",
        )
    )


def _from_lift(product: Answer) -> float | None:
    """Everybody's likelihood of a product that is not among everybody's listed ones."""
    return product["likelihood"] / product["lift"] if product["lift"] else None


def _product_row(p: Answer, words: Words) -> tuple[str, ...]:
    lift = [p["lift"], p["lift_low"], p["lift_high"]]
    told = ["-" if value is None else f"{value:.2f}" for value in lift]
    return (
        text(p["name"] or p["id"]), f"{p['customers']:,}", text(percent(p["likelihood"])),
        told[0], f"{told[1]} to {told[2]}", text(words.money(p["revenue"])),
    )  # fmt: skip


def _pairs(group: Answer) -> None:
    if not group["pairs"]:
        return
    heading("Bought together", "For cross-selling: of baskets with the first, how many had both.")
    rows = [
        (text(pair["a_name"]), text(pair["b_name"]), f"{pair['baskets']:,}",
         text(percent(pair["confidence"])), f"{pair['lift']:.2f}")
        for pair in group["pairs"][:_SHOWN]
    ]  # fmt: skip
    html(table(("who bought", "also bought", "baskets", "of baskets with the first", "lift"), rows,
               numbers=(2, 3, 4), style="stack"))  # fmt: skip


def _shares(every: Answer, now: Answer) -> None:
    names = {str(s["id"]): s["name"] for s in now["segments"]}
    colours = {s["name"]: s["colour"] for s in now["segments"]}
    found = {
        key: title
        for key, title in SHARES.items()
        if any(g["shares"].get(key) for g in every["segments"].values())
    }
    if not found:
        return
    heading("Who they are", "Every segment beside everybody.")
    for key, title in found.items():
        st.markdown(f"**{title}**")
        shares = {"everybody": _by_value(every["all"]["shares"].get(key, []))}
        shares |= {
            name: _by_value(every["segments"][i]["shares"].get(key, []))
            for i, name in names.items()
            if i in every["segments"]
        }
        if key in _SEVERAL:
            told = {s: {named(key, v): x for v, x in own.items()} for s, own in shares.items()}
            chart(used_figure(told, colours), f"shares_{key}")
        else:
            chart(shares_figure(shares), f"shares_{key}")


def _by_value(rows: list[Answer]) -> dict[str, float]:
    return {str(row["value"]): row["share"] for row in rows}
