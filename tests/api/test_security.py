"""Who may do what, how much a request may be, and what is never told."""

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.api.served import Served, served_state
from tests.cli.commands import Place

from segstream.api.guard import Limits
from segstream.api.keys import KeyFile, Keys, new_key, stored
from segstream.errors import ConfigError

READS = ("/segments", "/customers/c0040", "/changes", "/models", "/overview", "/no/such/path")
ORDERS = (
    ("POST", "/models/recluster"), ("POST", "/models/candidate/promote"),
    ("POST", "/models/1/rollback"), ("DELETE", "/customers/c0040"),
)  # fmt: skip


def problem(found: httpx.Response) -> dict[str, object]:
    """A problem as RFC 9457 has it."""
    assert found.headers["content-type"] == "application/problem+json"
    told: dict[str, object] = found.json()
    assert set(told) == {"type", "title", "status", "detail", "instance"}
    assert told["status"] == found.status_code
    return told


@pytest.mark.parametrize("path", READS)
def test_nothing_is_read_without_a_key(api: Served, path: str) -> None:
    """401 for no key, a wrong one, and another scheme; also where there is no such path."""
    with api.client(None) as client:
        for key in (
            "",
            f"Bearer {new_key()}",
            f"Basic {api.read}",
            "Bearer",
            f"Bearer {api.read}x",
        ):
            found = client.get(path, headers={"Authorization": key})
            assert problem(found)["title"] == "Unauthorized"
            assert found.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ORDERS)
def test_a_reader_may_not_operate(api: Served, shop: Place, method: str, path: str) -> None:
    """403, and nothing has happened."""
    before = shop.meta()
    with api.client("read") as client:
        assert problem(client.request(method, path))["status"] == 403
    assert shop.meta() == before


def test_health_and_the_document_need_no_key(api: Served) -> None:
    """They say nothing of a customer."""
    with api.client(None) as client:
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert client.get(path).status_code == 200


def test_a_key_is_never_repeated(api: Served, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither in an answer nor in a log, right or wrong."""
    secret = new_key()
    with api.client(None) as client:
        for key in (secret, api.read):
            for path in ("/segments", "/no/such", f"/customers/{'z' * 9000}"):
                found = client.get(path, headers={"Authorization": f"Bearer {key}"})
                assert key not in found.text + str(found.headers)
    told = "".join(capfd.readouterr())
    assert secret not in told
    assert api.read not in told


def test_the_file_of_keys_holds_no_key(tmp_path: Place) -> None:
    """Hashes only, readable by the owner alone; a key that was removed is not known."""
    path = tmp_path / "keys.jsonl"  # type: ignore[operator]
    file = KeyFile(path)
    key = file.add("me", "operate")
    assert key not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert Keys(file.read()).role(key) == "operate"
    with pytest.raises(ConfigError, match="a name that no key has"):
        file.add("me", "read")
    file.remove("me")
    assert Keys(file.read()).role(key) is None


def test_a_file_of_no_keys_lets_nobody_in() -> None:
    """An empty file is not the same as none: whoever emptied it wants nobody in."""
    assert not Keys([]).open
    assert Keys(None).open
    assert Keys([stored("a", "read", "k")]).role("l") is None


@pytest.fixture
def open_api(shop: Place) -> Iterator[Served]:
    """The shop without a file of keys."""
    with served_state(shop.state, shop.out, with_keys=False) as running:
        yield running


def test_without_keys_this_machine_reads_and_nobody_operates(open_api: Served) -> None:
    """A page elsewhere that borrows this address is refused by its Host."""
    with open_api.client(None) as client:
        assert client.get("/segments").status_code == 200
        assert client.post("/assign", json={"features": {}}).status_code == 200
        assert problem(client.post("/models/recluster"))["status"] == 401
        found = client.get("/segments", headers={"Host": "evil.example"})
        assert problem(found)["status"] == 421


def test_other_origins_are_not_invited(api: Served) -> None:
    """No CORS header, whatever the origin."""
    with api.client() as client:
        found = client.get("/segments", headers={"Origin": "https://evil.example"})
        assert not [name for name in found.headers if name.startswith("access-control")]


# ---- how much --------------------------------------------------------------------------


def test_an_oversized_body_is_refused_before_it_is_read(api: Served) -> None:
    """413 by its announced length, and where it comes in chunks as soon as it is too long."""
    body = json.dumps({"features": {"x" * 70_000: 1.0}}).encode()
    with api.client() as client:
        assert problem(client.post("/assign", content=body))["status"] == 413

    def chunks() -> Iterator[bytes]:
        yield from (b" " * 10_000 for _ in range(10))

    with api.client() as client:
        assert problem(client.post("/assign", content=chunks()))["status"] == 413


def test_oversized_targets_and_headers_are_refused(api: Served) -> None:
    """414 for path and query together, 431 for headers."""
    with api.client() as client:
        assert problem(client.get("/changes?after=" + "a" * 9_000))["status"] == 414
        assert problem(client.get("/segments", headers={"X-A": "a" * 20_000}))["status"] == 431


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"features":{"overdue":"many"}}',
                                  b'{"features":{},"more":1}', b"\xff", b'{"features":{"a":1e999}}',
                                  b'{"features":{"overdue":null}}'])  # fmt: skip
def test_a_body_that_is_not_the_type_is_told_what_was_expected(api: Served, body: bytes) -> None:
    """422, never 500."""
    with api.client() as client:
        found = client.post("/assign", content=body)
    assert problem(found)["status"] == 422


# ---- slow clients ----------------------------------------------------------------------


@pytest.fixture
def impatient(shop: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The shop, served with deadlines of a fraction of a second."""
    monkeypatch.setattr("segstream.api.serving.PatientProtocol.head_s", 0.3)
    with served_state(shop.state, shop.out, limits=Limits(body_s=0.3)) as running:
        yield running


def test_a_head_that_never_ends_is_cut(impatient: Served) -> None:
    """A connection that trickles its head is closed; others are answered meanwhile."""
    with socket.create_connection(("127.0.0.1", impatient.port)) as slow:
        slow.settimeout(5)
        slow.sendall(b"GET /segments HTTP/1.1\r\nHost: localhost\r\n")
        with impatient.client() as client:
            assert client.get("/healthz").status_code == 200
        began = time.monotonic()
        assert _rest(slow) == b""
        assert time.monotonic() - began < 3


def test_a_silent_connection_is_cut(impatient: Served) -> None:
    """One that says nothing at all does not stay."""
    with socket.create_connection(("127.0.0.1", impatient.port)) as slow:
        slow.settimeout(5)
        assert _rest(slow) == b""


def test_a_body_that_never_ends_is_answered_with_408(impatient: Served) -> None:
    """The announced body does not come: 408, and the connection ends."""
    head = (
        f"POST /assign HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {impatient.read}\r\n"
        "Content-Length: 100\r\n\r\n{"
    )
    with socket.create_connection(("127.0.0.1", impatient.port)) as slow:
        slow.settimeout(5)
        slow.sendall(head.encode())
        told = _rest(slow)
    assert told.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in told


def _rest(connection: socket.socket) -> bytes:
    """Everything until the server ends the connection."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)
