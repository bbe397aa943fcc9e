"""The application: routes over a reader and a desk, behind the guard."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from segstream.api.changes import change_routes
from segstream.api.customers import Customers, customer_routes
from segstream.api.guard import App, Guard, Limits
from segstream.api.health import health_routes
from segstream.api.hot import Hot
from segstream.api.keys import Keys
from segstream.api.models import model_routes
from segstream.api.openapi import document
from segstream.api.problems import ProblemError, instance_of, on_problem, problem, refusal
from segstream.api.reader import Desk, Reader
from segstream.api.segments import segment_routes
from segstream.errors import SegstreamError
from segstream.metrics import Metrics

LOG: Final = logging.getLogger("segstream.serve")
_ABOUT: Final = (
    "Customers, segments, models and changes of one namespace. Times are RFC 3339 in UTC, feature "
    "values are in real units, null is unknown."
)


def create_app(
    reader: Reader,
    desk: Desk,
    keys: Keys | None = None,
    limits: Limits | None = None,
    metrics: Metrics | None = None,
) -> App:
    """Make the application: the guard, what is hot, then FastAPI.

    Parameters
    ----------
    reader, desk
        What is looked at, and who takes commands.
    keys
        Who may do what; without any whoever reaches this may read.
    metrics
        Of the role `serve`.
    """
    metrics = metrics or Metrics("serve")
    customers = Customers(reader)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with reader.living():
            yield

    app = FastAPI(
        title="Segstream", version=version("segstream"), description=_ABOUT, lifespan=lifespan,
        docs_url=None, redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    for routes in (
        customer_routes(customers, reader, desk), segment_routes(reader),
        model_routes(reader, desk), change_routes(reader, metrics), health_routes(reader, metrics),
    ):  # fmt: skip
        app.include_router(routes)
    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(SegstreamError, _on_refused)
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            made.update(document(app))
        return made

    app.openapi = openapi  # type: ignore[method-assign]
    return Guard(Hot(app, customers), keys or Keys(None), limits or Limits(), metrics)


async def _on_http(request: Request, error: Exception) -> Response:
    """Answer for a path or method that is not there."""
    if not isinstance(error, HTTPException):
        raise TypeError(f"expected an HTTPException, got {type(error).__name__}")
    told = {404: "expected a path of /openapi.json, got another",
            405: "expected a method of this path (see Allow), got another"}  # fmt: skip
    detail = told.get(error.status_code, str(error.detail))
    kind = {404: "no-such-path", 405: "no-such-method"}.get(error.status_code, "refused")
    headers = {name.replace("-", "_"): value for name, value in (error.headers or {}).items()}
    return problem(ProblemError(error.status_code, kind, detail, **headers),
                   instance_of(request.scope))  # fmt: skip


async def _on_invalid(request: Request, error: Exception) -> Response:
    """Answer for a parameter that is not as declared."""
    if not isinstance(error, RequestValidationError):
        raise TypeError(f"expected a RequestValidationError, got {type(error).__name__}")
    told = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors())
    return problem(ProblemError(422, "bad-parameter", told), instance_of(request.scope))


async def _on_refused(request: Request, error: Exception) -> Response:
    """Answer for what Segstream itself refuses."""
    refused = refusal(error) if isinstance(error, SegstreamError) else None
    if refused is None:
        raise error
    return problem(refused, instance_of(request.scope))
