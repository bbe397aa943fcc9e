"""Countries and products over all customers: the Overview's last part."""

from typing import Final

import streamlit as st

from segstream.explorer.client import Answer
from segstream.explorer.look import heading, html
from segstream.explorer.screens.segment_insights import within
from segstream.report.markup import table, text
from segstream.report.words import Words

_COUNTRIES: Final = 12


def bought_part(every: Answer, words: Words) -> None:
    """Draw what there is of both; nothing where events carry neither."""
    countries, products = every["countries"], every["top_products"]
    if countries:
        heading(f"{words.customers.capitalize()} per country")
        found = [(text(c["name"]), f"{c['customers']:,}") for c in countries]
        html(table(("country", words.customers), found[:_COUNTRIES], numbers=(1,)))
        if len(found) > _COUNTRIES:
            with st.expander(f"All {len(found)} countries"):
                html(table(("country", words.customers), found, numbers=(1,)))
    if products:
        heading("Most bought", f"By orders{within(every)}.")
        with st.expander(f"The {len(products)} most bought products"):
            rows = [
                (text(p["name"] or p["id"]), f"{p['orders']:,}", f"{p['customers']:,}",
                 text(words.money(p["revenue"])))
                for p in products
            ]  # fmt: skip
            html(table(("product", "orders", words.customers, "revenue"), rows,
                       numbers=(1, 2, 3), style="stack"))  # fmt: skip
