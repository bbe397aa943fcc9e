"""What follows a change, beside those who stayed; and silence; and who left the best."""

import numpy as np
import pytest
from tests.report.frames import FIRST_DAY, Change, Purchase, at, moves, spending

from segstream.report.aftermath import aftermath
from segstream.report.leavers import left_best
from segstream.report.silence import silent_days

IDS = ["mover", "stayer", "also", "other"]
FIRST: list[Change] = [
    ("mover", 0.0, None, 1, "first", "level"),
    ("stayer", 0.0, None, 1, "first", "level"),
    ("also", 0.0, None, 1, "first", "level"),
    ("other", 0.0, None, 2, "first", "level"),
]
PURCHASES: list[Purchase] = [
    (0, 20, 500.0),  # the day of the change itself is not after it
    (0, 21, 60.0),
    (0, 76, 30.0),  # the 56th day
    (0, 77, 999.0),  # the 57th
    (1, 30, 40.0),
    (2, 40, 20.0),
    (3, 30, 7777.0),  # in another segment
]


def best(n: int, segment_id: int = 2) -> "np.typing.NDArray[np.int64]":
    return np.full(n, segment_id, dtype=np.int64)


def test_movers_are_compared_with_the_mean_of_those_who_stayed_that_day() -> None:
    rows = [*FIRST, ("mover", 20.5, 1, 2, "behaviour", "up")]
    found = aftermath(
        moves(rows, IDS, 200.0), spending(PURCHASES, 4), best(5), FIRST_DAY + 199, seed=7
    )
    assert [a.kind for a in found] == ["moved_up"]
    up = found[0]
    assert (up.changes, up.customers, up.spend, up.stayers_spend) == (1, 1, 90.0, 30.0)
    assert up.ratio == pytest.approx(3.0)


def test_who_changes_on_the_same_day_did_not_stay() -> None:
    rows = [
        *FIRST,
        ("mover", 20.5, 1, 2, "behaviour", "up"),
        ("stayer", 20.2, 1, 2, "model", "up"),
        ("stayer", 20.4, 2, 1, "model", "down"),
    ]
    found = aftermath(
        moves(rows, IDS, 200.0), spending(PURCHASES, 4), best(7), FIRST_DAY + 199, seed=7
    )
    assert found[0].stayers_spend == 20.0


def test_a_change_without_eight_whole_weeks_after_it_does_not_count() -> None:
    rows = [*FIRST, ("mover", 20.5, 1, 2, "behaviour", "up")]
    found = moves(rows, IDS, 200.0)
    spent = spending(PURCHASES, 4)
    assert aftermath(found, spent, best(5), FIRST_DAY + 75, seed=7) == []
    assert len(aftermath(found, spent, best(5), FIRST_DAY + 76, seed=7)) == 1


def test_changes_that_the_model_made_are_of_no_kind() -> None:
    rows = [*FIRST, ("mover", 20.5, 1, 2, "recluster", "up")]
    found = moves(rows, IDS, 200.0)
    assert aftermath(found, spending(PURCHASES, 4), best(5), FIRST_DAY + 199, seed=7) == []


def test_silence_and_leaving_the_best_segment_may_be_the_same_change() -> None:
    rows = [*FIRST, ("mover", 20.5, 1, 3, "time", "down")]
    found = aftermath(
        moves(rows, IDS, 200.0), spending(PURCHASES, 4), best(5, 1), FIRST_DAY + 199, seed=7
    )
    assert [a.kind for a in found] == ["fell_silent", "left_best"]


def test_the_interval_is_the_same_for_the_same_seed() -> None:
    rows = [*FIRST, ("mover", 20.5, 1, 2, "behaviour", "up")]
    found = moves(rows, IDS, 200.0)
    spent = spending(PURCHASES, 4)
    runs = [aftermath(found, spent, best(5), FIRST_DAY + 199, seed=7) for _ in range(2)]
    assert runs[0] == runs[1]
    low, high = runs[0][0].low, runs[0][0].high
    assert low is not None
    assert high is not None
    assert low <= high


def test_a_regulars_silence_runs_from_the_last_order_to_the_first_drop_by_time() -> None:
    orders: list[Purchase] = [(0, 2 * i, 5.0) for i in range(15)]  # the last on day 28
    rows: list[Change] = [
        ("mover", 0.0, None, 1, "first", "level"),
        ("mover", 50.5, 1, 2, "time", "down"),
        ("mover", 70.0, 2, 3, "time", "down"),  # the same spell
    ]
    found = silent_days(moves(rows, ["mover"], 200.0), spending(orders, 1), at(0))
    assert found.tolist() == [22]


def test_fourteen_orders_make_no_regular() -> None:
    orders: list[Purchase] = [(0, 2 * i, 5.0) for i in range(14)]
    rows: list[Change] = [
        ("mover", 0.0, None, 1, "first", "level"),
        ("mover", 50.5, 1, 2, "time", "down"),
    ]
    assert not len(silent_days(moves(rows, ["mover"], 200.0), spending(orders, 1), at(0)))


def test_silence_that_began_before_the_first_model_is_left_out() -> None:
    orders: list[Purchase] = [(0, 2 * i, 5.0) for i in range(15)]
    rows: list[Change] = [
        ("mover", 40.0, None, 1, "first", "level"),
        ("mover", 50.5, 1, 2, "time", "down"),
    ]
    assert not len(silent_days(moves(rows, ["mover"], 200.0), spending(orders, 1), at(40)))


def test_the_list_holds_who_left_the_best_lately_and_is_still_away() -> None:
    rows: list[Change] = [
        ("away", 180.0, 1, 2, "time", "down"),
        ("twice", 175.0, 1, 2, "time", "down"),
        ("twice", 180.0, 2, 1, "behaviour", "up"),
        ("twice", 190.0, 1, 3, "time", "down"),
        ("back", 180.0, 1, 2, "time", "down"),
        ("back", 190.0, 2, 1, "behaviour", "up"),
        ("early", 150.0, 1, 2, "time", "down"),
        ("model", 180.0, 1, 2, "recluster", "down"),
    ]
    ids = ["away", "twice", "back", "early", "model"]
    found = moves(rows, ids, 200.0)
    chosen = left_best(found, found.segment_at(at(200)), best_id=1)
    assert [(ids[found.who[i]], found.to_id[i]) for i in chosen] == [("away", 2), ("twice", 3)]
