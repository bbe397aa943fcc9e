"""Routes of the population: segments, their customers, the overview, the map, insights."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from segstream.api.answers import Members, SegmentPage, Segments
from segstream.api.customers import json_response
from segstream.api.openapi import answering
from segstream.api.pages import Map, Overview
from segstream.api.reader import Reader
from segstream.core.insights_answer import InsightsTable


def segment_routes(reader: Reader) -> APIRouter:
    """Make the routes."""
    routes = APIRouter(tags=["segments"])

    @routes.get(
        "/segments", operation_id="segments", response_model=None,
        responses=answering(Segments, "Every living segment"),
    )  # fmt: skip
    async def segments() -> Response:
        """Segments by published membership; none before the first model."""
        board = reader.board()
        return json_response(await board.answer(board.segments))

    @routes.get(
        "/segments/{segment_id}", operation_id="segment", response_model=None,
        responses=answering(SegmentPage, "The segment beside the population"),
    )  # fmt: skip
    async def segment(segment_id: int) -> Response:
        """One segment: profile, distributions, what its customers buy."""
        board = reader.board()
        return json_response(await board.answer(board.segment, segment_id))

    @routes.get(
        "/segments/{segment_id}/customers", operation_id="members", response_model=None,
        responses=answering(Members, "Some customers, by id"),
    )  # fmt: skip
    async def members(
        segment_id: int,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str, Query(max_length=6000)] = "",
    ) -> Response:
        """Customers of a segment, page by page."""
        board = reader.board()
        return json_response(await board.page(board.members, segment_id, limit, cursor))

    @routes.get(
        "/overview", operation_id="overview", response_model=None,
        responses=answering(Overview, "The run so far"),
    )  # fmt: skip
    async def overview() -> Response:
        """What summary.json says, with sizes by day and freshness."""
        board = reader.board()
        return json_response(await board.answer(board.overview))

    @routes.get(
        "/map", operation_id="map", response_model=None,
        responses=answering(Map, "Customers on three principal components"),
    )  # fmt: skip
    async def map_(sample: Annotated[int, Query(ge=1, le=20_000)] = 2_000) -> Response:
        """Sampled customers and the centres on principal components."""
        board = reader.board()
        return json_response(await board.answer(board.map, sample))

    @routes.get(
        "/insights", operation_id="insights", response_model=None,
        responses=answering(InsightsTable, "What each segment buys"),
    )  # fmt: skip
    async def insights() -> Response:
        """Likelihoods, pairs and shares by segment, the most bought products, countries."""
        board = reader.board()
        return json_response(await board.answer(board.insights))

    return routes
