"""Routes for whoever runs it: alive, ready, metrics. None needs a key."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse, Response

from segstream.api.reader import Reader
from segstream.metrics import Metrics

_TEXT = {"description": "Plain text", "content": {"text/plain": {"schema": {"type": "string"}}}}


def health_routes(reader: Reader, metrics: Metrics) -> APIRouter:
    """Make the routes."""
    routes = APIRouter(tags=["operating"])

    @routes.get("/healthz", operation_id="healthz", response_model=None, responses={200: _TEXT})
    async def healthz() -> Response:
        """200 while the process lives."""
        return PlainTextResponse("alive\n")

    @routes.get(
        "/readyz", operation_id="readyz", response_model=None, responses={200: _TEXT, 503: _TEXT}
    )
    async def readyz() -> Response:
        """200 when it can answer; else 503 and one line per thing that is missing."""
        missing = reader.lacks()
        metrics.set("segstream_ready", not missing)
        text = "".join(f"{what}\n" for what in missing) or "ready\n"
        return PlainTextResponse(text, 503 if missing else 200)

    @routes.get("/metrics", operation_id="metrics", response_model=None, responses={200: _TEXT})
    async def scrape() -> Response:
        """Prometheus' format; docs/operations.md lists them."""
        metrics.set("segstream_ready", not reader.lacks())
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return routes
