"""Parsed feeds that are streamed again and again."""

from benchmarks.feeds import Replay, whole_orders

from segstream.core.events import Event
from segstream.ports import Chunk

DAY_MS = 86_400_000


def line(number: int, customer: str, order: str, day: int, amount: float) -> Event:
    return Event(
        f"e{number}", customer, day * DAY_MS, "purchase", order_id=order, amount=amount, quantity=2
    )


LINES = [
    line(0, "anna", "o1", 1, 1.5),
    line(1, "anna", "o1", 1, 2.0),
    line(2, "ben", "o2", 1, 4.0),
    line(3, "anna", "o3", 2, 8.0),
]
CHUNKS = [
    Chunk(0, [b"0", b"1", b"2"], LINES[:3], ["f:1", "f:2", "f:3"]),
    Chunk(3, [b"3"], LINES[3:], ["f:4"]),
]


def positions(replay: Replay) -> list[tuple[int, int]]:
    found, position = [], 0
    while (chunk := replay.read(position, 1)) is not None:
        found.append((chunk.position, len(chunk.parsed)))
        position += len(chunk.parsed)
    return found


def test_a_replay_gives_every_entry_once() -> None:
    assert positions(Replay("feed", CHUNKS)) == [(0, 3), (3, 1)]


def test_a_cut_ends_a_chunk_before_the_first_event_at_the_moment() -> None:
    assert positions(Replay("feed", CHUNKS).cut_at([2 * DAY_MS])) == [(0, 3), (3, 1)]
    assert positions(Replay("feed", CHUNKS, [1])) == [(0, 1), (1, 2), (3, 1)]


def test_lines_of_an_order_that_follow_each_other_become_one_event() -> None:
    chunk = whole_orders(Replay("feed", CHUNKS)).read(0, 1)
    assert chunk is not None
    first, second, third = (e for e in chunk.parsed if isinstance(e, Event))

    assert (first.event_id, first.amount, len(first.items or [])) == ("e0", 3.5, 2)
    assert second == LINES[2]
    assert third == LINES[3]
