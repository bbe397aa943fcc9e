"""/metrics, /healthz and /readyz of a role, from a thread of its own.

A thread, so that it answers while a role still waits for its broker. What it serves is kept by the
role; nothing is asked of Redis or Kafka here.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from segstream.errors import ConfigError
from segstream.metrics import Metrics

_TEXT: Final = (("Content-Type", "text/plain; charset=utf-8"),)
Readiness = Callable[[], Sequence[str]]
"""What is missing; nothing where the role is ready."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Requests are not logged."""


@contextmanager
def serving(metrics: Metrics, lacks: Iterable[Readiness], host: str, port: int) -> Iterator[int]:
    """Serve while inside; gives the port.

    Parameters
    ----------
    port
        0 for none: nothing is served then.

    Raises
    ------
    ConfigError
        The port is taken.
    """
    if port == 0:
        yield 0
        return
    app = application(metrics, tuple(lacks))
    try:
        server = make_server(host, port, app, server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise ConfigError(
            f"--metrics-port: expected a free port on {host}, got {port} ({error.strerror}); "
            "give another"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def application(metrics: Metrics, lacks: Sequence[Readiness]) -> Callable[..., Iterable[bytes]]:
    """Make the WSGI application."""
    scrape = make_wsgi_app(metrics.registry)

    def missing() -> list[str]:
        found = [what for each in lacks for what in each()]
        metrics.set("segstream_ready", not found)
        return found

    def answer(environ: Mapping[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            missing()
            body: Iterable[bytes] = scrape(environ, start)
            return body
        if path == "/healthz":
            start("200 OK", list(_TEXT))
            return [b"alive\n"]
        if path == "/readyz":
            found = missing()
            start("503 Service Unavailable" if found else "200 OK", list(_TEXT))
            return ["".join(f"{what}\n" for what in found).encode() or b"ready\n"]
        start("404 Not Found", list(_TEXT))
        return [b"/metrics /healthz /readyz\n"]

    return answer
