"""Batches, restarts, partitions and the order of arrival change nothing."""

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.core.engine import DAY_MS, MINUTE_MS, Engine, policy
from tests.core.strategies import START_MS, logs, models, specs
from tests.core.worlds import Switcher, policies, worlds

from segstream.core.events import Event
from segstream.core.layout import Policy
from segstream.core.model import Model
from segstream.core.partition import DayTotals
from segstream.core.spec import CompiledSpec, Spec

World = tuple[Spec, Model | None, list[Model | None]]


def everything(engine: Engine) -> tuple[Any, ...]:
    """All that a partition ever gave out, and all that its store holds."""
    return (
        engine.store, engine.changes, engine.dead, engine.days, engine.panel, engine.meta,
        engine.vectors(), engine.ledger,
    )  # fmt: skip


def last_minute(events: list[Event]) -> int:
    return max((e.ts for e in events if isinstance(e.ts, int)), default=START_MS) // MINUTE_MS


@given(worlds(), policies, logs(), st.data(), st.integers(0, 2000))
def test_batches_and_restarts_change_nothing(
    world: World, rules: Policy, events: list[Event], draws: st.DataObject, silence: int
) -> None:
    """Cut anywhere and restarted anywhere, a log gives the same records, changes and ids."""
    spec, first, coming = world
    compiled, until = CompiledSpec(spec), last_minute(events) + silence
    whole = Engine(compiled, rules, first, Switcher(coming)).batch(events).until(until)
    parts = Engine(compiled, rules, first, Switcher(coming))
    cuts = draws.draw(st.sets(st.integers(0, len(events)), max_size=8), label="cuts")
    for start, end in itertools.pairwise(sorted({0, len(events), *cuts})):
        parts.batch(events[start:end])
        if draws.draw(st.booleans(), label="restart"):
            parts.restart()
        # Time may pass on its own before the next event, to where that event brings it anyway.
        if draws.draw(st.booleans(), label="idle") and moves_the_clock(
            parts, events[end : end + 1]
        ):
            parts.until(last_minute(events[end : end + 1]))
    parts.until(until)
    assert everything(parts) == everything(whole)
    assert everything(parts.restart()) == everything(whole)


def moves_the_clock(parts: Engine, coming: list[Event]) -> bool:
    """Whether the next event, if any, is sure to bring the clock to its own minute."""
    return parts.partition.clock_ms >= 0 and any(
        e.type == "visit"
        and e.currency is None
        and isinstance(e.ts, int)
        and 0 <= e.ts <= parts.partition.clock_ms + 60 * DAY_MS
        for e in coming
    )


def murmur2(key: bytes) -> int:
    """Kafka's default partitioner, from its published algorithm."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i : i + 4], "little") * m & mask
        h = (h * m ^ ((k ^ k >> 24) * m)) & mask
    rest = key[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


def test_murmur2_is_kafkas() -> None:
    """The hash below agrees with the values in Kafka's own tests."""
    known = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536}
    for text, value in known.items():
        assert murmur2(text.encode()) == value & 0x7FFFFFFF


partitioners = st.sampled_from(
    [
        lambda c: murmur2(c.encode()) % 3,
        lambda c: murmur2(c.encode()) % 2,
        lambda c: sum(c.encode()) % 5,
        lambda c: len(c),
    ]
)


@st.composite
def fixed(draw: st.DrawFn) -> tuple[Spec, Model]:
    spec = draw(specs())
    return spec, draw(models(spec))


@given(fixed(), policies, logs(ordered=True, bad=False), partitioners, st.integers(0, 4000))
def test_partitions_change_nothing(
    world: tuple[Spec, Model], rules: Policy, events: list[Event],
    partition_of: Callable[[str], int], silence: int,
) -> None:  # fmt: skip
    """Split by any hash, a log in order of time gives the same records and the same changes.

    The model is fixed, and every clock ends at the same instant.
    """
    spec, model = world
    compiled, until = CompiledSpec(spec), last_minute(events) + silence
    whole = Engine(compiled, rules, model).batch(events, until)
    split = []
    for number in sorted({partition_of(e.customer_id) for e in events}):
        own = [e for e in events if partition_of(e.customer_id) == number]
        split.append(Engine(compiled, rules, model).batch(own, until))
    assert {k: v for part in split for k, v in part.records().items()} == whole.records()
    assert {k: v for part in split for k, v in part.vectors().items()} == whole.vectors()
    assert Counter(c for part in split for c in part.changes) == Counter(whole.changes)
    assert Counter(p for part in split for p in part.panel) == Counter(whole.panel)
    assert added_up(d for part in split for d in part.days) == added_up(whole.days)
    for name in ("applied", "duplicates", "late", "skipped", "dead", "customers"):
        assert sum(getattr(part.meta, name) for part in split) == getattr(whole.meta, name)


def added_up(days: Any) -> dict[int, list[int]]:
    """Totals by day over partitions, as flat integers."""
    result: dict[int, list[int]] = {}
    for d in days:
        assert isinstance(d, DayTotals)
        flat = [*d.counts, *itertools.chain(*d.sums), *d.errors]
        before = result.get(d.day, [0] * len(flat))
        result[d.day] = [x + y for x, y in zip(before, flat, strict=True)]
    return {day: flat for day, flat in result.items() if any(flat)}


@given(fixed(), logs(ordered=True, bad=False), st.data())
def test_interleaving_of_customers_at_one_time_changes_no_record(
    world: tuple[Spec, Model], events: list[Event], draws: st.DataObject
) -> None:
    """Events of different customers at the same millisecond may come in any order."""
    spec, model = world
    shuffled = draws.draw(st.permutations(range(len(events))))
    place = {c: shuffled[i] if i < len(shuffled) else i for i, c in enumerate(CUSTOMER_ORDER)}
    moved = sorted(events, key=lambda e: (e.ts, place.get(e.customer_id, -1)))
    one, two = (
        Engine(CompiledSpec(spec), policy(), model).batch(log, last_minute(events) + 300)
        for log in (sorted(events, key=lambda e: e.ts), moved)
    )
    assert one.records() == two.records()
    assert Counter(one.changes) == Counter(two.changes)


CUSTOMER_ORDER = ("ann", "bob", "cem", "dörte", "é\n\"'", "6")
