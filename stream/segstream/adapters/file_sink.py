"""The sink on files: changes.jsonl and dead-letters.jsonl in an output directory.

A small position file says which batch is in the two files whole, and how long they were then. It
is replaced after each batch; what stands behind those lengths at the next start was cut off in
the middle and is written again from the outbox.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import msgspec

from segstream.errors import OutputError, StateError
from segstream.ports import Outbox

CHANGES: Final = "changes.jsonl"
DEAD_LETTERS: Final = "dead-letters.jsonl"
POSITION: Final = ".position.json"


class SinkPosition(msgspec.Struct, frozen=True):
    """Which batch of which state the files hold whole, and their lengths in bytes."""

    token: str
    n: int
    changes: int
    dead_letters: int


class FileSink:
    """`segstream.ports.Sink` in an output directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._token = ""
        self._files: dict[str, IO[bytes]] = {}
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name in (CHANGES, DEAD_LETTERS):
                self._files[name] = (directory / name).open("ab")
        except OSError as error:
            self.close()
            raise OutputError(
                f"out: expected a directory to write to at {directory}, got {error}; "
                "choose another --out"
            ) from error

    def claim(self, token: str) -> int:
        """See `segstream.ports.Sink.claim`."""
        self._token = token
        try:
            return self._settle()
        except OSError as error:
            raise OutputError(
                f"out: expected to write to {self._directory}, got {error}; make room and run "
                "again: nothing has begun"
            ) from error

    def _settle(self) -> int:
        path = self._directory / POSITION
        if not path.exists():
            used = [name for name, file in self._files.items() if file.tell()]
            if used:
                raise StateError(
                    f"out: expected {self._directory} to be new or to belong to this state, got "
                    f"{', '.join(used)} without {POSITION}; choose another --out"
                )
            self._remember(0)
            return 0
        position = _position(path)
        if position.token != self._token:
            raise StateError(
                f"out: expected {self._directory} to belong to this state, got the output of "
                "another; choose another --out, or the --state it was made with"
            )
        for name, size in ((CHANGES, position.changes), (DEAD_LETTERS, position.dead_letters)):
            self._cut(name, size)
        return position.n

    def _cut(self, name: str, size: int) -> None:
        file = self._files[name]
        if file.tell() < size:
            raise StateError(
                f"out: expected at least {size} bytes in {self._directory / name}, got "
                f"{file.tell()}; restore the file, or start anew with empty --state and --out"
            )
        if file.tell() > size:
            file.truncate(size)
            file.seek(0, os.SEEK_END)

    def publish(self, outbox: Outbox) -> None:
        """See `segstream.ports.Sink.publish`."""
        try:
            self._append(CHANGES, [body for _, body in outbox.changes])
            self._append(DEAD_LETTERS, list(outbox.dead_letters))
            self._remember(outbox.n)
        except OSError as error:
            raise OutputError(
                f"out: expected to write to {self._directory}, got {error}; make room and run "
                "again: the batch is kept and written then"
            ) from error

    def _append(self, name: str, lines: list[bytes]) -> None:
        if not lines:
            return
        file = self._files[name]
        file.write(b"\n".join(lines) + b"\n")
        file.flush()
        os.fsync(file.fileno())

    def _remember(self, n: int) -> None:
        position = SinkPosition(
            self._token, n, self._files[CHANGES].tell(), self._files[DEAD_LETTERS].tell()
        )
        path = self._directory / POSITION
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(position))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        self._keep_name()

    def _keep_name(self) -> None:
        """Make the replacement survive a power cut: the next batch drops this one's outbox."""
        folder = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """See `segstream.ports.Sink.close`."""
        for file in self._files.values():
            # What a full disk refused is still buffered; `publish` has said so, and the next
            # claim writes it again.
            with suppress(OSError):
                file.close()


def _position(path: Path) -> SinkPosition:
    try:
        return msgspec.json.decode(path.read_bytes(), type=SinkPosition)
    except msgspec.DecodeError as error:
        raise StateError(
            f"out: expected a position in {path}, got {error}; restore the file, or start anew "
            "with empty --state and --out"
        ) from error
