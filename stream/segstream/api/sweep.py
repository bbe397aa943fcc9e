"""All customers out of Redis: read partition by partition, joined as one view.

Each partition is read while its worker goes on, so it is as of some moment of the reading; the
aggregates made of it are, too.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, cast

import numpy as np
import pandas as pd
from redis.asyncio import Redis

from segstream.adapters import redis_keys as keys
from segstream.adapters.redis_store import Adoption, RedisStore
from segstream.core import layout as at
from segstream.core.changes import ChangeEncoder
from segstream.core.columns import ColumnBuilder
from segstream.core.freshness import evaluations
from segstream.core.insights import InsightsTable
from segstream.core.layout import layout_of
from segstream.core.ledger import NO_LEDGER
from segstream.core.model import Model
from segstream.core.partition import Partition, PartitionMeta, StoredRecord
from segstream.core.recent import HOURS_PER_DAY, R_ROW, bought_of, recent_ledger
from segstream.core.spec import CompiledSpec, FloatArray, IntArray
from segstream.core.trainer_state import TrainerState
from segstream.settings import Settings, policy_of
from segstream.view import SPEND_DAYS, View, ledger_frame

# A quarter of a megabyte a reply: long enough to be cheap, short enough not to hold up requests.
_READ_KEYS: Final = 500
# Rosters of one request.
_ROSTERS: Final = 60


class Read:
    """What was read of one partition."""

    def __init__(
        self, meta: PartitionMeta, adoption: Adoption, records: list[StoredRecord]
    ) -> None:
        self.meta, self.adoption, self.records = meta, adoption, records


async def read_partition(redis: Redis, settings: Settings, digest: str, number: int) -> Read:
    """Read the records of a partition; those that end meanwhile are left out."""
    turns = policy_of(settings).sweep_minutes
    store = RedisStore(redis, settings.namespace, number, digest, turns)
    ids: list[str] = []
    for first in range(0, turns, _ROSTERS):
        asked = redis.pipeline(transaction=False)
        for turn in range(first, min(first + _ROSTERS, turns)):
            asked.lrange(keys.roster(settings.namespace, number, turn), 0, -1)
        for members in await asked.execute():
            ids.extend(m.decode("utf-8", "surrogatepass") for m in members)
    held = await store.held()
    found: list[StoredRecord] = []
    for start in range(0, len(ids), _READ_KEYS):
        some = ids[start : start + _READ_KEYS]
        names = [keys.record(settings.namespace, number, i) for i in some]
        blobs = await redis.mget([name.encode("utf-8", "surrogatepass") for name in names])
        for customer_id, blob in zip(some, blobs, strict=True):
            if blob is not None:
                found.append(StoredRecord(len(found), customer_id, cast("bytes", blob)))
    return Read(held.meta, held.adoption, found)


def loaded(settings: Settings, spec: CompiledSpec, read: Read, model: Model | None) -> Partition:
    """Lay a partition out in memory, under the model it has adopted."""
    encoder = ChangeEncoder(settings.namespace, spec.spec.names)
    partition = Partition(spec, policy_of(settings), ColumnBuilder(spec, None, 1), encoder, b"")
    # The day's totals are the worker's business.
    meta: Any = read.meta
    partition.load(PartitionMeta(
        clock_ms=meta.clock_ms, clock_minute=meta.clock_minute, day=meta.day,
        first_ms=meta.first_ms, next_slot=len(read.records),
    ), model, iter(read.records))  # fmt: skip
    return partition


class SweptView(View):
    """A view of several partitions; there is no ledger but of the last days.

    Parameters
    ----------
    partitions
        At least one, the one with the largest clock first.
    """

    def __init__(
        self, settings: Settings, partitions: Sequence[Partition], trainer: TrainerState,
        models: list[Model], changes: list[bytes], counted: InsightsTable | None = None,
    ) -> None:  # fmt: skip
        super().__init__(settings, partitions[0], trainer, models, b"", changes)
        self._partitions = partitions
        self._counted = counted
        self._bought = bought_of(self.spec)

    @property
    def counted(self) -> InsightsTable | None:
        """See `View.counted`: the role `insights` does."""
        return self._counted

    @property
    def keeps_ledger(self) -> bool:
        """Redis keeps none."""
        return False

    @property
    def keeps_recent(self) -> bool:
        """See `View.keeps_recent`: where the spec measures it, and a window reaches as far."""
        reach_hours = int(self.spec.arrays.windows.max(initial=0))
        known = self._bought is not None and self._bought.slot is not None
        return known and reach_hours >= SPEND_DAYS * HOURS_PER_DAY

    @cached_property
    def recent(self) -> pd.DataFrame:
        """See `View.recent`."""
        bought = self._bought
        if not self.keeps_recent or bought is None or bought.slot is None:
            return ledger_frame(NO_LEDGER)
        found, base = [], 0
        for partition in self._partitions:
            rows = partition.living()[1]
            days = partition.recent_days(rows, bought)
            days[:, R_ROW] += base
            found.append(days)
            base += len(rows)
        last_hour = self.heads[:, layout_of(self.spec).slots + 2 * bought.slot + 1]
        last_day = np.where(last_hour == at.NEVER, -1, last_hour // HOURS_PER_DAY)
        return ledger_frame(recent_ledger(np.concatenate(found), last_day))

    @property
    def n_orders(self) -> int:
        """See `View.n_orders`: of those who are there."""
        if self._bought is None:
            return 0
        return int(self.heads[:, layout_of(self.spec).totals + self._bought.orders].sum())

    @property
    def model(self) -> Model | None:
        """The newest model that was made."""
        return self.models[-1] if self.models else None

    @property
    def first_ms(self) -> int:
        """Time of the first event of any partition."""
        known = [p.first_ms for p in self._partitions if p.first_ms >= 0]
        return min(known, default=-1)

    @cached_property
    def vectors(self) -> tuple[list[str], FloatArray, FloatArray]:
        """See `View.vectors`: partition after partition."""
        each = [partition.living() for partition in self._partitions]
        values = [p.evaluate(rows) for p, (_, rows) in zip(self._partitions, each, strict=True)]
        ids = [customer_id for some, _ in each for customer_id in some]
        raw, scaled = (np.concatenate(columns) for columns in zip(*values, strict=True))
        return ids, raw, scaled

    @cached_property
    def slots(self) -> IntArray:
        """See `View.slots`."""
        return np.arange(len(self.vectors[0]), dtype=np.int64)

    @cached_property
    def heads(self) -> IntArray:
        """See `View.heads`."""
        return np.concatenate([p.head(p.living()[1]) for p in self._partitions])

    @cached_property
    def evaluations(self) -> tuple[IntArray, IntArray]:
        """See `View.evaluations`."""
        segments, evaluated = zip(*map(evaluations, self._partitions), strict=True)
        return np.concatenate(segments), np.concatenate(evaluated)
