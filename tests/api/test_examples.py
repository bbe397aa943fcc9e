"""The requests of docs/api.md work as they stand; examples of the document are of their types."""

import json
import re
import shlex
from pathlib import Path

import httpx
import msgspec
import pytest

from segstream.api import openapi

ROOT = Path(__file__).resolve().parents[2]
LINES = [
    line for line in (ROOT / "docs" / "api.md").read_text("utf-8").splitlines()
    if line.startswith("curl -s")
]  # fmt: skip


def request(line: str) -> tuple[str, str, str | None]:
    """Method, path and body of a curl command."""
    words = shlex.split(line)
    path = next(re.sub(r"^localhost:8000", "", w) for w in words if w.startswith("localhost"))
    body = words[words.index("-d") + 1] if "-d" in words else None
    return ("POST" if body else "GET", path, body)


@pytest.mark.parametrize("line", LINES)
def test_a_request_of_the_docs_is_answered(reader: httpx.Client, line: str) -> None:
    """200, with JSON that is not empty."""
    method, path, body = request(line)
    found = reader.request(method, path, content=body)
    assert found.status_code == 200, found.text
    assert found.json()


def test_every_type_of_an_answer_has_an_example_of_it() -> None:
    """Each example reads back as its type, and the document shows it."""
    for kind in openapi.TYPES:
        example = json.dumps(openapi.examples()[kind.__name__])
        msgspec.json.decode(example, type=kind)
