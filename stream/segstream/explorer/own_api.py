"""An API of a state directory beside the pages: on a free port, with a key nobody else knows."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import uvicorn

from segstream.api.app import create_app
from segstream.api.desks import StateDesk
from segstream.api.embedded import StateReader
from segstream.api.keys import Keys, new_key, stored
from segstream.api.serving import server
from segstream.errors import StateError
from segstream.explorer.client import Api, ApiError
from segstream.explorer.launch import LOOPBACK, Source, free_port
from segstream.stored_state import stored_settings

_STOP_S: Final = 10.0


@contextlib.contextmanager
def own_api(state: Path, out: Path, customer_word: str | None) -> Iterator[Source]:
    """Serve the API of a state directory while inside; the state is read before that.

    Raises
    ------
    StateError
        There is no state, or it cannot be read.
    """
    stored_settings(state)  # refused before anything listens
    key, port = new_key(), free_port()
    reader, desk = StateReader(state, out, customer_word), StateDesk(state, out)
    app = create_app(reader, desk, Keys([stored("explorer", "operate", key)]))
    running = server(app, LOOPBACK, port)
    thread = threading.Thread(target=running.run, name="api", daemon=True)
    thread.start()
    try:
        source = Source(f"http://{LOOPBACK}:{port}", key)
        _first_look(source, running, thread)
        yield source
    finally:
        running.should_exit = True
        thread.join(_STOP_S)


def _first_look(source: Source, running: uvicorn.Server, thread: threading.Thread) -> None:
    """Have the first page's answers made, so that nobody waits for them at the browser."""
    click.echo("reading the state ...", err=True)
    while not running.started and thread.is_alive():
        thread.join(0.05)
    api = Api(source.url, source.key)
    try:
        for path in ("segments", "overview"):
            api.get(path)
    except ApiError as error:
        raise StateError(f"state: expected one that can be read, got: {error.detail}") from error
    finally:
        api.close()
