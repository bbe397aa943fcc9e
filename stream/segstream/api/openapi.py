"""The OpenAPI document: paths by FastAPI, types by the structs that are served, real examples."""

from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from segstream.api import answers, pages
from segstream.api.problems import MEDIA
from segstream.core.insights_answer import InsightsTable

_REF: Final = "#/components/schemas/{name}"
TYPES: Final[tuple[type, ...]] = (
    answers.Customer, answers.Why, answers.WhatIf, answers.Assignment, answers.Segments,
    answers.SegmentPage, answers.Members, answers.Changes, answers.Noted, answers.Erasure,
    answers.Problem, answers.Recluster, pages.Overview, pages.Map, pages.Models, pages.ModelPage,
    InsightsTable,
)  # fmt: skip
_EXAMPLES: Final = "examples.json"


@cache
def examples() -> dict[str, Any]:
    """Example of each type, by its name: the demo's, and cities of the coupon study."""
    found: dict[str, Any] = msgspec.json.decode((files(__package__) / _EXAMPLES).read_bytes())
    return found


def answering(kind: type, says: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """What a route says of its answers."""
    return {status: {"description": says, "content": {"application/json": content(kind)}},
            "default": _problem()}  # fmt: skip


def content(kind: type) -> dict[str, Any]:
    """Schema and example of a type."""
    name = kind.__name__
    found: dict[str, Any] = {"schema": {"$ref": _REF.format(name=name)}}
    if name in examples():
        found["example"] = examples()[name]
    return found


def asking(kind: type, *, required: bool) -> dict[str, Any]:
    """What a route says of its body."""
    return {"requestBody": {"required": required, "content": {"application/json": content(kind)}}}


def _problem() -> dict[str, Any]:
    return {"description": "An error (RFC 9457)", "content": {MEDIA: content(answers.Problem)}}


def document(app: FastAPI) -> dict[str, Any]:
    """Make the document."""
    made = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, components = msgspec.json.schema_components(TYPES, ref_template=_REF)
    parts = made.setdefault("components", {})
    parts["schemas"] = components
    parts["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "Made by `segstream serve keys "
                "add`. The role `read` may GET and ask what if, `operate` may everything."}
    }  # fmt: skip
    for path, operations in made["paths"].items():
        if path not in ("/healthz", "/readyz", "/metrics"):
            for operation in operations.values():
                operation["security"] = [{"key": []}]
    return made
