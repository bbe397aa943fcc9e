"""Changes laid out by customer, and what a customer is in at a moment."""

from tests.report.frames import FIRST_DAY, at, moves

from segstream.report.flows import flows, sizes

ROWS = [
    ("ann", 10.0, None, 1, "first", "level"),
    ("bob", 10.0, None, 2, "first", "level"),
    ("gone", 10.0, None, 2, "first", "level"),
    ("ann", 20.5, 1, 2, "behaviour", "up"),
    ("gone", 25.0, 2, None, "erased", "level"),
    ("ann", 60.0, 2, 1, "time", "down"),
    ("new", 75.0, None, 1, "first", "level"),
]
IDS = ("ann", "bob", "new")


def test_a_customer_is_in_the_segment_of_the_last_change() -> None:
    found = moves(ROWS, IDS, 80.0)
    assert found.segment_at(at(9)).tolist() == [-1, -1, -1]
    assert found.segment_at(at(20.5)).tolist() == [2, 2, -1]
    assert found.segment_at(at(80)).tolist() == [1, 2, 1]


def test_each_change_knows_when_the_next_one_comes() -> None:
    found = moves(ROWS, IDS, 80.0)
    ann = found.who == 0
    assert found.next_ms[ann].tolist() == [at(20.5), at(60), at(80)]


def test_who_has_no_record_any_more_is_not_living() -> None:
    found = moves(ROWS, IDS, 80.0)
    assert found.living.sum() == 5


def test_flows_compare_the_segment_30_days_ago_with_today() -> None:
    found = moves(ROWS, IDS, 80.0)
    table = flows(found, found.segment_at(at(80)))
    rows = set(table.itertuples(index=False, name=None))
    assert rows == {(2, 1, 1), (2, 2, 1), (-1, 1, 1)}


def test_there_and_back_within_30_days_is_no_flow() -> None:
    rows = [
        ("ann", 0.0, None, 1, "first", "level"),
        ("ann", 90.0, 1, 2, "behaviour", "up"),
        ("ann", 95.0, 2, 1, "time", "down"),
    ]
    found = moves(rows, ["ann"], 100.0)
    assert flows(found, found.segment_at(at(100))).to_numpy().tolist() == [[1, 1, 1]]


def test_sizes_count_members_at_the_end_of_each_day_also_those_gone_since() -> None:
    found = moves(ROWS, IDS, 80.0)
    table = sizes(found).pivot_table(index="day", columns="segment_id", values="customers")
    rows = table.to_dict(orient="index")
    on = {day: list(rows[FIRST_DAY + day].values()) for day in (10, 19, 20, 25, 60, 80)}
    assert on == {10: [1, 2], 19: [1, 2], 20: [0, 3], 25: [0, 2], 60: [1, 1], 80: [2, 1]}


def test_without_changes_there_are_no_sizes_and_no_flows() -> None:
    found = moves([], ["ann"], 80.0)
    assert sizes(found).empty
    assert flows(found, found.segment_at(at(80))).to_numpy().tolist() == [[-1, -1, 1]]


def test_who_was_erased_and_came_back_is_somebody_else() -> None:
    back = ("gone", 70.0, None, 1, "first", "level")
    found = moves([*ROWS, back], [*IDS, "gone"], 80.0)
    assert found.segment_at(at(69)).tolist() == [1, 2, -1, -1]
    assert found.segment_at(at(80)).tolist() == [1, 2, 1, 1]
    assert (found.who == len(IDS)).sum() == 1
    # Nothing of the former one is counted as the new one's.
    assert not set(found.time_ms[found.who == len(IDS)]) & {at(10), at(25)}
