"""A webhook's receiver: a real HTTP server in a thread that can fail, hang and repeat."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Post:
    """One request as it came."""

    key: str
    body: bytes
    headers: dict[str, str]


@dataclass
class Receiver:
    """Takes posts, and answers as `answer` says: a status, or seconds of silence.

    Attributes
    ----------
    accepted
        What a receiver that drops keys it has already would act on.
    """

    answer: Callable[[Post], int | float] = lambda _post: 200
    posts: list[Post] = field(default_factory=list)
    accepted: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> "Receiver":
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                post = Post(self.headers["Idempotency-Key"], body, dict(self.headers))
                self.send_response(receiver.take(post))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # killed senders
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def take(self, post: Post) -> int:
        """Answer one request."""
        self.posts.append(post)
        answer = self.answer(post)
        if isinstance(answer, float):
            time.sleep(answer)
            return 500
        if answer < 300:
            self.accepted[post.key] += 1
        return answer

    @property
    def attempts(self) -> Counter[str]:
        """Posts by key."""
        return Counter(post.key for post in self.posts)
