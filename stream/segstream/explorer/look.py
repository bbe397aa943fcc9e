"""How the Explorer looks: the report's own parts within Streamlit's pages."""

from collections.abc import Sequence
from typing import Final

import plotly.graph_objects as go
import streamlit as st

from segstream.report.style import PARTS, ROOT

_OWN: Final = """
.segstream { color: var(--ink); line-height: 1.45; }
.segstream h3 { font-size: 1.05rem; margin: 0; padding: 0; overflow-wrap: anywhere; }
.segstream p { margin: 6px 0; }
.segstream .card, .segstream .tile { background: var(--paper); }
.segstream table, .segstream th, .segstream td { border-left: 0; border-right: 0; border-top: 0; }
.stAppHeader { display: none; }
.st-key-pages { border-bottom: 1px solid var(--line); padding-bottom: .4rem; }
.stMainBlockContainer { padding: 1.2rem 2rem 4rem; max-width: 1180px; margin: 0 auto; }
@media (max-width: 640px) {
  [class*="st-key-laptop-"] { display: none; }
  .stMainBlockContainer { padding: .8rem .8rem 3rem; }
}
"""
STYLE: Final = f"<style>{ROOT}{_OWN}.segstream {{ {PARTS} }}</style>"
# A figure keeps the height that it was drawn for, and no tool bar covers it.
_CHART: Final = {"displayModeBar": False, "responsive": True}


def html(*parts: str) -> None:
    """Show parts of `segstream.report.markup`; their texts are escaped there."""
    st.html(f'<div class="segstream">{"".join(parts)}</div>')


def chart(fig: go.Figure, key: str) -> None:
    """Show a figure; what was zoomed or turned stays so while the figure is renewed."""
    fig.update_layout(uirevision=key)
    st.plotly_chart(fig, theme=None, key=key, config=_CHART)


def wide_chart(fig: go.Figure, key: str) -> None:
    """Show a figure that a phone is too narrow for: there the table below it has to do."""
    with st.container(key=f"laptop-{key}"):
        chart(fig, key)


def heading(title: str, lead: str = "") -> None:
    """Title of a part of a page, with what it shows; plain text."""
    st.subheader(title, anchor=False)
    if lead:
        st.caption(plain(lead))


def paragraph(words: str) -> None:
    """Plain text, whatever signs are in it."""
    st.markdown(plain(words))


def notes(lines: Sequence[str]) -> None:
    """What the API wants known about its figures."""
    for line in lines:
        st.caption(plain(f"Note: {line}"))


def plain(words: str) -> str:
    r"""Keep Markdown from acting on names and amounts.

    >>> plain("$5 to $7")
    '\\$5 to \\$7'
    """
    return "".join(f"\\{c}" if c in "\\$*_`[]<>#:~|" else c for c in words)
