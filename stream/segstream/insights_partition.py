"""One partition of the role `insights`: the core's own fold, without a model.

Duplicates, stragglers of erased customers, dead letters and customers who are forgotten are told
apart by the same code as in the worker, with the same records; what was bought is kept, and each
order.

Batch n:
  1. fold: pure
  2. commit records, purchases, ledger and the position behind them in one transaction

A kill before 2 leaves the batch undone, and it is read again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from segstream.adapters.sqlite_store import SqliteStore
from segstream.core.changes import ChangeEncoder
from segstream.core.columns import ColumnBuilder
from segstream.core.events import parse_json_lines
from segstream.core.partition import Partition
from segstream.core.purchase_blocks import decode_block, encode_block, moved
from segstream.core.purchases import DAY_MS, Purchases
from segstream.core.spec import IntArray
from segstream.errors import StateError
from segstream.ports import Batch, Outbox, PanelBlock, Position
from segstream.settings import Settings, compile_spec, policy_of

_NO_RECORDS: Final = PanelBlock()


@dataclass(frozen=True, slots=True)
class Log:
    """What a partition's log says of itself.

    Attributes
    ----------
    topic_id
        Names the topic, also where one of the same name is made anew.
    start, end
        Offsets: first there is, and behind the last.
    """

    topic_id: str
    start: int
    end: int


class InsightsPartition:
    """Purchases of one partition, in a directory of its own.

    Raises
    ------
    StateError
        The directory is in use, or belongs to other settings, another topic or a log that no
        longer reaches back to the position.
    """

    def __init__(self, settings: Settings, number: int, directory: Path, log: Log) -> None:
        self.number = number
        self._where = partition_directory(directory, number)
        spec = compile_spec(settings)
        self._store = SqliteStore(self._where, spec.spec.digest, f"insights {number}")
        claim = self._store.claim()
        self._epoch, self._n = claim.epoch, claim.outbox.n
        self.position = claim.position
        try:
            self._check(log)
        except StateError:
            self._store.close()
            raise
        if not self.position.source:
            self.position = Position(log.topic_id, log.start)
        builder = ColumnBuilder(
            spec, settings.currency or None, round(settings.clock.max_jump_days * DAY_MS)
        )
        encoder = ChangeEncoder(settings.namespace, spec.spec.names)
        key = claim.token.encode()
        self._partition = Partition(spec, policy_of(settings), builder, encoder, key)
        self._partition.load(claim.meta, None, self._store.records())

    def _check(self, log: Log) -> None:
        position, where = self.position, f"partition {self.number}"
        if position.source and position.source != log.topic_id:
            raise StateError(
                f"insights: expected topic id {position.source} as in {self._where}, got "
                f"{log.topic_id}: the topic was made anew; choose a new --state directory"
            )
        if position.source and not log.start <= position.entries <= log.end:
            raise StateError(
                f"insights: expected {where} of the transactions to hold offset "
                f"{position.entries}, where {self._where} stands, got offsets {log.start} to "
                f"{log.end}: what is between is deleted, so the figures would have a gap. Choose a "
                "new --state directory to count what is still there, and raise kafka.retention_days"
            )

    @property
    def next_offset(self) -> int:
        """Where to go on reading."""
        return self.position.entries

    @property
    def clock_ms(self) -> int:
        """Largest event time so far; -1 before the first event."""
        return self._partition.clock_ms

    @property
    def first_ms(self) -> int:
        """Time of the first event; -1 before it."""
        return self._partition.first_ms

    def apply(
        self, payloads: Sequence[bytes], latest_ms: Sequence[int], position: int
    ) -> tuple[int, int]:
        """Apply a run of messages and commit it; returns how many counted, and dead letters.

        Parameters
        ----------
        latest_ms
            Latest time each event may have.
        position
            Offset behind them.
        """
        before = self._partition.meta()
        self._partition.stage(parse_json_lines(payloads), latest_ms)  # 1
        while not self._partition.run():
            self._partition.take_panel()
            self._partition.open_day()
        bought = encode_block(self._partition.purchases())
        taken = self._partition.take()
        self.position = Position(self.position.source, position)
        self._n += 1
        self._store.commit(  # 2
            Batch(
                epoch=self._epoch, position=self.position, meta=taken.meta,
                records=taken.records, ended=taken.ended, outbox=Outbox(self._n),
                panel=_NO_RECORDS, ledger=taken.ledger.tobytes(), new_day=False, trainer=None,
                models=(), purchases=bought,
            )
        )  # fmt: skip
        return taken.meta.applied - before.applied, taken.meta.dead - before.dead

    def prune(self, purchases_day: int, ledger_day: int) -> None:
        """Drop purchases and orders of days before these (since 1970)."""
        self._store.prune(purchases_day, ledger_day)

    def members(self) -> tuple[list[str], IntArray]:
        """Customer ids and their slots, ascending."""
        ids, rows = self._partition.living()
        return ids, np.asarray(rows, dtype=np.int64)

    @property
    def slots(self) -> int:
        """Slots ever given."""
        return self._partition.meta().next_slot

    def blocks(self) -> list[bytes]:
        """Purchases so far, block by block."""
        return self._store.purchases()

    def close(self) -> None:
        """Release the files."""
        self._store.close()


def partition_directory(directory: Path, number: int) -> Path:
    """Where one partition's rows are."""
    return directory / f"partition-{number}"


def rows_of(parts: Sequence[tuple[int, Sequence[bytes]]]) -> Iterator[Purchases]:
    """Rows of several partitions, each with its slots behind those of the one before.

    Parameters
    ----------
    parts
        (first slot, blocks) of each partition.
    """
    for base, blocks in parts:
        for body in blocks:
            yield moved(decode_block(body), base)
