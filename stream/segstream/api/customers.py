"""Routes of customers: one look, why, what if, erase."""

from typing import Any, Final
from urllib.parse import unquote

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from segstream.api.answers import Assignment, Customer, Erasure, WhatIf, Why
from segstream.api.looks import Look, assign_answer, customer_answer, why_answer
from segstream.api.openapi import answering, asking
from segstream.api.problems import ProblemError, encoded
from segstream.api.reader import Desk, Reader

_WHAT_IF: Final = msgspec.json.Decoder(WhatIf)


def json_response(body: bytes, status: int = 200) -> Response:
    """Encoded JSON as it is."""
    return Response(body, status, media_type="application/json")


class Customers:
    """Answers about one customer, as JSON."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def customer(self, quoted: str) -> bytes:
        """Everything known of one; its id percent-encoded."""
        look = await self._look(quoted)
        history = await self._reader.history(look.customer_id)
        return encoded(customer_answer(look, self._reader.means(), history))

    async def why(self, quoted: str) -> bytes:
        """What separates it from the next segment."""
        look = await self._look(quoted)
        return encoded(why_answer(look, await self._reader.history(look.customer_id)))

    async def assign(self, body: bytes) -> bytes:
        """What if."""
        given = decoded(_WHAT_IF, body).features
        board = self._reader.board()
        return encoded(assign_answer(board.lens, board.medians, given))

    async def _look(self, quoted: str) -> Look:
        found = await self._reader.look(_id(quoted))
        if found is None:
            raise ProblemError(
                404, "unknown-customer", "expected a customer with a record, got none of this id; "
                "ids are as in the feed",
            )  # fmt: skip
        return found


def customer_routes(customers: Customers, reader: Reader, desk: Desk) -> APIRouter:
    """Make the routes."""
    routes = APIRouter(tags=["customers"])

    @routes.get(
        "/customers/{customer_id:path}/why", operation_id="why", response_model=None,
        responses=answering(Why, "What separates the customer from the next segment"),
    )  # fmt: skip
    async def why(customer_id: str) -> Response:
        """Why a customer is in its segment, and what moved it last."""
        return json_response(await customers.why(customer_id))

    @routes.get(
        "/customers/{customer_id:path}", operation_id="customer", response_model=None,
        responses=answering(Customer, "The customer as of its last evaluation"),
    )  # fmt: skip
    async def customer(customer_id: str) -> Response:
        """One customer: features, segment, distances, history.

        An id with a slash is sent percent-encoded (`%2F`).
        """
        return json_response(await customers.customer(customer_id))

    @routes.delete(
        "/customers/{customer_id:path}", operation_id="erase", response_model=None,
        status_code=202, responses=answering(Erasure, "The erasure was taken", 202),
    )  # fmt: skip
    async def erase(customer_id: str) -> Response:
        """Erase a customer: produces the `erase` event, which deletes the record.

        On a state directory the event is applied before the answer; 404 where there is no record,
        409 while a run holds it. On Kafka it is sent, also for an id without a record: its events
        may be on their way.
        """
        event_id = await desk.erase(_id(customer_id))
        await reader.refresh()
        return json_response(encoded(Erasure(event_id)), 202)

    @routes.post(
        "/assign", operation_id="assign", response_model=None,
        responses=answering(Assignment, "The nearest segment"),
        openapi_extra=asking(WhatIf, required=True),
    )  # fmt: skip
    async def assign(request: Request) -> Response:
        """What if: the segment of some features, the population's medians for the rest."""
        return json_response(await customers.assign(await request.body()))

    return routes


def decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """Read a body.

    Raises
    ------
    ProblemError
        422 with what was expected and where.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProblemError(422, "bad-body", f"body: {error}") from error


def _id(quoted: str) -> str:
    """Read the id, which the guard left percent-encoded."""
    try:
        return unquote(quoted, errors="surrogatepass")
    except UnicodeDecodeError as error:
        raise ProblemError(
            404, "unknown-customer", "expected an id in percent-encoded UTF-8, got other bytes"
        ) from error
