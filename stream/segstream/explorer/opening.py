"""From one page to another without a reload."""

from typing import Final

import streamlit as st

CUSTOMER_PAGE: Final = "_customer_page"
"""Where the session keeps the page, set by the script that makes the navigation."""


def open_customer(customer_id: str) -> None:
    """Go to the Customer page, showing one."""
    page = st.session_state.get(CUSTOMER_PAGE)
    st.session_state.pop("id", None)
    if page is not None:
        st.switch_page(page, query_params={"id": customer_id})
