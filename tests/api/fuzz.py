"""Every operation of the document, with generated requests; a bounded number, always the same."""

from collections.abc import Iterator
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi import checks
from tests.api.served import Served

EXAMPLES = 12
CHECKS = [
    schemathesis.checks.not_a_server_error, checks.status_code_conformance,
    checks.content_type_conformance, checks.response_schema_conformance,
]  # fmt: skip


# Generated ids meet nobody, so each of these is asked for something that is there, too.
KNOWN: dict[str, dict[str, Any]] = {
    "customer": {"customer_id": "c0040"}, "why": {"customer_id": "c0040"},
    "erase": {"customer_id": "c0041"}, "segment": {"segment_id": 2}, "members": {"segment_id": 2},
    "model": {"version": "1"}, "promote": {"version": "candidate"}, "rollback": {"version": "1"},
}  # fmt: skip
# 409 where this state has no refused candidate.
DONE = {200, 202, 409}


def fuzz(api: Served, leave_out: frozenset[str] = frozenset()) -> list[str]:
    """Try every operation; returns their names.

    Raises
    ------
    AssertionError
        An answer is a server error or not what the document says.
    """
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{api.port}/openapi.json")
    tried = []
    for operation in _operations(schema):
        name = operation.definition.raw["operationId"]
        if name not in leave_out:
            _try(operation, api)
            _ask_for_what_is_there(operation, api, KNOWN.get(name))
            tried.append(name)
    return tried


def _operations(schema: Any) -> Iterator[Any]:
    for result in schema.get_all_operations():
        yield result.ok()


def _try(operation: Any, api: Served) -> None:
    headers = {"Authorization": f"Bearer {api.operate}", "Accept": "application/json"}

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def once(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    once()


def _ask_for_what_is_there(operation: Any, api: Served, place: dict[str, Any] | None) -> None:
    headers = {"Authorization": f"Bearer {api.operate}", "Accept": "application/json"}
    body = {"features": {"spend_112d": 40.0}} if operation.path == "/assign" else None
    extra = {} if body is None else {"body": body, "media_type": "application/json"}
    case = operation.Case(path_parameters=place or {}, **extra)
    found = case.call_and_validate(headers=headers, checks=CHECKS)
    assert found.status_code in DONE, f"{operation.label}: {found.status_code} {found.text[:300]}"
