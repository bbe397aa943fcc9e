"""What every request passes first: limits, keys, and an answer whatever happens.

Plain ASGI, so that nothing of a request is read before it is allowed and no byte beyond a limit is
kept.
"""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from prometheus_client import Counter, Histogram

from segstream.api.keys import Keys
from segstream.api.problems import ProblemError, instance_of, problem
from segstream.metrics import Metrics

LOG: Final = logging.getLogger("segstream.serve")
OPEN: Final = frozenset(("/healthz", "/readyz", "/metrics", "/openapi.json"))
"""What needs no key: nothing of a customer is in it."""
_READING: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_ASKING: Final = "/assign"
_OF_CUSTOMERS: Final = b"/customers/"
# A path that quoting leaves as it is.
_PLAIN: Final = re.compile(rb"[A-Za-z0-9_.~/-]*").fullmatch
_LOOPBACK: Final = frozenset(("127.0.0.1", "localhost", "[::1]"))

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may be.

    Attributes
    ----------
    body_s
        From its head to the end of its body.
    """

    body_bytes: int = 64 * 1024
    target_bytes: int = 8 * 1024
    head_bytes: int = 16 * 1024
    body_s: float = 10.0


class Guard:
    """Wraps the application."""

    def __init__(self, app: App, keys: Keys, limits: Limits, metrics: Metrics) -> None:
        self._app, self._keys, self._limits, self._metrics = app, keys, limits, metrics
        self._counts: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        began, answered = time.perf_counter(), _Answered(send)
        try:
            body = await self._admitted(scope, receive)
            await self._app(scope, body, answered.send)
        except ProblemError as error:
            await answered.instead(error, scope, receive)
        except asyncio.CancelledError:
            raise
        except Exception:  # whatever it is: the client gets a number, the log the rest
            number = secrets.token_hex(4)
            LOG.exception("request failed, number %s", number)
            await answered.instead(_bug(number), scope, receive)
        finally:
            self._count(scope, answered, time.perf_counter() - began)

    def _count(self, scope: Scope, answered: "_Answered", seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", None) or "none"
        key = (route, answered.status // 100)
        if key not in self._counts:
            self._counts[key] = (
                self._metrics.counter(
                    "segstream_http_requests_total", route=route, outcome=f"{key[1]}xx"
                ),
                self._metrics.histogram("segstream_http_seconds", route=route),
            )
        requests, times = self._counts[key]
        requests.inc()
        if not answered.streamed:
            times.observe(seconds)

    # ---- who and how much --------------------------------------------------------------

    async def _admitted(self, scope: Scope, receive: Receive) -> Receive:
        self._check_size(scope, scope["headers"])
        headers = dict(scope["headers"])
        self._check_key(scope, headers)
        raw: bytes = scope.get("raw_path") or b""
        if raw.startswith(_OF_CUSTOMERS):
            scope["path"] = _with_whole_ids(raw.partition(b"?")[0])
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            return receive
        return await self._whole_body(headers, receive)

    def _check_size(self, scope: Scope, headers: list[tuple[bytes, bytes]]) -> None:
        limits = self._limits
        target = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if target > limits.target_bytes:
            raise ProblemError(
                414, "too-long",
                f"expected a path and query of at most {limits.target_bytes} bytes, got {target}",
            )  # fmt: skip
        size = sum(len(name) + len(value) for name, value in headers)
        if size > limits.head_bytes:
            raise ProblemError(
                431, "headers-too-large",
                f"expected headers of at most {limits.head_bytes} bytes, got {size}",
            )  # fmt: skip

    def _check_key(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        if scope["path"] in OPEN:
            return
        reads = scope["method"] in _READING or scope["path"] == _ASKING
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if not key and self._keys.open and reads:
            self._check_host(headers)
            return
        role = self._keys.role(key.strip()) if scheme.lower() == "bearer" else None
        if role is None:
            raise ProblemError(
                401, "no-key", "expected a key in `Authorization: Bearer KEY`, got "
                f"{'one that is not known' if key else 'none'}; "
                "make one with `segstream serve keys add`",
                WWW_Authenticate="Bearer",
            )  # fmt: skip
        if not reads and role != "operate":
            raise ProblemError(
                403, "wrong-role", f"expected a key with the role operate, got one with {role}; "
                "make one with `segstream serve keys add --role operate`",
            )  # fmt: skip

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        """Without keys only this machine is trusted; a page elsewhere can borrow its address."""
        host = headers.get(b"host", b"").decode("latin-1")
        name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
        if name.lower() not in _LOOPBACK:
            raise ProblemError(
                421, "other-host", "expected a Host of this machine (localhost) while there are no "
                "keys, got another; make keys with `segstream serve keys add`",
            )  # fmt: skip

    async def _whole_body(self, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._limits.body_bytes:
            raise self._too_large(announced.decode())
        try:
            async with asyncio.timeout(self._limits.body_s):
                body = await self._read(receive)
        except TimeoutError as error:
            raise ProblemError(
                408, "too-slow",
                f"expected the body within {self._limits.body_s:g} s, got a part of it",
                Connection="close",
            ) from error  # fmt: skip
        sent = False

        async def again() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        return again

    async def _read(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b"".join(parts)
            part = message.get("body", b"")
            size += len(part)
            if size > self._limits.body_bytes:
                raise self._too_large(f"over {self._limits.body_bytes}")
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)

    def _too_large(self, size: str) -> ProblemError:
        return ProblemError(
            413, "too-large",
            f"expected a body of at most {self._limits.body_bytes} bytes, got {size}",
            Connection="close",
        )  # fmt: skip


class _Answered:
    """Knows what was answered so far."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.streamed = False

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.streamed = any(value.startswith(b"text/event-stream")
                                for _, value in message["headers"])  # fmt: skip
        await self._send(message)

    async def instead(self, error: ProblemError, scope: Scope, receive: Receive) -> None:
        """Answer with a problem, where nothing was answered yet."""
        if not self.status:
            await problem(error, instance_of(scope))(scope, receive, self.send)


def _bug(number: str) -> ProblemError:
    return ProblemError(
        500, "bug", f"a bug in Segstream; the server's log has it under number {number}"
    )


def _with_whole_ids(raw: bytes) -> str:
    """Quote each part of a path whole: slashes and line breaks of an id are no part of a route."""
    if _PLAIN(raw):
        return raw.decode("ascii")
    return "/".join(quote(unquote_to_bytes(part), safe="") for part in raw.split(b"/"))
