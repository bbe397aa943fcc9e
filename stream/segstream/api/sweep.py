"""All customers out of Redis: read partition by partition, joined as one view.

Each partition is read while its worker goes on, so it is as of some moment of the reading; the
aggregates made of it are, too. A partition is laid out in memory only to take what a view needs
of it: `segstream.api.sweeper` does that in a process of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, cast

import numpy as np
import pandas as pd
from redis.asyncio import Redis

from segstream.adapters import redis_keys as keys
from segstream.adapters.redis_store import Adoption, RedisStore
from segstream.core import layout as at
from segstream.core.freshness import evaluations
from segstream.core.insights_answer import InsightsTable
from segstream.core.layout import layout_of
from segstream.core.ledger import NO_LEDGER
from segstream.core.model import Model
from segstream.core.partition import Partition, PartitionMeta, StoredRecord
from segstream.core.recent import HOURS_PER_DAY, R_ROW, bought_of, recent_ledger
from segstream.core.spec import CompiledSpec, FloatArray, IntArray
from segstream.core.trainer_state import TrainerState
from segstream.settings import Settings, policy_of
from segstream.view import SPEND_DAYS, View, empty_partition
from segstream.view_frames import ledger_frame

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


@dataclass(frozen=True, slots=True)
class Swept:
    """What a view needs of a partition's customers, in the order of their first events.

    Attributes
    ----------
    raw, scaled : shape (n, F), as of the last evaluation
    heads : shape (n, H), fixed columns
    evaluations
        Segment and last evaluation (epoch ms); shapes (n,).
    recent
        Rows of `segstream.core.recent.recent_days`; None where the spec does not measure it.
    clock_ms, first_ms
        Event time, epoch ms; -1 before the first event.
    """

    ids: list[str]
    raw: FloatArray
    scaled: FloatArray
    heads: IntArray
    evaluations: tuple[IntArray, IntArray]
    recent: IntArray | None
    clock_ms: int
    first_ms: int


async def sweep(
    redis: Redis, settings: Settings, spec: CompiledSpec, models: Sequence[Model]
) -> list[Swept]:
    """Read everybody, the partition with the largest clock first."""
    known = {model.number: model for model in models}
    found = []
    for number in range(settings.kafka.partitions):
        read = await read_partition(redis, settings, spec.spec.digest, number)
        model = known.get(read.adoption.number)
        found.append(swept(_loaded(settings, spec, read, model)))
    return sorted(found, key=lambda one: -one.clock_ms)


def swept(partition: Partition) -> Swept:
    """Take what a view needs."""
    ids, rows = partition.living()
    raw, scaled = partition.evaluate(rows)
    bought = bought_of(partition.spec)
    known = bought is not None and bought.slot is not None
    return Swept(
        ids, raw, scaled, partition.head(rows), evaluations(partition),
        partition.recent_days(rows, bought) if bought is not None and known else None,
        partition.clock_ms, partition.first_ms,
    )  # fmt: skip


def _loaded(settings: Settings, spec: CompiledSpec, read: Read, model: Model | None) -> Partition:
    """Lay a partition out in memory, under the model it has adopted."""
    partition = empty_partition(settings, spec)
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
    parts
        At least one, the one with the largest clock first.
    """

    def __init__(
        self, settings: Settings, spec: CompiledSpec, parts: Sequence[Swept],
        trainer: TrainerState, models: list[Model], changes: list[bytes],
        counted: InsightsTable | None = None,
    ) -> None:  # fmt: skip
        super().__init__(settings, empty_partition(settings, spec), trainer, models, b"", changes)
        self._parts = parts
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
        for part in self._parts:
            if part.recent is not None:
                days = part.recent.copy()
                days[:, R_ROW] += base
                found.append(days)
            base += len(part.ids)
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
    def clock_ms(self) -> int:
        """See `View.clock_ms`: the largest."""
        return max(self._parts[0].clock_ms, 0)

    @property
    def first_ms(self) -> int:
        """Time of the first event of any partition."""
        known = [part.first_ms for part in self._parts if part.first_ms >= 0]
        return min(known, default=-1)

    @cached_property
    def vectors(self) -> tuple[list[str], FloatArray, FloatArray]:
        """See `View.vectors`: partition after partition."""
        ids = [customer_id for part in self._parts for customer_id in part.ids]
        raw = np.concatenate([part.raw for part in self._parts])
        return ids, raw, np.concatenate([part.scaled for part in self._parts])

    @cached_property
    def slots(self) -> IntArray:
        """See `View.slots`."""
        return np.arange(len(self.vectors[0]), dtype=np.int64)

    @cached_property
    def heads(self) -> IntArray:
        """See `View.heads`."""
        return np.concatenate([part.heads for part in self._parts])

    @cached_property
    def evaluations(self) -> tuple[IntArray, IntArray]:
        """See `View.evaluations`."""
        segments, evaluated = zip(*(part.evaluations for part in self._parts), strict=True)
        return np.concatenate(segments), np.concatenate(evaluated)
