"""What the quality figures are made of, on cases small enough to work out by hand."""

import numpy as np
import pandas as pd
import pytest
from benchmarks.agreement import agree, fit_batch
from benchmarks.plain_river import moves_and_returns
from benchmarks.silences import first_drops, summarise

from segstream.report.moves import moves_of
from segstream.report.stability import undone

DAY_MS = 86_400_000
# Two pairs, far apart: the batch model finds them, with an SSE of 4 * (0.5 * s)^2.
PAIRS = np.array([[0.0], [1.0], [10.0], [11.0]])


def test_the_batch_partition_agrees_with_itself_whatever_its_numbers() -> None:
    batch = fit_batch(PAIRS, np.ones(1), 2)
    centres = batch.scale(np.array([[10.5], [0.5]]))

    found = agree(batch, centres, np.array([1, 1, 0, 0]))

    assert found.ari == 1.0
    assert found.sse_ratio == pytest.approx(1.0)


def test_a_customer_on_the_wrong_side_costs_its_distance() -> None:
    """Centres 0.5 and 10.5; the second customer, at 1, pays 9.5 squared instead of 0.25."""
    batch = fit_batch(PAIRS, np.ones(1), 2)
    centres = batch.scale(np.array([[0.5], [10.5]]))

    found = agree(batch, centres, np.array([0, 1, 1, 1]))

    assert found.sse_ratio == pytest.approx((0.25 * 3 + 9.5**2) / 1.0)
    assert found.ari < 0.5


def test_weights_stretch_the_batch_scaling() -> None:
    batch = fit_batch(PAIRS, np.array([2.0]), 2)

    assert batch.vectors.std() == pytest.approx(2.0)


def changes_frame(*rows: tuple[str, int, int | None, int, str, str]) -> pd.DataFrame:
    """Changes as (customer, day, from, to, reason, direction)."""
    who, day, from_id, to_id, reason, direction = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "customer_id": who,
            "time": pd.to_datetime(np.array(day) * DAY_MS, unit="ms", utc=True),
            "from_id": pd.array(from_id, dtype="Int64"),
            "to_id": pd.array(to_id, dtype="Int64"),
            "reason": reason,
            "direction": direction,
        }
    )


def test_silence_ends_with_the_first_drop_by_time() -> None:
    """Anna's rise and her drop at an order do not count; Ben's drop came before his last order."""
    changes = changes_frame(
        ("anna", 3, 1, 2, "time", "up"),
        ("anna", 5, 2, 1, "behaviour", "down"),
        ("ben", 8, 2, 1, "time", "down"),
        ("anna", 24, 1, 3, "time", "down"),
        ("anna", 40, 3, 4, "time", "down"),
    )

    days = first_drops(changes, ["ben", "anna"], np.array([10, 2]) * DAY_MS, 100 * DAY_MS)

    assert days.tolist() == [np.inf, 22.0]


def test_a_drop_beyond_the_horizon_is_none() -> None:
    changes = changes_frame(("anna", 24, 1, 3, "time", "down"))

    assert first_drops(changes, ["anna"], np.array([0]), 24 * DAY_MS).tolist() == [np.inf]


def test_regulars_who_never_drop_count_in_the_median() -> None:
    found = summarise(np.array([20.0, 24.0, 30.0, np.inf, np.inf]))

    assert found.days_median == 30.0
    assert found.dropped_28_days == 0.4


def test_the_median_is_infinite_where_most_never_drop() -> None:
    assert summarise(np.array([20.0, np.inf, np.inf])).days_median == np.inf


def test_no_regulars_have_no_median() -> None:
    assert summarise(np.zeros(0)).days_median is None


def test_undone_is_the_way_back_within_28_days_also_by_a_third_segment() -> None:
    """Of five changes the last has not 28 days behind it; 1 to 2 and 2 to 3 are undone."""
    changes = changes_frame(
        ("anna", 0, None, 1, "first", "level"),
        ("anna", 10, 1, 2, "time", "down"),
        ("anna", 15, 2, 3, "time", "down"),
        ("anna", 20, 3, 1, "behaviour", "up"),
        ("anna", 40, 1, 2, "time", "down"),
        ("anna", 95, 2, 1, "behaviour", "up"),
    )
    found = undone(moves_of(changes, ["anna"], 100 * DAY_MS))[0]

    assert (found.changes, found.undone) == (4, 2)


def test_labels_that_come_back_in_time_are_undone() -> None:
    slot = np.array([7, 7, 8, 7, 7])
    time_ms = np.array([0, 10, 11, 20, 60]) * DAY_MS
    labels = np.array([1, 2, 1, 1, 2])

    changed, back = moves_and_returns(slot, time_ms, labels)

    assert changed.tolist() == [False, True, False, True, True]
    assert back.tolist() == [False, True, False, False, False]
