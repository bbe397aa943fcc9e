"""In-memory twins of the ports: real, small, and held to the same contract suite."""

import hashlib
from collections.abc import Iterator, Sequence

from segstream.core.events import Parsed
from segstream.core.model import Model
from segstream.core.partition import PartitionMeta, StoredRecord
from segstream.core.trainer_state import Command, TrainerState, changed
from segstream.errors import FencedError, SourceError
from segstream.ports import Batch, Chunk, Claim, Outbox, PanelBlock, Position, Standing


class MemoryStore:
    """`segstream.ports.Store` in this process."""

    def __init__(self, token: str = "memory") -> None:  # noqa: S107 - names a state
        self._token = token
        self._epoch = 0
        self._records: dict[int, StoredRecord] = {}
        self._models: list[Model] = []
        self._panel: list[PanelBlock] = []
        self._trainer = TrainerState()
        self._position, self._meta, self._outbox = Position(), PartitionMeta(), Outbox()

    def claim(self) -> Claim:
        """See `segstream.ports.Store.claim`."""
        self._epoch += 1
        return Claim(
            self._epoch, self._token, self._position, self._meta, self._trainer,
            tuple(self._panel), self._outbox,
        )  # fmt: skip

    def records(self) -> Iterator[StoredRecord]:
        """See `segstream.ports.Store.records`."""
        return iter([self._records[slot] for slot in sorted(self._records)])

    def models(self) -> list[Model]:
        """See `segstream.ports.Store.models`."""
        return list(self._models)

    def commit(self, batch: Batch) -> None:
        """See `segstream.ports.Store.commit`."""
        if batch.epoch != self._epoch:
            raise FencedError(f"memory: expected epoch {self._epoch}, got {batch.epoch}")
        # All of them are read before the first is written.
        self._records.update({record.slot: record for record in batch.records})
        for slot in batch.ended:
            self._records.pop(slot, None)
        if batch.new_day:
            self._panel.clear()
        if batch.panel.keys:
            self._panel.append(batch.panel)
        self._models.extend(batch.models)
        if batch.trainer is not None:
            self._trainer = batch.trainer
        self._position, self._meta, self._outbox = batch.position, batch.meta, batch.outbox

    def close(self) -> None:
        """See `segstream.ports.Store.close`."""


class MemorySink:
    """`segstream.ports.Sink` in this process."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, bytes]] = []
        self.dead_letters: list[bytes] = []
        self._n = 0

    def claim(self, token: str) -> int:  # noqa: ARG002
        """See `segstream.ports.Sink.claim`."""
        return self._n

    def publish(self, outbox: Outbox) -> None:
        """See `segstream.ports.Sink.publish`."""
        self.changes.extend(outbox.changes)
        self.dead_letters.extend(outbox.dead_letters)
        self._n = outbox.n

    def close(self) -> None:
        """See `segstream.ports.Sink.close`."""


class MemorySource:
    """`segstream.ports.Source` of entries given as bytes and what they parse to."""

    def __init__(self, payloads: Sequence[bytes], parsed: Sequence[Parsed], identity: str) -> None:
        self._payloads = payloads
        self._parsed = parsed
        self._identity = identity
        self._hashed, self._hash = 0, hashlib.sha256()

    @property
    def identity(self) -> str:
        """See `segstream.ports.Source.identity`."""
        return self._identity

    def read(self, position: int, max_bytes: int) -> Chunk | None:
        """See `segstream.ports.Source.read`."""
        end, size = position, 0
        while end < len(self._payloads) and (size < max_bytes or end == position):
            size += len(self._payloads[end])
            end += 1
        if end == position:
            return None
        places = [f"entry {i}" for i in range(position, end)]
        return Chunk(position, self._payloads[position:end], self._parsed[position:end], places)

    def digest_at(self, position: int) -> str:
        """See `segstream.ports.Source.digest_at`."""
        if position < self._hashed:
            self._hashed, self._hash = 0, hashlib.sha256()
        # Each entry is hashed once while a run goes on.
        for payload in self._payloads[self._hashed : position]:
            self._hash.update(len(payload).to_bytes(4, "little") + payload)
        self._hashed = position
        return self._hash.hexdigest()

    def verify(self, position: int, digest: str) -> None:
        """See `segstream.ports.Source.verify`."""
        if self.digest_at(position) != digest:
            raise SourceError("memory: expected the entries that were applied, got others")

    def close(self) -> None:
        """See `segstream.ports.Source.close`."""


class MemoryModels:
    """`segstream.ports.ModelHistory` in this process."""

    def __init__(self, models: Sequence[Model] = (), standing: Standing | None = None) -> None:
        self._models = list(models)
        self._standing = standing or Standing(TrainerState(), -1)

    def models(self) -> list[Model]:
        """See `segstream.ports.ModelHistory.models`."""
        return list(self._models)

    def standing(self) -> Standing:
        """See `segstream.ports.ModelHistory.standing`."""
        return self._standing

    def give(self, command: Command) -> None:
        """See `segstream.ports.ModelHistory.give`."""
        before = self._standing
        commands = (*before.trainer.commands, command)
        self._standing = Standing(changed(before.trainer, commands=commands), before.open_day)

    def close(self) -> None:
        """See `segstream.ports.ModelHistory.close`."""
