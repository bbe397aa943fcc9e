"""Spend and orders between two days, straight from the ledger."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from tests.report.frames import FIRST_DAY, ledger, spending

from segstream.report.spending import spending_of

PURCHASES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(1, 9).map(float)), max_size=30
)


@given(PURCHASES, st.integers(0, 2), st.integers(-3, 24), st.integers(0, 24))
def test_the_index_agrees_with_a_loop_over_the_ledger(
    purchases: list[tuple[int, int, float]], who: int, first: int, days: int
) -> None:
    found = spending(purchases, 3)
    key = np.array([who]), np.array([FIRST_DAY + first]), np.array([FIRST_DAY + first + days])
    mine = [p for p in purchases if p[0] == who and first <= p[1] < first + days]
    assert found.spend(*key)[0] == sum(p[2] for p in mine)
    assert found.orders(*key)[0] == len(mine)
    before = [p[1] for p in purchases if p[0] == who and p[1] < first]
    expected = FIRST_DAY + max(before) if before else -1
    assert found.last_order(key[0], key[1])[0] == expected


def test_an_order_over_two_days_counts_once_on_its_first() -> None:
    rows = ledger([(0, 3, 5.0), (0, 4, 6.0)])
    rows["order"] = 7
    found = spending_of(rows, np.array([0]))
    who, start = np.array([0]), np.array([FIRST_DAY])
    assert found.orders(who, start, start + 10)[0] == 1
    assert found.last_order(who, start + 10)[0] == FIRST_DAY + 3
    assert found.spend(who, start, start + 10)[0] == 11.0


def test_a_return_takes_spend_back_and_is_no_order() -> None:
    rows = ledger([(0, 3, 5.0), (0, 4, -2.0)])
    rows["bought"] = [True, False]
    found = spending_of(rows, np.array([0]))
    who, start = np.array([0]), np.array([FIRST_DAY])
    assert found.spend(who, start, start + 10)[0] == 3.0
    assert found.orders(who, start, start + 10)[0] == 1


def test_an_empty_ledger_answers_with_nothing() -> None:
    found = spending_of(pd.DataFrame(ledger([])), np.array([0, 1]))
    who, day = np.array([1]), np.array([FIRST_DAY])
    assert found.empty
    assert found.spend(who, day, day + 9)[0] == 0.0
    assert found.last_order(who, day)[0] == -1
