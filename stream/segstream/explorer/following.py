"""A page that follows the stream, and says what to do where it cannot."""

from collections.abc import Callable
from typing import Final

import streamlit as st

from segstream.explorer.client import Answer, Api, ApiError
from segstream.explorer.look import paragraph

EVERY_S: Final = 5
"""A stream's instants are a minute apart; a person looks up more often."""
_KEPT: Final = 64


def follow(page: Callable[[Api], None], api: Api) -> None:
    """Show a page and renew it by itself, without a reload."""

    @st.fragment(run_every=EVERY_S)
    def renewed() -> None:
        try:
            page(api)
        except ApiError as error:
            tell(error, api.url)

    renewed()


def segments(api: Api) -> Answer | None:
    """Return the living segments; None, and what to do, where there is no model yet."""
    found = api.get("segments")
    if found["model"]:
        return found
    no_model(api)
    return None


def no_model(api: Api) -> None:
    """Say what the first model waits for."""
    overview = api.get("overview")
    st.info("No segments yet", icon=":material/hourglass_empty:")
    waiting = overview.get("waiting") or "more events"
    paragraph(f"The first model is still waiting: {waiting}.")
    paragraph(
        f"{overview['customers']:,} {overview['customer_word']}s are known so far. Segments come "
        "by themselves once there is enough to learn from: feed more events. This page shows them "
        "as soon as they are there. Bringing your own: segstream models import."
    )


def kept(api: Api, at: Answer, *path: object, **query: str | int) -> Answer:
    """Return what is at a path, asked for anew only when the stream has moved on.

    Parameters
    ----------
    at
        An answer of /segments: its `as_of` and `model` say where the stream stands.
    """
    store: dict[object, Answer] = st.session_state.setdefault("_answers", {})
    name = (path, tuple(query.items()), at["as_of"], at["model"])
    if name not in store:
        while len(store) >= _KEPT:
            store.pop(next(iter(store)))
        with st.spinner("Reading …"):
            store[name] = api.get(*path, **query)
    return store[name]


def tell(error: ApiError, url: str) -> None:
    """Say what went wrong and what to do about it."""
    title, remedy = _words(error, url)
    st.error(title, icon=":material/error:")
    paragraph(remedy)
    paragraph(f"The API says: {error.detail}")


def _words(error: ApiError, url: str) -> tuple[str, str]:
    match error.status:
        case None:
            return (
                "The API does not answer",
                (
                    f"Expected the HTTP API at {url}. Start it with segstream serve, or give its "
                    "address with --api. This page tries again by itself."
                ),
            )
        case 401:
            return (
                "The API does not know this key",
                "Start the Explorer with --key and a key that the API knows.",
            )
        case 403:
            return (
                "This key may not do that",
                "Start the Explorer with --key and a key that may operate.",
            )
        case 404:
            return "There is nothing of that name", "Check what you typed or chose."
        case _:
            return "The API could not answer", "This page tries again by itself."
