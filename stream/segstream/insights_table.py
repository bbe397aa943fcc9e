"""What each segment buys, out of what the role `insights` has read so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segstream.adapters.insights_store import Standings
from segstream.core.changes import rfc3339
from segstream.core.frequent import read_purchases
from segstream.core.insights import Look, Members, insights
from segstream.core.insights_answer import InsightsTable
from segstream.core.model import Model
from segstream.core.purchases import DAY_MS
from segstream.core.spec import IntArray
from segstream.insights_partition import rows_of
from segstream.insights_view import place_templates, window_days
from segstream.settings import Settings, compile_spec


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read up to one moment; partition by partition where it is a list.

    Attributes
    ----------
    model
        The newest; None where none was published.
    clock_ms, first_ms
        Event time of the newest and of the first event; -1 before it.
    members
        Customer ids and their slots.
    slots
        How many were ever given.
    blocks
        Purchases, packed.
    """

    settings: Settings
    days: int
    names: Mapping[str, str]
    standings: Standings
    model: Model | None
    clock_ms: int
    first_ms: int
    members: Sequence[tuple[list[str], IntArray]]
    slots: Sequence[int]
    blocks: Sequence[Sequence[bytes]]


def table_of(found: Snapshot) -> InsightsTable:
    """Count what each segment buys."""
    settings = found.settings.insights
    last_day = max(found.clock_ms, 0) // DAY_MS
    spec = compile_spec(found.settings)
    days = window_days(found.days or settings.days, spec)
    advice, notices = place_templates(found.settings, spec)
    segments = found.model.segments if found.model else ()
    look = Look(
        as_of=rfc3339(max(found.clock_ms, 0)),
        model=found.model.version if found.model else found.standings.model,
        last_day=last_day,
        days=days or last_day - max(found.first_ms, 0) // DAY_MS + 1,
        names=found.names,
        segment_names=found.standings.names | {s.id: s.name for s in segments},
        advice=advice,
        notices=notices,
    )
    bases = np.cumsum([0, *found.slots]).tolist()
    parts = list(zip(bases, found.blocks, strict=False))
    read = read_purchases(lambda: rows_of(parts), look.first_day, settings.max_products)
    return insights(read, _members(found, bases), look)


def _members(found: Snapshot, bases: Sequence[int]) -> Members:
    segments = found.standings.segments
    ids = [i for names, _ in found.members for i in names]
    slots = [rows + base for (_, rows), base in zip(found.members, bases, strict=False)]
    segment = np.array([segments.get(i, -1) for i in ids], dtype=np.int64)
    # Those of the newest model, and those where customers are until their partition adopts it.
    own = {s.id for s in found.model.segments} if found.model else set()
    living = tuple(sorted(own | {s for s in segment.tolist() if s >= 0}))
    return Members(np.concatenate([np.zeros(0, dtype=np.int64), *slots]), segment, living)
