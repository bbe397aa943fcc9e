"""Rates, undone changes and lead, with answers worked out by hand."""

import pytest
from tests.report.frames import Change, moves

from segstream.report.stability import month_end_lead, rates, undone

FIRST: list[Change] = [
    ("ann", 0.0, None, 1, "first", "level"),
    ("bob", 0.0, None, 1, "first", "level"),
]


def test_a_change_is_undone_when_the_customer_is_back_within_28_days() -> None:
    rows = [
        *FIRST,
        ("ann", 10.0, 1, 2, "behaviour", "up"),
        ("ann", 38.0, 2, 1, "time", "down"),  # exactly 28 days later: undone
        ("bob", 10.0, 1, 2, "behaviour", "up"),
        ("bob", 38.5, 2, 1, "time", "down"),  # too late
    ]
    found = {u.reason: u for u in undone(moves(rows, ["ann", "bob"], 200.0))}
    assert (found["behaviour"].changes, found["behaviour"].undone) == (2, 1)
    assert (found["time"].changes, found["time"].undone) == (2, 0)
    assert found["all"].share == 0.25


def test_a_change_is_undone_also_by_way_of_a_third_segment() -> None:
    rows = [
        *FIRST,
        ("ann", 10.0, 1, 2, "behaviour", "up"),
        ("ann", 15.0, 2, 3, "behaviour", "up"),
        ("ann", 20.0, 3, 1, "time", "down"),
    ]
    found = undone(moves(rows, ["ann", "bob"], 200.0))
    assert (found[0].changes, found[0].undone) == (3, 1)


def test_what_another_customer_does_undoes_nothing() -> None:
    rows = [
        *FIRST,
        ("ann", 10.0, 1, 2, "behaviour", "up"),
        ("bob", 12.0, 1, 2, "behaviour", "up"),
        ("bob", 100.0, 2, 1, "time", "down"),
    ]
    assert undone(moves(rows, ["ann", "bob"], 200.0))[0].undone == 0


def test_a_change_younger_than_28_days_is_not_judged() -> None:
    rows = [
        *FIRST,
        ("ann", 180.0, 1, 2, "behaviour", "up"),
        ("ann", 181.0, 2, 1, "time", "down"),
    ]
    found = undone(moves(rows, ["ann", "bob"], 200.0))[0]
    assert (found.changes, found.share) == (0, None)


def test_changes_per_year_count_from_each_customers_first_segment() -> None:
    rows = [
        *FIRST,
        ("late", 265.0, None, 1, "first", "level"),
        ("ann", 10.0, 1, 2, "behaviour", "up"),
        ("ann", 100.0, 2, 1, "time", "down"),
        ("late", 300.0, 1, 2, "behaviour", "up"),
        ("gone", 10.0, 1, 2, "behaviour", "up"),
    ]
    found = {r.reason: r for r in rates(moves(rows, ["ann", "bob", "late"], 365.0))}
    # 3 changes in 365 + 365 + 100 days watched; who is gone counts for nothing.
    assert found["all"].changes == 3
    assert found["all"].mean == pytest.approx(3 * 365 / 830)
    assert found["all"].median == pytest.approx(2.0)
    assert found["time"].mean == pytest.approx(365 / 830)
    assert found["time"].median == 0.0


def test_who_is_watched_for_less_than_90_days_has_no_yearly_rate() -> None:
    rows = [*FIRST, ("ann", 10.0, 1, 2, "behaviour", "up")]
    found = rates(moves(rows, ["ann", "bob"], 50.0))[0]
    assert found.mean == pytest.approx(365 / 100)
    assert found.median is None


def test_first_segments_are_not_changes() -> None:
    found = rates(moves(FIRST, ["ann", "bob"], 365.0))
    assert [(r.reason, r.changes) for r in found] == [("all", 0)]


def test_without_segments_there_is_nothing_to_rate() -> None:
    assert rates(moves([], ["ann"], 365.0)) == []
    assert undone(moves([], ["ann"], 365.0))[0].share is None


def test_the_lead_runs_to_the_first_instant_of_the_next_month() -> None:
    rows = [
        *FIRST,
        ("ann", 10.0, 1, 2, "behaviour", "up"),  # 11 January: 21 days to 1 February
        ("bob", 33.0, 1, 2, "behaviour", "up"),  # 3 February: 26 days to 1 March
        ("bob", 40.0, 2, 1, "time", "down"),  # 10 February: 19 days
        ("ann", 41.0, 2, 1, "recluster", "down"),
    ]
    found = month_end_lead(moves(rows, ["ann", "bob"], 200.0))
    assert (found.changes, found.days_median) == (3, 21.0)
    # One of the three, bob's first, was over by the first of March.
    assert found.missed_share == pytest.approx(1 / 3)


def test_no_change_has_no_lead() -> None:
    assert month_end_lead(moves(FIRST, ["ann", "bob"], 200.0)).days_median is None
