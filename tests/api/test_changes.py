"""Changes as server-sent events: they come, and a client that was away goes on where it was."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.api.served import Served, served_state
from tests.cli.commands import Place

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def growing(shop: Place, tmp_path: Path) -> Iterator[tuple[Served, Path, list[bytes]]]:
    """A copy whose last changes are not there yet."""
    copy = Place(tmp_path)
    shutil.copytree(shop.state, copy.state)
    copy.out.mkdir()
    path = copy.out / "changes.jsonl"
    lines = (shop.out / "changes.jsonl").read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-5]))
    with served_state(copy.state, copy.out) as running:
        yield running, path, lines


def events(told: Iterator[str], wanted: int) -> list[tuple[str, dict[str, object]]]:
    """The next events of a stream: id and data."""
    found: list[tuple[str, dict[str, object]]] = []
    name = ""
    for line in told:
        if line.startswith("id: "):
            name = line[4:]
        elif line.startswith("data: "):
            found.append((name, msgspec.json.decode(line[6:])))
        if len(found) == wanted:
            break
    return found


def test_what_is_published_comes(growing: tuple[Served, Path, list[bytes]]) -> None:
    """A stream without an id begins with the next change; half a line waits for its rest."""
    api, path, lines = growing
    with api.client() as client, client.stream("GET", "/changes", headers=STREAM) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        with path.open("ab") as file:
            file.write(lines[-5] + lines[-4][:40])
            file.flush()
            told = answer.iter_lines()
            found = events(told, 1)
            file.write(lines[-4][40:])
        found += events(told, 1)
    assert [data for _, data in found] == [msgspec.json.decode(one) for one in lines[-5:-3]]
    assert [name for name, _ in found] == [msgspec.json.decode(one)["id"] for one in lines[-5:-3]]


def test_a_client_that_was_away_goes_on(growing: tuple[Served, Path, list[bytes]]) -> None:
    """Last-Event-ID gives what followed it, then what comes; nothing twice, nothing left out."""
    api, path, lines = growing
    last = msgspec.json.decode(lines[-9])["id"]
    headers = {**STREAM, "Last-Event-ID": last}
    with api.client() as client, client.stream("GET", "/changes", headers=headers) as answer:
        with path.open("ab") as file:
            file.writelines(lines[-5:])
        found = events(answer.iter_lines(), 8)
    assert [data for _, data in found] == [msgspec.json.decode(one) for one in lines[-8:]]


def test_an_id_out_of_reach_is_refused_before_the_stream_begins(api: Served) -> None:
    """410, so that the client knows that it missed something."""
    headers = {**STREAM, "Last-Event-ID": "0" * 32}
    with api.client() as client:
        assert client.get("/changes", headers=headers).status_code == 410
