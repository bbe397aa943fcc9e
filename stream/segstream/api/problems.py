"""Errors as problem details (RFC 9457): what was expected, what came, how to mend it."""

import json
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from segstream.api.answers import Problem
from segstream.errors import (
    ConfigError,
    FencedError,
    OutputError,
    SegstreamError,
    SourceError,
    StateError,
)

MEDIA: Final = "application/problem+json"
_TYPE: Final = "urn:segstream:problem:"
_ENCODER: Final = msgspec.json.Encoder()
# Who can mend it: the asker by asking later (409), or whoever runs the services (503).
_STATUSES: Final[dict[type[SegstreamError], tuple[int, str]]] = {
    FencedError: (409, "held"),
    StateError: (409, "not-now"),
    ConfigError: (409, "not-now"),
    SourceError: (503, "away"),
    OutputError: (503, "no-room"),
}


class ProblemError(Exception):
    """An answer that is an error.

    Parameters
    ----------
    kind
        Last part of its `type`: lower case words with dashes.
    detail
        Never names a key, a password or another customer.
    """

    def __init__(self, status: int, kind: str, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def problem(error: ProblemError, instance: str) -> Response:
    """Make the response."""
    title = HTTPStatus(error.status).phrase
    body = Problem(_TYPE + error.kind, title, error.status, error.detail, instance)
    return Response(encoded(body), error.status, error.headers, MEDIA)


def refusal(error: SegstreamError) -> ProblemError | None:
    """Turn what Segstream itself refuses into an answer; None for a bug."""
    for kind, (status, name) in _STATUSES.items():
        if isinstance(error, kind):
            return ProblemError(status, name, str(error))
    return None


async def on_problem(request: Request, error: Exception) -> Response:
    """Answer a `ProblemError` that a route raised."""
    if not isinstance(error, ProblemError):
        raise TypeError(f"expected a ProblemError, got {type(error).__name__}")
    return problem(error, instance_of(request.scope))


def instance_of(scope: Any) -> str:
    """The path as it was asked for, percent-encoded; no query."""
    raw: bytes = scope.get("raw_path") or b"/"
    return raw.partition(b"?")[0].decode("ascii", "replace")


def encoded(answer: object) -> bytes:
    """Encode as JSON; ids with lone surrogates, which are no UTF-8, as escapes."""
    try:
        return _ENCODER.encode(answer)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(answer, builtin_types=(bytes,))
        return json.dumps(_finite(plain), separators=(",", ":"), allow_nan=False).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, dict):
        return {name: _finite(v) for name, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value
