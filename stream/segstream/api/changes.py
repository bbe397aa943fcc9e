"""Route of the changes: a page as JSON, or server-sent events that go on."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from segstream.api.answers import Changes
from segstream.api.customers import json_response
from segstream.api.openapi import answering
from segstream.api.problems import ProblemError
from segstream.api.reader import Reader
from segstream.api.tail import Tail
from segstream.metrics import Metrics

_SSE: Final = "text/event-stream"
# A client that has gone is noticed when something is sent to it.
_HEARTBEAT_S: Final = 15.0
_AT_ONCE: Final = 500
_MOST_STREAMS: Final = 100


class _Id(msgspec.Struct):
    id: str


_DECODER: Final = msgspec.json.Decoder(_Id)


def change_routes(reader: Reader, metrics: Metrics) -> APIRouter:
    """Make the route."""
    routes = APIRouter(tags=["changes"])
    streams = _Streams(metrics)

    @routes.get(
        "/changes", operation_id="changes", response_model=None, responses=_answers(),
    )  # fmt: skip
    async def changes(
        request: Request,
        after: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        newest: Annotated[bool, Query()] = False,
        last_event_id: Annotated[str | None, Header(max_length=200)] = None,
    ) -> Response:
        """Published changes after one of them; with `Accept: text/event-stream` as they come.

        A stream begins with what comes next, or after `Last-Event-ID` (or `after`). 410 where that
        change is out of reach.
        """
        tail = reader.tail
        if _SSE in request.headers.get("accept", ""):
            begin = last_event_id or after
            if begin is not None:
                tail.page(begin, 1, newest=False)  # refused before the answer begins
            return streams.open(tail, tail.last if begin is None else begin)
        found, following = tail.page(after, limit, newest)
        return json_response(_page(found, following, tail.complete))

    return routes


def _answers() -> dict[int | str, dict[str, Any]]:
    told = answering(Changes, "Changes in order")
    told[200]["content"][_SSE] = {"schema": {"type": "string"}}
    return told


def _page(lines: Any, following: str | None, complete: bool) -> bytes:
    """The lines are JSON already."""
    rest = msgspec.json.encode({"next": following, "complete": complete})
    return b'{"changes":[' + b",".join(lines) + b"]," + rest[1:]


class _Streams:
    """Counts streams: each holds a connection for as long as its client likes."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._open = 0

    def open(self, tail: Tail, after: str | None) -> Response:
        """Begin a stream.

        Raises
        ------
        ProblemError
            503 where there are too many.
        """
        if self._open >= _MOST_STREAMS:
            raise ProblemError(
                503, "too-many-streams",
                f"expected fewer than {_MOST_STREAMS} streams, got one more; try again later",
                Retry_After="30",
            )  # fmt: skip
        return StreamingResponse(self._events(tail, after), media_type=_SSE,
                                 headers={"Cache-Control": "no-store"})  # fmt: skip

    async def _events(self, tail: Tail, after: str | None) -> AsyncIterator[bytes]:
        self._count(1)
        try:
            yield b"retry: 2000\n\n"
            while True:
                try:
                    lines, after = tail.page(after, _AT_ONCE, newest=False)
                except ProblemError as gone:
                    yield b"event: gone\ndata: " + msgspec.json.encode(gone.detail) + b"\n\n"
                    return
                if lines:
                    yield b"".join(_event(line) for line in lines)
                elif not await tail.news(_HEARTBEAT_S):
                    yield b": nothing yet\n\n"
        finally:
            self._count(-1)

    def _count(self, by: int) -> None:
        self._open += by
        self._metrics.set("segstream_http_streams_open", self._open)


def _event(line: bytes) -> bytes:
    return b"id: " + _DECODER.decode(line).id.encode() + b"\nevent: change\ndata: " + line + b"\n\n"
