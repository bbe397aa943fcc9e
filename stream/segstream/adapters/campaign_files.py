"""The files of a campaign: messages, dead letters, log, the suppression list, the rules."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import msgspec

from segstream.campaign_ports import Answer, Message
from segstream.core.campaign_file import load_campaigns
from segstream.core.campaigns import Campaigns
from segstream.errors import ConfigError, OutputError

# What may be read again after a crash is the last run of changes: far less than these.
_REMEMBERED: Final = 100_000
_TAIL_BYTES: Final = 64 << 20


class _Id(msgspec.Struct):
    id: str


class LineFile:
    """JSON lines that each have an `id`, appended once per id, also over restarts.

    At the start it reads the last ids that are there and cuts off a line that was half written.
    One process writes it: another is refused.

    Raises
    ------
    OutputError
        It cannot be written, here and later.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = _locked(path)
            self._ids = dict.fromkeys(_settled(self._file))
        except (OSError, msgspec.DecodeError) as error:
            raise OutputError(
                f"{path}: expected a file of JSON lines to append to, got {error}; each process of"
                " a campaign needs files of its own: name others"
            ) from error

    def append(self, line_id: str, line: bytes) -> None:
        """Write a line and wait until it is on the disk; nothing where its id is there."""
        self.add(line_id, line)
        self.sync()

    def add(self, line_id: str, line: bytes) -> None:
        """Write a line that `sync` makes last."""
        if line_id in self._ids:
            return
        with self._errors():
            self._file.write(line + b"\n")
        self._ids[line_id] = None
        if len(self._ids) > _REMEMBERED:
            del self._ids[next(iter(self._ids))]

    def sync(self) -> None:
        """Wait until everything is on the disk."""
        with self._errors():
            self._file.flush()
            os.fsync(self._file.fileno())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self._path}: expected to append, got {error}; make room and start again: what"
                " was not written is written then"
            ) from error

    def close(self) -> None:
        """Close it."""
        with suppress(OSError):  # what a full disk refused; `append` has said so
            self._file.close()


def _locked(path: Path) -> IO[bytes]:
    file = path.open("a+b")
    try:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("not a regular file: it cannot be read back after a restart")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def _settled(file: IO[bytes]) -> list[str]:
    """Ids of the last whole lines; what stands behind them is cut off."""
    size = file.seek(0, os.SEEK_END)
    if size > _TAIL_BYTES:
        file.seek(size - _TAIL_BYTES)
        file.readline()
    else:
        file.seek(0)
    ids, whole = [], file.tell()
    for line in file:
        if not line.endswith(b"\n"):
            break
        ids.append(msgspec.json.decode(line, type=_Id).id)
        whole += len(line)
    file.truncate(whole)
    file.seek(0, os.SEEK_END)
    return ids[-_REMEMBERED:]


class FileSender:
    """`segstream.campaign_ports.Sender` to a file: a message is a line of it, once."""

    def __init__(self, path: Path) -> None:
        self._lines = LineFile(path)

    async def attempt(self, message: Message) -> Answer:
        """See `segstream.campaign_ports.Sender.attempt`."""
        self._lines.append(message.key, message.body)
        return Answer()

    async def close(self) -> None:
        """See `segstream.campaign_ports.Sender.close`."""
        self._lines.close()


class DeadLetterFile:
    """Dead letters as JSON lines."""

    def __init__(self, path: Path) -> None:
        self._lines = LineFile(path)

    async def write(self, letter_id: str, customer_id: str, line: bytes) -> None:
        """Keep a dead letter; when this returns it is kept."""
        del customer_id
        self._lines.append(letter_id, line)

    async def close(self) -> None:
        """Close the file."""
        self._lines.close()


class SuppressionFile:
    """Customer ids, one a line, read again when the file changes.

    Raises
    ------
    ConfigError
        It cannot be read: without the list nothing may be sent.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._ids: frozenset[str] = frozenset()
        self.ids()

    def ids(self) -> frozenset[str]:
        """The ids as the file is now."""
        if self._path is None:
            return self._ids
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                lines = self._path.read_text("utf-8").splitlines()
                self._ids = frozenset(line.strip() for line in lines if line.strip())
                self._stamp = stamp
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"suppress: expected a file of customer ids, one a line, got {error}; without it"
                " nothing is sent: mend the path or the file"
            ) from error
        return self._ids


def read_campaigns(path: Path) -> Campaigns:
    """Read a campaign file.

    Raises
    ------
    ConfigError
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--file: expected a readable TOML file, got {error}") from error
    return load_campaigns(text, str(path))


def as_line(told: msgspec.Struct) -> bytes:
    """One JSON line."""
    return msgspec.json.encode(told)
