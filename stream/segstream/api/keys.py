"""API keys: who may read and who may operate; the file holds hashes only.

A key is 256 random bits, so one SHA-256 of it is as good as any slow hash: nobody can guess it.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from segstream.errors import ConfigError, OutputError

Role = Literal["read", "operate"]
ROLES: Final[tuple[Role, ...]] = ("read", "operate")
"""Who operates may read too."""
_PREFIX: Final = "segstream_"
_KEY_BYTES: Final = 32


class StoredKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the file: a name for people, and the key's SHA-256 in hex."""

    name: str
    role: Role
    sha256: str


def new_key() -> str:
    """Draw a key."""
    return _PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def stored(name: str, role: Role, key: str) -> StoredKey:
    """What the file keeps of a key."""
    return StoredKey(name, role, hashlib.sha256(key.encode()).hexdigest())


class Keys:
    """The keys that are known.

    Parameters
    ----------
    known
        None where there is no file: who reaches the server may read, and nobody may operate.
    """

    def __init__(self, known: Sequence[StoredKey] | None) -> None:
        self.open = known is None
        self._known = tuple(known or ())

    def role(self, key: str) -> Role | None:
        """Role of a key; None for one that is not known. Takes as long for any key."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        found: Role | None = None
        for one in self._known:
            if hmac.compare_digest(one.sha256, digest):
                found = one.role
        return found


class KeyFile:
    """A file of `StoredKey`, one JSON object a line, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[StoredKey] | None:
        """Every key; None where there is no file.

        Raises
        ------
        ConfigError
        """
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"--keys: expected a readable file, got {error}") from error
        try:
            return [msgspec.json.decode(line, type=StoredKey) for line in lines if line.strip()]
        except msgspec.DecodeError as error:
            raise ConfigError(
                f"--keys: expected lines of `segstream serve keys add` in {self._path}, got "
                f"{error}; restore the file, or make new keys in another"
            ) from error

    def add(self, name: str, role: Role) -> str:
        """Make a key and keep its hash; returns the key, which nobody can read again.

        Raises
        ------
        ConfigError
            The name is taken.
        OutputError
        """
        known = self.read() or []
        if any(one.name == name for one in known):
            raise ConfigError(
                f"--name: expected a name that no key has, got {name!r}; "
                "remove that key first: `segstream serve keys remove`"
            )
        key = new_key()
        self._write([*known, stored(name, role, key)])
        return key

    def remove(self, name: str) -> None:
        """Forget a key.

        Raises
        ------
        ConfigError
            There is none of the name.
        OutputError
        """
        known = self.read() or []
        kept = [one for one in known if one.name != name]
        if len(kept) == len(known):
            names = ", ".join(one.name for one in known) or "none"
            raise ConfigError(f"--name: expected the name of a key ({names}), got {name!r}")
        self._write(kept)

    def _write(self, keys: Sequence[StoredKey]) -> None:
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            temporary.unlink(missing_ok=True)
            number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(number, "wb") as file:
                file.writelines(msgspec.json.encode(key) + b"\n" for key in keys)
            temporary.replace(self._path)
        except OSError as error:
            raise OutputError(
                f"--keys: expected to write {self._path}, got {error}; choose another file"
            ) from error
