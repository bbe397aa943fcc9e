"""The script that Streamlit runs for each reader: navigation, and the page chosen.

Its arguments are the API's address and a key.
"""

import sys
from collections.abc import Callable

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from segstream.explorer.client import Api
from segstream.explorer.following import follow
from segstream.explorer.look import STYLE
from segstream.explorer.opening import CUSTOMER_PAGE
from segstream.explorer.screens import customer, map_page, model, overview, segment, what_if
from segstream.report.style import ICON


def main(url: str, key: str) -> None:
    """Draw the page that is asked for."""
    st.set_page_config("Segment Explorer", page_icon=ICON, layout="wide")
    st.html(STYLE)
    api = _api(url, key)
    pages = [
        _page(api, overview.page, "Overview", ":material/dashboard:", ""),
        _page(api, segment.page, "Segment", ":material/group:", "segment"),
        _page(api, map_page.page, "Map", ":material/scatter_plot:", "map"),
        _page(api, customer.page, "Customer", ":material/person:", "customer"),
        _page(api, what_if.page, "What if", ":material/edit_note:", "what-if"),
        _page(api, model.page, "Model", ":material/hub:", "model"),
    ]
    st.session_state[CUSTOMER_PAGE] = pages[3]
    chosen = st.navigation(pages, position="hidden")
    # Streamlit's own navigation is a drawer on a phone, and stays open over the page.
    with st.container(horizontal=True, gap="small", key="pages"):
        for page in pages:
            st.page_link(page)
    chosen.run()


@st.cache_resource(show_spinner=False)
def _api(url: str, key: str) -> Api:
    """One client, and so one pool of connections, for all readers."""
    return Api(url, key)


def _page(api: Api, draw: Callable[[Api], None], title: str, icon: str, path: str) -> StreamlitPage:
    return st.Page(
        lambda: follow(draw, api), title=title, icon=icon, url_path=path or None, default=not path
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
