"""The API as its clients meet it: a uvicorn on a free loopback port, in a thread."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from segstream.api import create_app
from segstream.api.desks import StateDesk
from segstream.api.embedded import StateReader
from segstream.api.guard import Limits
from segstream.api.keys import Keys, Role, new_key, stored
from segstream.api.live import LiveDesk, LiveReader
from segstream.api.reader import Desk, Reader
from segstream.api.serving import server
from segstream.settings import Settings

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs, and keys it knows."""

    port: int
    read: str
    operate: str

    def client(self, role: Role | None = "read") -> httpx.Client:
        """A client with a key of the role, or with none."""
        key = {"read": self.read, "operate": self.operate}.get(role or "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=PATIENCE_S
        )


@contextmanager
def served(
    reader: Reader, desk: Desk, *, limits: Limits | None = None, with_keys: bool = True
) -> Iterator[Served]:
    """Serve while inside."""
    read, operate = new_key(), new_key()
    known = [stored("reader", "read", read), stored("operator", "operate", operate)]
    app = create_app(reader, desk, Keys(known if with_keys else None), limits)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        running = server(app, "127.0.0.1", port)
        thread = threading.Thread(target=running.run, args=([listening],))
        thread.start()
        try:
            _until_started(running, thread)
            yield Served(port, read, operate)
        finally:
            running.should_exit = True
            thread.join(PATIENCE_S)


def _until_started(running: object, thread: threading.Thread) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not getattr(running, "started", False):
        assert thread.is_alive(), "the server ended before it began"
        assert time.monotonic() < deadline, "the server does not start"
        time.sleep(0.01)


@contextmanager
def served_state(state: Path, out: Path, *, with_keys: bool = True,
                 limits: Limits | None = None) -> Iterator[Served]:  # fmt: skip
    """Serve a state directory."""
    reader, desk = StateReader(state, out), StateDesk(state, out)
    with served(reader, desk, limits=limits, with_keys=with_keys) as running:
        yield running


@contextmanager
def served_live(settings: Settings, redis: str) -> Iterator[Served]:
    """Serve a namespace on Kafka and Redis that was read once."""
    with served(LiveReader(settings, redis, None), LiveDesk(settings, redis)) as running:
        until_ready(running)
        yield running


def until_ready(api: Served) -> None:
    """Wait until everything was read."""
    deadline = time.monotonic() + PATIENCE_S
    with api.client(None) as client:
        while (found := client.get("/readyz")).status_code != 200:
            assert time.monotonic() < deadline, found.text
            time.sleep(0.1)
