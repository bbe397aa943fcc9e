"""What is asked thousands of times a second, answered before FastAPI: one look, why, what if.

FastAPI has the same routes over the same functions and writes the document; its layers take longer
than these answers do.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from segstream.api.customers import Customers
from segstream.api.guard import App, Receive, Scope, Send
from segstream.api.problems import refusal
from segstream.errors import SegstreamError

T = TypeVar("T")
_CUSTOMERS: Final = "/customers/"
_WHY: Final = "/why"
_ASSIGN: Final = "/assign"
_JSON: Final = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class _Route:
    """Names a route as FastAPI's do, for metrics."""

    path_format: str


_CUSTOMER_ROUTE: Final = _Route("/customers/{customer_id}")
_WHY_ROUTE: Final = _Route("/customers/{customer_id}/why")
_ASSIGN_ROUTE: Final = _Route(_ASSIGN)


class Hot:
    """Wraps the application."""

    def __init__(self, app: App, customers: Customers) -> None:
        self._app, self._customers = app, customers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a hot request; hand on any other."""
        if scope["type"] == "http":
            path: str = scope["path"]
            if scope["method"] == "GET" and path.startswith(_CUSTOMERS):
                await self._look(path.removeprefix(_CUSTOMERS), scope, send)
                return
            if scope["method"] == "POST" and path == _ASSIGN:
                scope["route"] = _ASSIGN_ROUTE
                await _answer(self._customers.assign, await _body(receive), send)
                return
        await self._app(scope, receive, send)

    async def _look(self, rest: str, scope: Scope, send: Send) -> None:
        if rest.endswith(_WHY):
            scope["route"] = _WHY_ROUTE
            await _answer(self._customers.why, rest.removesuffix(_WHY), send)
        else:
            scope["route"] = _CUSTOMER_ROUTE
            await _answer(self._customers.customer, rest, send)


async def _answer(make: Callable[[T], Awaitable[bytes]], given: T, send: Send) -> None:
    try:
        body = await make(given)
    except SegstreamError as error:
        raise (refusal(error) or error) from error
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [_JSON, length]})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> bytes:
    """The guard has read it already."""
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
