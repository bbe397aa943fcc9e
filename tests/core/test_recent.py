"""What a record still knows of the last days is what the ledger says of them."""

import numpy as np

from segstream.core.ledger import N_LEDGER
from segstream.core.recent import N_RECENT, bought_of, recent_ledger
from segstream.core.spec import CompiledSpec, Feature, Measure, Spec
from segstream.settings import RETAIL


def test_the_measures_of_all_orders_and_of_spend_are_found() -> None:
    """The retail spec has both and keeps the last order; orders of one channel are not all."""
    found = bought_of(CompiledSpec(RETAIL))
    assert found is not None
    assert [RETAIL.measures[i].name for i in (found.orders, found.spend)] == ["orders", "spend"]
    assert found.slot is not None
    some = Measure("web", ("purchase",), "order", {"channel": ("web",)})
    spend = Measure("spend", ("purchase", "return"), "amount")
    feature = Feature("spend", "sum", measure="spend", window_days=7)
    assert bought_of(CompiledSpec(Spec((some, spend), (feature,)))) is None


def test_days_become_orders_and_a_last_one_beyond_reach() -> None:
    """Each order is a row, spend stands once a day; a return is no order."""
    recent = np.array([[0, 10, 2, 500], [0, 11, 0, -80], [2, 10, 1, 70]], dtype=np.int64)
    rows = recent_ledger(recent, np.array([10, 3, 10, -1], dtype=np.int64))
    assert rows.shape == (5, N_LEDGER)
    told = [(slot, day, spend, bought) for slot, day, _, spend, bought in rows.tolist()]
    assert told == [
        (0, 10, 500, 1), (0, 10, 0, 1), (0, 11, -80, 0), (2, 10, 70, 1),  # within reach
        (1, 3, 0, 1),
    ]  # fmt: skip
    assert len(set(rows[:, 2].tolist())) == len(rows)


def test_nobody_is_no_rows() -> None:
    """An empty partition has no ledger."""
    none = np.zeros((0, N_RECENT), dtype=np.int64)
    assert len(recent_ledger(none, np.zeros(0, dtype=np.int64))) == 0
