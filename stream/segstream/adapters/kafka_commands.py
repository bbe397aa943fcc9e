"""Commands of people to the trainer, on the evidence topic until a state has them.

Key `command:<id>`. The trainer takes a command into its state and writes its tombstone in the
transaction that closes a day: a standby finds it in one of the two, never in both.
"""

from typing import Final

import msgspec

from segstream.adapters.kafka_models import Record
from segstream.core.trainer_state import Command

_PREFIX: Final = b"command:"


def command_key(name: str) -> bytes:
    """Key of a command; each has a name of its own."""
    return _PREFIX + name.encode()


class CommandBook:
    """Commands that no state has yet, in the order they were given."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, Command] = {}
        self._spent: set[bytes] = set()

    @property
    def waiting(self) -> tuple[Command, ...]:
        """The oldest first."""
        return tuple(self._waiting.values())

    def note(self, record: Record) -> bool:
        """Read one record of the topic; False where it is no command."""
        key, value = record.key, record.value
        if key is None or not key.startswith(_PREFIX):
            return False
        self._waiting.pop(key, None)
        self._spent.discard(key)
        if value is not None:
            try:
                self._waiting[key] = msgspec.msgpack.decode(value, type=Command)
            except msgspec.DecodeError:
                # Of another version: it must not stop the models of this one.
                self._spent.add(key)
        return True

    def take(self) -> tuple[Command, ...]:
        """Give what waits: the caller's state has it from now on."""
        taken = self.waiting
        self._spent |= set(self._waiting)
        self._waiting.clear()
        return taken

    def spent(self) -> list[bytes]:
        """Keys that need a tombstone, once each."""
        spent, self._spent = self._spent, set()
        return sorted(spent)
