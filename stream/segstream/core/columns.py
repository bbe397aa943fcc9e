"""Events as columns: what the kernel folds, one row per event."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import xxhash

from segstream.core.events import (
    NUMERIC_ATTRIBUTES,
    RETURN,
    TYPE_CODES,
    Event,
    Item,
    Parsed,
    epoch_ms,
    epochs_ms,
    order_amount,
)
from segstream.core.spec import (
    ITEM_FILTER_FIELDS,
    UNITS_PER_ONE,
    CompiledSpec,
    IntArray,
    Measure,
    text_hash,
)
from segstream.errors import BadEventError

RETURN_SIGN: Final = -1


class Columns(NamedTuple):
    """Events of one partition in the order of its log; n events.

    Attributes
    ----------
    time_ms : shape (n,), epoch milliseconds
    kind : shape (n,), event type codes
    slot : shape (n,), the customer's row in the records
    event_hash, order_hash : shape (n,), 64-bit; 0 where there is no order
    adds : shape (n, M), what each measure gains, stored units
    order_bits : shape (n,), bit o set where order measure o counts this line
    slot_bits : shape (n,), bit s set where recency slot s is touched
    attributes : shape (n, A), stored units or hashes
    attribute_bits : shape (n,), bit a set where attribute a is given
    applied : shape (n,), set to 1 by the kernel where the event was folded, not a duplicate
    """

    time_ms: IntArray
    kind: IntArray
    slot: IntArray
    event_hash: IntArray
    order_hash: IntArray
    adds: IntArray
    order_bits: IntArray
    slot_bits: IntArray
    attributes: IntArray
    attribute_bits: IntArray
    applied: IntArray


class Built(NamedTuple):
    """Columns without slots, and what did not become a row.

    Attributes
    ----------
    rows : index of each row in what was given
    dead : (index, error) of each dead letter
    skipped : how many entries the mapping's `skip` dropped
    """

    columns: Columns
    events: list[Event]
    rows: IntArray
    dead: list[tuple[int, BadEventError]]
    skipped: int


def _hashes(texts: Sequence[str]) -> IntArray:
    try:
        digests = b"".join(map(xxhash.xxh64_digest, texts))
    except UnicodeEncodeError:  # a lone surrogate: JSON can carry one
        return np.array([text_hash(text) for text in texts], dtype=np.int64)
    values = np.frombuffer(digests, dtype=">u8").astype(np.uint64)
    values[values == 0] = 1
    return values.view(np.int64)


class ColumnBuilder:
    """Turns parsed events into columns for one spec.

    Parameters
    ----------
    currency
        The namespace's one currency; None takes whatever comes without looking.
    max_jump_ms
        How far one event may move the clock ahead; beyond it is a dead letter.
    """

    def __init__(self, spec: CompiledSpec, currency: str | None, max_jump_ms: int) -> None:
        self._spec = spec
        self._currency = currency
        self._max_jump_ms = max_jump_ms

    def build(
        self, parsed: Sequence[Parsed], clock_ms: int, latest_ms: Sequence[int] | None = None
    ) -> Built:
        """Check what one event alone cannot tell, and lay the good ones out.

        Parameters
        ----------
        clock_ms
            The partition's clock before the first of them; negative where there is none.
        latest_ms
            The latest time each entry may have, where the log says (a Kafka record has a
            timestamp); so far ahead of the clock as the settings allow where it does not.
        """
        dead: list[tuple[int, BadEventError]] = []
        events, rows, skipped = _sort_out(parsed, dead)
        times = epochs_ms([event.ts for event in events])
        amounts, errors = self._amounts(events)
        if latest_ms is None:
            errors |= _future(times, clock_ms, self._max_jump_ms, errors)
        else:
            errors |= _later(times, [latest_ms[row] for row in rows])
        if errors:
            dead.extend((rows[i], error) for i, error in errors.items())
            dead.sort(key=lambda pair: pair[0])
            keep = [i for i in range(len(events)) if i not in errors]
            events, rows = [events[i] for i in keep], [rows[i] for i in keep]
            times, amounts = times[keep], [amounts[i] for i in keep]
        columns = self._lay_out(events, times, amounts)
        return Built(columns, events, np.array(rows, dtype=np.int64), dead, skipped)

    def _amounts(self, events: list[Event]) -> tuple[list[float], dict[int, BadEventError]]:
        """Amounts in currency units, and what is wrong with events, by index."""
        amounts = [event.amount for event in events]
        if None not in amounts and self._is_plain(events):
            return amounts, {}  # type: ignore[return-value]
        judged = [self._judge(event) for event in events]
        errors = {i: found for i, found in enumerate(judged) if isinstance(found, BadEventError)}
        return [0.0 if isinstance(found, BadEventError) else found for found in judged], errors

    def _is_plain(self, events: list[Event]) -> bool:
        """Whether the amount of each event is what it says: nothing in it needs a look."""
        currencies = {event.currency for event in events}
        return (
            (not self._currency or currencies <= {None, self._currency})
            and not _have_items(events)
            and "merge" not in {event.type for event in events}
        )

    def _judge(self, event: Event) -> float | BadEventError:
        """Amount in currency units, or what is wrong with the event."""
        kind = event.type
        if event.currency is not None and event.currency != self._currency and self._currency:
            return BadEventError(
                "wrong_currency", f"expected {self._currency}, got {event.currency}"
            )
        if kind in ("purchase", "return"):
            if event.amount is not None and event.items is None:
                return event.amount
            try:
                return order_amount(event)
            except BadEventError as error:
                return error
        if kind == "merge":
            return BadEventError("merge_reserved", "type `merge` is reserved and not yet taken")
        return _line_amount(event)

    def _lay_out(self, events: list[Event], times: IntArray, money: list[float]) -> Columns:
        spec = self._spec
        kind = np.array([TYPE_CODES[e.type] for e in events], dtype=np.int64)
        n = len(events)
        values = {
            "amount": _fixed_totals(events, "amount", money),
            "quantity": _fixed_totals(events, "quantity", [e.quantity for e in events]),
            "discount": _fixed_totals(events, "discount", [e.discount for e in events]),
        }
        adds = np.zeros((n, len(spec.measures)), dtype=np.int64)
        order_bits = np.zeros(n, dtype=np.int64)
        slot_bits = np.zeros(n, dtype=np.int64)
        signs = np.where(kind == RETURN, RETURN_SIGN, 1)
        for index, measure in enumerate(spec.measures):
            counts = self._counts(measure, events, kind)
            if measure.value == "order":
                order_bits |= counts.astype(np.int64) << spec.order_measures.index(index)
            elif measure.value == "event":
                adds[:, index] = counts
            elif set(measure.where) & set(ITEM_FILTER_FIELDS):
                adds[:, index] = np.where(counts, _fixed_items(measure, events) * signs, 0)
            else:
                adds[:, index] = np.where(counts, values[measure.value] * signs, 0)
            if measure.name in spec.slots:
                touched = (counts & (kind != RETURN)).astype(np.int64)
                slot_bits |= touched << spec.slots.index(measure.name)
        given, bits = self._attributes(events)
        return Columns(
            times,
            kind,
            np.zeros(n, dtype=np.int64),
            _hashes([e.event_id for e in events]),
            self._order_hashes(events),
            adds,
            order_bits,
            slot_bits,
            given,
            bits,
            np.zeros(n, dtype=np.int64),
        )

    def _order_hashes(self, events: list[Event]) -> IntArray:
        orders = [e.order_id for e in events]
        if None in orders:
            hashes = _hashes([o or "" for o in orders])
            hashes[np.array([o is None for o in orders], dtype=bool)] = 0
            return hashes
        return _hashes(orders)  # type: ignore[arg-type]

    def _counts(self, measure: Measure, events: list[Event], kind: IntArray) -> IntArray:
        table = np.zeros(len(TYPE_CODES), dtype=bool)
        table[[TYPE_CODES[t] for t in measure.types]] = True
        counts = table[kind]
        for field, allowed in measure.where.items():
            if field not in ITEM_FILTER_FIELDS:
                wanted = frozenset(allowed)
                counts &= np.array([getattr(e, field) in wanted for e in events], dtype=bool)
        filters = _item_filters(measure)
        if filters:
            counts &= np.array([bool(_passing(filters, e)) for e in events], dtype=bool)
        return counts

    def _attributes(self, events: list[Event]) -> tuple[IntArray, IntArray]:
        names = self._spec.attributes
        values = np.zeros((len(events), len(names)), dtype=np.int64)
        bits = np.zeros(len(events), dtype=np.int64)
        for a, name in enumerate(names):
            for i, event in enumerate(events):
                value = getattr(event, name)
                if value is not None:
                    values[i, a] = attribute_units(name, value)
                    bits[i] |= 1 << a
        return values, bits


def attribute_units(name: str, value: object) -> int:
    """Return an attribute as the record keeps it: int64, or the hash of a text."""
    if name == "income":
        return round(float(value) * UNITS_PER_ONE)  # type: ignore[arg-type]
    if name == "joined_at":
        return epoch_ms(value)  # type: ignore[arg-type]
    if name in NUMERIC_ATTRIBUTES:
        return int(value)  # type: ignore[call-overload, no-any-return]
    return text_hash(str(value))


def _sort_out(
    parsed: Sequence[Parsed], dead: list[tuple[int, BadEventError]]
) -> tuple[list[Event], list[int], int]:
    if all(type(p) is Event for p in parsed):
        return list(parsed), list(range(len(parsed))), 0  # type: ignore[arg-type]
    events, rows = [], []
    for index, entry in enumerate(parsed):
        if isinstance(entry, Event):
            events.append(entry)
            rows.append(index)
        elif entry is not None:
            dead.append((index, entry))
    return events, rows, sum(entry is None for entry in parsed)


def _have_items(events: list[Event]) -> bool:
    return any([event.items for event in events])  # noqa: C419 - a list is twice as fast


def _future(
    times: IntArray, clock_ms: int, jump_ms: int, errors: dict[int, BadEventError]
) -> dict[int, BadEventError]:
    """Times before 1970 and times that would poison the clock, by index."""
    # A dead letter moves no clock, so the quick look is for batches without one.
    if not errors and (times >= 0).all():
        clocks = np.maximum.accumulate(np.append(clock_ms, times))[:-1]
        if not ((times > clocks + jump_ms) & (clocks >= 0)).any():
            return {}
    bad: dict[int, BadEventError] = {}
    clock = clock_ms
    for i, time_ms in enumerate(times.tolist()):
        if time_ms < 0:
            bad[i] = _before_1970(time_ms)
        elif clock >= 0 and time_ms > clock + jump_ms:
            days = jump_ms / 86_400_000
            bad[i] = BadEventError(
                "time_in_future",
                f"expected ts within {days:g} days after the clock ({clock} ms), got {time_ms} ms; "
                "if the feed really pauses that long, raise clock.max_jump_days",
            )
        elif i not in errors:
            clock = max(clock, time_ms)
    return bad


def _later(times: IntArray, latest: list[int]) -> dict[int, BadEventError]:
    """Times before 1970 and times later than their entry may have, by index."""
    bad: dict[int, BadEventError] = {}
    if ((times >= 0) & (times <= np.array(latest, dtype=np.int64))).all():
        return bad
    for i, time_ms in enumerate(times.tolist()):
        if time_ms < 0:
            bad[i] = _before_1970(time_ms)
        elif time_ms > latest[i]:
            bad[i] = BadEventError(
                "time_in_future", f"expected ts of at most {latest[i]} ms, got {time_ms} ms"
            )
    return bad


def _before_1970(time_ms: int) -> BadEventError:
    return BadEventError("time_before_1970", f"expected ts >= 0 ms, got {time_ms} ms")


def _fixed(values: Sequence[float]) -> IntArray:
    """Currency units or quantities to stored units, half to even."""
    return np.rint(np.array(values, dtype=np.float64) * UNITS_PER_ONE).astype(np.int64)


def _units(value: float) -> int:
    """`_fixed` of one value."""
    return round(value * UNITS_PER_ONE)


def _fixed_totals(events: list[Event], field: str, whole: Sequence[float]) -> IntArray:
    """Stored units of each event; items are rounded one by one, as lines of their own are."""
    value = _LINE_VALUES[field]
    fixed = _fixed(whole)
    if not _have_items(events):
        return fixed
    for i, event in enumerate(events):
        if event.items:
            own = fixed[i] if field == "discount" else 0
            fixed[i] = own + sum(_units(value(item)) for item in event.items)
    return fixed


def _line_amount(line: Item | Event) -> float:
    if line.amount is not None:
        return line.amount
    return line.quantity * (line.unit_price or 0.0)


_LINE_VALUES: Final[dict[str, Callable[[Item | Event], float]]] = {
    "amount": _line_amount,
    "quantity": lambda item: item.quantity,
    "discount": lambda item: item.discount,
}


def _item_filters(measure: Measure) -> list[tuple[str, frozenset[str]]]:
    return [(f, frozenset(v)) for f, v in measure.where.items() if f in ITEM_FILTER_FIELDS]


def _passing(filters: list[tuple[str, frozenset[str]]], event: Event) -> list[Item | Event]:
    """Items (or the one line) that every filter lets through."""
    lines: Sequence[Item | Event] = event.items or [event]
    return [x for x in lines if all(getattr(x, f) in v for f, v in filters)]


def _fixed_items(measure: Measure, events: list[Event]) -> IntArray:
    """Stored units of the items (or the one line) a measure's item filters let through."""
    filters = _item_filters(measure)
    value = _LINE_VALUES[measure.value]
    return np.array(
        [sum(_units(value(x)) for x in _passing(filters, event)) for event in events],
        dtype=np.int64,
    )
