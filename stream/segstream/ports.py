"""What the core needs of the world: each a Protocol of at most five methods.

Every port has a real in-memory twin in `segstream.adapters.memory`; one contract suite
(tests/contracts) runs on the twin and on each real adapter.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from segstream.core.events import Parsed
from segstream.core.model import Model
from segstream.core.partition import PartitionMeta, StoredRecord
from segstream.core.trainer_state import Command, TrainerState


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of a source's entries, in order.

    Attributes
    ----------
    position
        Ordinal of the first entry within the source, >= 0.
    payloads
        The original bytes of each entry, for dead letters.
    parsed
        What each payload became; same length as `payloads`.
    places
        Where each entry stands, for people: `sales.csv:17`; same length as `payloads`.
    """

    position: int
    payloads: Sequence[bytes]
    parsed: Sequence[Parsed]
    places: Sequence[str]


class Source(Protocol):
    """Events in one fixed order, readable again from any position."""

    @property
    def identity(self) -> str:
        """A fingerprint of what is read: equal for the same content, else different."""
        ...

    def read(self, position: int, max_bytes: int) -> Chunk | None:
        """Read entries from `position` on, about `max_bytes` of payload, at least one.

        Returns
        -------
        Chunk or None
            None at the end of a bounded source.
        """
        ...

    def digest_at(self, position: int) -> str:
        """Return what `verify` wants later for a position just reached."""
        ...

    def verify(self, position: int, digest: str) -> None:
        """Check that the entries before `position` are those that were applied.

        Raises
        ------
        SourceError
            They are not.
        """
        ...

    def close(self) -> None:
        """Release files, and remove anything temporary."""
        ...


class Outbox(msgspec.Struct, frozen=True):
    """What batch `n` publishes, encoded; stored with the batch, so that a crash loses nothing.

    Attributes
    ----------
    changes
        (customer id, CloudEvents JSON) in the order they happened.
    dead_letters
        JSON lines with code, message, place and the original bytes.
    """

    n: int = 0
    changes: tuple[tuple[str, bytes], ...] = ()
    dead_letters: tuple[bytes, ...] = ()


class Position(msgspec.Struct, frozen=True):
    """How far the log has been applied.

    Attributes
    ----------
    source
        Identity of the input being read; empty between inputs.
    entries
        Entries of it that are applied.
    digest
        What the source said of them; see `Source.digest_at`.
    finished
        Digests of files that are wholly applied.
    dead_flags
        Which of the last entries were dead letters, for `DeadLetterWatch`.
    """

    source: str = ""
    entries: int = 0
    digest: str = ""
    finished: tuple[str, ...] = ()
    dead_flags: bytes = b""


class PanelBlock(msgspec.Struct, frozen=True):
    """Panel rows of the open day as bytes: int64 keys and float64 features, C order."""

    keys: bytes = b""
    raw: bytes = b""


class DayEvidence(msgspec.Struct, frozen=True):
    """What one partition tells the trainer of one day; absolute, keyed by partition and day.

    Attributes
    ----------
    model
        Number of the model that the day was learnt under.
    first_ms
        Time of the partition's first event; -1 for none.
    totals
        A `segstream.core.partition.DayTotals` as MessagePack.
    """

    partition: int
    model: int
    first_ms: int
    totals: bytes
    panel: PanelBlock


@dataclass(frozen=True, slots=True)
class Claim:
    """What the store holds, now owned by the claimant.

    Attributes
    ----------
    epoch
        Number of this claim; every commit carries it.
    """

    epoch: int
    token: str
    position: Position
    meta: PartitionMeta
    trainer: TrainerState
    panel: tuple[PanelBlock, ...]
    outbox: Outbox


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything one batch changes, stored in one atomic write.

    Attributes
    ----------
    ledger
        int64 rows of `segstream.core.ledger`, C order, for reports; a store may drop them.
    purchases
        A block of `segstream.core.purchases`, for insights; a store may drop it.
    new_day
        Whether panel blocks before it are dropped: the open day began within the batch, or the
        rows of somebody who left are among them.
    models
        Models made within the batch, in order.
    """

    epoch: int
    position: Position
    meta: PartitionMeta
    records: Sequence[StoredRecord]
    ended: Sequence[int]
    outbox: Outbox
    panel: PanelBlock
    ledger: bytes
    new_day: bool
    trainer: TrainerState | None
    models: Sequence[Model]
    purchases: bytes = b""


class Store(Protocol):
    """Where records and position are kept, together."""

    def claim(self) -> Claim:
        """Take ownership; whoever held it before can commit no more."""
        ...

    def records(self) -> Iterator[StoredRecord]:
        """Every record, in the order of slots."""
        ...

    def commit(self, batch: Batch) -> None:
        """Write all of a batch or nothing.

        Raises
        ------
        FencedError
            Somebody else has claimed since.
        """
        ...

    def models(self) -> list[Model]:
        """Every model ever adopted, oldest first."""
        ...

    def close(self) -> None:
        """Release the store."""
        ...


class Sink(Protocol):
    """Where changes and dead letters go."""

    def claim(self, token: str) -> int:
        """Settle what an earlier process left half written.

        Returns
        -------
        int
            The last batch published whole; 0 where none was.
        """
        ...

    def publish(self, outbox: Outbox) -> None:
        """Publish a batch whole, and remember its number with it."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a trainer stands.

    Attributes
    ----------
    open_day
        The UTC day (since 1970) that it closes next; -1 before the first event.
    """

    trainer: TrainerState
    open_day: int


class ModelHistory(Protocol):
    """Every model so far, and the way to its trainer's ear."""

    def models(self) -> list[Model]:
        """Every model ever adopted, oldest first."""
        ...

    def standing(self) -> Standing:
        """What the trainer knows now."""
        ...

    def give(self, command: Command) -> None:
        """Leave a command, which takes effect when a day closes: all of it, or nothing."""
        ...

    def close(self) -> None:
        """Release what it reads."""
        ...
