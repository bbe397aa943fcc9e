"""Promote, roll back, fit anew: asked for, confirmed with a second click, done as the day closes.

The question stands on the page, not in a window over it: the page renews itself, and would close
it.
"""

from dataclasses import dataclass
from typing import Final

import streamlit as st

from segstream.explorer.client import Answer, Api, ApiError
from segstream.explorer.look import heading, paragraph, plain

CANDIDATE: Final = "candidate"
_ASKED, _NOTED = "_command_asked", "_command_noted"


@dataclass(frozen=True, slots=True)
class Request:
    """What a person is about to ask for.

    Attributes
    ----------
    path
        Of the API, to post to.
    """

    title: str
    what: str
    path: tuple[str, ...]


def commands_part(api: Api, models: Answer, now: Answer) -> None:
    """Buttons, the question, what waits, and what became of the last request."""
    heading("Which model serves", "A command takes effect when the UTC day closes, one a day.")
    for command in models["commands"]:
        st.info(f"Waiting: {command}", icon=":material/schedule:")
    if _NOTED in st.session_state:
        done, words = st.session_state[_NOTED]
        (st.success if done else st.error)(plain(words))
    _buttons(models, now)
    if _ASKED in st.session_state:
        _question(api, st.session_state[_ASKED])


def _buttons(models: Answer, now: Answer) -> None:
    earlier = [
        row["last"] or row["version"]
        for row in reversed(models["models"])
        if row["version"] and now["model"] not in (row["version"], row["last"])
    ]
    refused = any(row["reason"] == "refused" for row in models["models"])
    left, middle, right = st.columns(3, vertical_alignment="bottom")
    with left:
        target = st.selectbox("Earlier model", earlier, key="earlier", disabled=not earlier,
                              placeholder="none yet")  # fmt: skip
        st.button("Roll back", disabled=not earlier, width="stretch",
                  on_click=_ask, args=(_rollback(target or ""),))  # fmt: skip
    middle.button("Promote the refused candidate", disabled=not refused, width="stretch",
                  help=None if refused else "No candidate was refused so far.",
                  on_click=_ask, args=(_PROMOTE,))  # fmt: skip
    right.button("Fit anew", width="stretch", on_click=_ask, args=(_FIT,))


def _rollback(version: str) -> Request:
    return Request(
        f"Roll back to model {version}",
        f"The segments of model {version} serve again under a new number, with their ids and "
        "names; customers get their former segments back.",
        ("models", version, "rollback"),
    )


_PROMOTE: Final = Request(
    "Promote the refused candidate",
    "The candidate that the gate refused last serves, whatever the gate says.",
    ("models", CANDIDATE, "promote"),
)
_FIT: Final = Request(
    "Fit the customers anew",
    "A new fit with as many segments as now serves, whatever the gate says.",
    ("models", "recluster"),
)


def _ask(request: Request) -> None:
    st.session_state[_ASKED] = request
    st.session_state.pop(_NOTED, None)


def _question(api: Api, request: Request) -> None:
    with st.container(border=True):
        st.markdown(f"**{plain(request.title)}?**")
        paragraph(request.what)
        paragraph("Many customers may get another segment, with a change published for each.")
        yes, no, _ = st.columns(3)
        yes.button("Yes, do it", type="primary", width="stretch", on_click=_do, args=(api, request))
        no.button("Cancel", width="stretch", on_click=_forget)


def _forget() -> None:
    st.session_state.pop(_ASKED, None)


def _do(api: Api, request: Request) -> None:
    _forget()
    title = f"{request.title[0].lower()}{request.title[1:]}"
    try:
        noted = api.post(*request.path)
    except ApiError as error:
        st.session_state[_NOTED] = (False, f"Could not {title}: {error.detail}")
        return
    st.session_state[_NOTED] = (
        True, f"Noted: {title}. It takes effect when the UTC day {noted['takes_effect']} closes.",
    )  # fmt: skip
