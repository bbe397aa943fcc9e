"""Routes of the models: what they have been, and what a person asks of them."""

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from segstream.api.answers import Noted, Recluster
from segstream.api.customers import decoded, json_response
from segstream.api.openapi import answering, asking
from segstream.api.pages import ModelPage, Models
from segstream.api.problems import encoded
from segstream.api.reader import Desk, Reader
from segstream.orders import Left

_RECLUSTER = msgspec.json.Decoder(Recluster)


def model_routes(reader: Reader, desk: Desk) -> APIRouter:
    """Make the routes."""
    routes = APIRouter(tags=["models"])

    @routes.get(
        "/models", operation_id="models", response_model=None,
        responses=answering(Models, "Generations and refused candidates"),
    )  # fmt: skip
    async def models() -> Response:
        """Every generation and refused candidate by time, and the commands that wait."""
        board = reader.board()
        return json_response(await board.answer(board.models))

    @routes.get(
        "/models/{version}", operation_id="model", response_model=None,
        responses=answering(ModelPage, "The model and what led to it"),
    )  # fmt: skip
    async def model(version: str) -> Response:
        """One model, by `G.R` or `G` for the last revision of a generation."""
        board = reader.board()
        return json_response(await board.answer(board.model, version))

    @routes.post(
        "/models/recluster", operation_id="recluster", response_model=None, status_code=202,
        responses=answering(Noted, "The command was left for the trainer", 202),
        openapi_extra=asking(Recluster, required=False),
    )  # fmt: skip
    async def recluster(request: Request) -> Response:
        """Fit the customers anew and let that serve, whatever the gate says."""
        body = await request.body()
        k = decoded(_RECLUSTER, body).k if body else None
        return _noted(await desk.recluster(k))

    @routes.post(
        "/models/{version}/promote", operation_id="promote", response_model=None, status_code=202,
        responses=answering(Noted, "The command was left for the trainer", 202),
    )  # fmt: skip
    async def promote(version: str) -> Response:
        """Let a model serve; `candidate` is the one that the gate refused last."""
        return _noted(await desk.promote(version))

    @routes.post(
        "/models/{version}/rollback", operation_id="rollback", response_model=None,
        status_code=202, responses=answering(Noted, "The command was left for the trainer", 202),
    )  # fmt: skip
    async def rollback(version: str) -> Response:
        """Let this earlier model serve again."""
        return _noted(await desk.roll_back(version))

    return routes


def _noted(left: Left) -> Response:
    told = Noted(left.command.kind, left.what, left.day, len(left.before), left.until)
    return json_response(encoded(told), 202)
