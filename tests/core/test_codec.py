"""Records to bytes and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.engine import Engine, policy
from tests.core.strategies import START_MS, logs

from segstream.core.codec import VERSION, decode_rows, encode_rows, joined
from segstream.core.events import Event, Parsed
from segstream.core.layout import (
    ARENA_USED,
    CAPACITY,
    LENGTH,
    N_LISTS,
    OFFSET,
    STORED_FROM,
    Records,
    layout_of,
)  # fmt: skip
from segstream.core.memory import new_records
from segstream.core.spec import CompiledSpec, Feature, Measure, Spec
from segstream.errors import StateError

SPEC = CompiledSpec(
    Spec(
        (Measure("spend", ("purchase",), "amount"), Measure("visits", ("visit",), "event")),
        (
            Feature("spend", "sum", "spend", window_days=30),
            Feature("recency", "recency", "visits"),
            Feature("income", "attribute", attribute="income", use="describe"),
        ),
    )
)
LAYOUT = layout_of(SPEC)
words = st.one_of(
    st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 2**62, -(2**62), 63, 64, -64, -65]),
    st.integers(-(2**63), 2**63 - 1),
)
Row = tuple[list[int], list[list[int]]]


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """The head of a record and its four lists, of any words."""
    width = LAYOUT.width - STORED_FROM
    head = draw(st.lists(words, min_size=width, max_size=width))
    lists = []
    for entry in LAYOUT.widths.tolist():
        n = draw(st.integers(0, 5)) * entry
        lists.append(draw(st.lists(words, min_size=n, max_size=n)))
    return head, lists


def put(records: Records, row: int, content: Row) -> None:
    head, lists = content
    records.head[row, STORED_FROM:] = head
    for which, entries in enumerate(lists):
        at = int(records.counters[ARENA_USED])
        records.arena[at : at + len(entries)] = entries
        records.lists[row, 3 * which + OFFSET] = at
        records.lists[row, 3 * which + LENGTH] = len(entries)
        records.lists[row, 3 * which + CAPACITY] = len(entries)
        records.counters[ARENA_USED] += len(entries)


def got(records: Records, row: int) -> Row:
    lists = []
    for which in range(N_LISTS):
        at, n = records.lists[row, 3 * which + OFFSET], records.lists[row, 3 * which + LENGTH]
        lists.append(records.arena[at : at + n].tolist())
    return records.head[row, STORED_FROM:].tolist(), lists


def encoded(records: Records, count: int) -> list[bytes]:
    buffer, ends = encode_rows(LAYOUT, records, np.arange(count, dtype=np.int64))
    starts = [0, *ends.tolist()]
    return [buffer.tobytes()[a:b] for a, b in zip(starts, ends.tolist(), strict=False)]


@given(st.lists(rows(), min_size=1, max_size=4))
def test_round_trip(contents: list[Row]) -> None:
    """Any record of 64-bit words comes back as it was, and gives the same bytes again."""
    records = new_records(LAYOUT, 60)
    for row, content in enumerate(contents):
        put(records, row, content)
    blobs = encoded(records, len(contents))
    again = new_records(LAYOUT, 60)
    buffer, starts = joined(blobs)
    assert decode_rows(LAYOUT, again, np.arange(len(blobs), dtype=np.int64), buffer, starts)
    assert [got(again, row) for row in range(len(blobs))] == contents
    assert encoded(again, len(blobs)) == blobs


def test_a_row_that_held_another_record_is_read_anew() -> None:
    """What was found in the lists of a former record is forgotten with it."""
    event = Event(event_id="1", customer_id="a", ts=START_MS, type="purchase", amount=9.99)
    ((_, blob),) = Engine(SPEC, policy()).batch([event]).store.values()
    records = new_records(LAYOUT, 60)
    records.found[:] = 7
    buffer, starts = joined([blob])
    assert decode_rows(LAYOUT, records, np.zeros(1, dtype=np.int64), buffer, starts)
    assert not records.found[0].any()
    assert (records.found[1:] == 7).all()


def decodes(blob: bytes) -> bool:
    records = new_records(LAYOUT, 60)
    buffer, starts = joined([blob])
    return decode_rows(LAYOUT, records, np.zeros(1, dtype=np.int64), buffer, starts)


@given(logs(max_size=20), st.data())
def test_a_cut_record_is_noticed(events: list[Parsed], draws: st.DataObject) -> None:
    """A record that lost or gained bytes at its end is never taken for a whole one."""
    for _, blob in Engine(SPEC, policy()).batch(events).store.values():
        assert decodes(blob)
        assert not decodes(blob[: draws.draw(st.integers(1, len(blob) - 1))])
        assert not decodes(blob + draws.draw(st.binary(min_size=1, max_size=30)))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_harm(noise: bytes) -> None:
    """Whatever lies in the store, reading it never leaves the room that its bytes were given."""
    decodes(bytes([VERSION]) + noise)


@pytest.mark.parametrize("blob", [b"", bytes([VERSION + 1, 0, 0])])
def test_another_version_is_refused_with_the_remedy(blob: bytes) -> None:
    """Bytes of another version are refused before anything is read."""
    with pytest.raises(StateError, match=r"expected records of version 1.*rebuild"):
        joined([blob])


def test_record_bytes_are_small() -> None:
    """A customer with one purchase takes some tens of bytes, not hundreds."""
    event = Event(event_id="1", customer_id="a", ts=START_MS, type="purchase", amount=9.99)
    ((_, blob),) = Engine(SPEC, policy()).batch([event]).store.values()
    assert len(blob) < 80
