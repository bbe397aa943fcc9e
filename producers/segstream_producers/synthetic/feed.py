"""The feed of a plan, day by day, and the truth about it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import numpy as np

from segstream.kafka_settings import DAY_MS
from segstream_producers.synthetic.arrivals import KINDS, Columns, Shop
from segstream_producers.synthetic.faults import BAD, DUPLICATE, FIRST_BAD, Disturber
from segstream_producers.synthetic.lines import encode
from segstream_producers.synthetic.plan import Plan
from segstream_producers.synthetic.population import (
    STOPPED,
    Ints,
    Population,
    customer_id,
    populate,
)


@dataclass
class Counts:
    """What has been generated so far.

    Attributes
    ----------
    lines
        All: events, duplicates and bad ones.
    events
        Good ones, each once.
    late, out_of_order
        Of the events.
    bad, types, segments
        Bad lines by kind; events by type and by planted segment.
    """

    lines: int = 0
    events: int = 0
    duplicates: int = 0
    late: int = 0
    out_of_order: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    segments: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Arrived:
    """Lines in the order they arrive.

    Attributes
    ----------
    who
        Numbers of the customers, also of lines that do not say it.
    arrives_ms
        Epoch ms, never falling.
    """

    lines: list[bytes]
    who: Ints
    arrives_ms: Ints


class Spell(msgspec.Struct, frozen=True, omit_defaults=True, rename={"start": "from", "end": "to"}):
    """How long a customer was in a planted segment.

    Attributes
    ----------
    start, end
        Epoch ms, from and up to; `from` and `to` in JSON.
    fades_from
        Epoch ms from which a customer of a fading segment comes less and less.
    """

    customer: str
    segment: str
    start: int
    end: int
    fades_from: int | None = None


def batches(plan: Plan, counts: Counts | None = None) -> Iterator[Arrived]:
    """Generate a feed in pieces of a day of arrivals.

    Memory is some 200 bytes per customer, a day of events, and those that come late.

    Parameters
    ----------
    counts
        Grows with what is given out.
    """
    counts = Counts() if counts is None else counts
    shop, disturber = Shop(plan, populate(plan)), Disturber(plan.faults, plan.seed)
    names = [one.name for one in plan.behaviours()]
    number = 0
    for day in range(plan.days):
        events = shop.events_of(day, number)
        number += len(events)
        ends_ms = plan.start_ms + (day + 1) * DAY_MS if day + 1 < plan.days else None
        found = disturber.disturb(day, events, ends_ms)
        counts.late, counts.out_of_order = disturber.late, disturber.out_of_order
        _count(found, names, counts)
        if len(found):
            yield Arrived(encode(found, plan.currency), found.who, found.arrives_ms)


def generate(plan: Plan, counts: Counts | None = None) -> Iterator[list[bytes]]:
    """Generate a feed's lines, without their line breaks; see `batches`."""
    return (one.lines for one in batches(plan, counts))


def _count(found: Columns, names: list[str], counts: Counts) -> None:
    own = found.fault == 0
    counts.lines += len(found)
    counts.events += int(own.sum())
    counts.duplicates += int((found.fault == DUPLICATE).sum())
    for into, each, values in (
        (counts.types, KINDS, found.kind[own]),
        (counts.segments, names, found.segment[own]),
        (counts.bad, list(BAD), found.fault[found.fault >= FIRST_BAD] - FIRST_BAD),
    ):
        for at, n in enumerate(np.bincount(values, minlength=len(each)).tolist()):
            into[each[at]] += n


def truth(plan: Plan) -> Iterator[Spell]:
    """Yield who was in which planted segment and when, by customer and time."""
    people, table = populate(plan), plan.behaviours()
    for number in range(plan.customers):
        for row, first, last in _spells(people, number, plan.days):
            start, end = (plan.start_ms + day * DAY_MS for day in (first, last))
            fades = plan.start_ms + int(people.fades_day[number]) * DAY_MS
            fading = table[row].fade_weeks > 0 and fades < end
            shown = max(start, fades) if fading else None
            yield Spell(customer_id(number), table[row].name, start, end, shown)


def _spells(people: Population, number: int, days: int) -> Iterator[tuple[int, int, int]]:
    joins, switches = int(people.joins_day[number]), int(people.switch_day[number])
    before, after = int(people.before[number]), int(people.after[number])
    for row, first, last in ((before, joins, min(switches, days)), (after, switches, days)):
        if row != STOPPED and first < last:
            yield row, first, last


def header(plan: Plan, counts: Counts) -> dict[str, Any]:
    """Return what the truth file's first line says: the plan, and what was counted."""
    return {
        "plan": asdict(plan) | {"end_ms": plan.end_ms, "drift_day": plan.drift_day},
        "behaviours": [one.name for one in plan.behaviours()],
        "counts": vars(counts),
        "bad_codes": BAD,
    }
