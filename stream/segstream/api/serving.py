"""The server: uvicorn, with a deadline for clients that begin a request and do not finish it."""

import asyncio
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from segstream.api.guard import App
from segstream.logs import Format, logging_config

# From the first byte of a request, or from the connection, to the end of its head.
HEAD_S: Final = 10.0
# Between two requests of one connection.
_IDLE_S: Final = 30
# Streams go on for ever; after this they are cut.
_STOP_S: Final = 5
_CONNECTIONS: Final = 1000


class Joined:
    """A transport that sends what is written in one turn of the loop in one piece.

    Uvicorn writes a response's head and body apart. Each is a call of the kernel and wakes the
    client, who can do nothing with a head.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._written: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, piece: bytes) -> None:
        """Send a piece with those that follow at once."""
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(piece)

    def close(self) -> None:
        """Send what was written, and close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._written:
            written, self._written = self._written, []
            self._transport.write(b"".join(written))


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 that closes a connection whose request does not come to the end of its head.

    Attributes
    ----------
    head_s
        How long it waits.
    """

    head_s = HEAD_S
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for a first request."""
        joined: Any = Joined(transport, self.loop)
        super().connection_made(joined)
        self._wait()

    def on_message_begin(self) -> None:
        """Wait for the rest of a head."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """The head is there; the body has a deadline of its own."""
        self._rest()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._rest()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_s, self.transport.close)

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def server(app: App, host: str, port: int, log_format: Format = "text") -> uvicorn.Server:
    """Make the server; run it with `run`, or in a thread and end it with `should_exit`.

    Parameters
    ----------
    port
        0 for a free one.
    """
    config = uvicorn.Config(
        app, loop="uvloop", host=host, port=port, http=PatientProtocol, ws="none", lifespan="on",
        access_log=False, log_level="warning", server_header=False, date_header=True,
        proxy_headers=False, timeout_keep_alive=_IDLE_S, timeout_graceful_shutdown=_STOP_S,
        limit_concurrency=_CONNECTIONS, h11_max_incomplete_event_size=None,
        log_config=logging_config(log_format) or uvicorn.config.LOGGING_CONFIG,
    )  # fmt: skip
    return uvicorn.Server(config)
