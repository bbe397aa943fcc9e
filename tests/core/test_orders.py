"""What counts as an order, what an item filter sees, and what a return takes back."""

import math

from hypothesis import given
from hypothesis import strategies as st
from tests.core.engine import Engine, model_of, policy
from tests.core.one_customer import MEASURES, features_of, made
from tests.core.strategies import CATEGORIES

from segstream.core.events import Item
from segstream.core.spec import CompiledSpec, Feature, Measure, Spec

fine = st.integers(0, 10**9).map(lambda units: units / 10**5)  # finer than what is stored
lines = st.builds(
    Item, amount=fine, quantity=st.integers(0, 9).map(float), discount=fine,
    category=st.sampled_from(CATEGORIES),
)  # fmt: skip


@given(st.lists(lines, min_size=1, max_size=6))
def test_one_order_in_one_event_or_line_by_line(items: list[Item]) -> None:
    """An order with items, and its lines as events of one order, give the same features."""
    whole = features_of(made(order_id="o", items=items))
    by_line = features_of(
        *(
            made(
                number=i, order_id="o", amount=x.amount, quantity=x.quantity, discount=x.discount,
                category=x.category,
            )
            for i, x in enumerate(items)
        )
    )  # fmt: skip
    del whole["lines"], by_line["lines"]  # these count events
    assert whole == by_line


def test_an_order_counts_once_in_the_hour_of_its_earliest_line() -> None:
    """Two lines 30 hours apart, the later first: one order, 30 hours old."""
    given_order = features_of(made(at=30, number=1, order_id="o", amount=1.0),
                              made(at=0, number=0, order_id="o", amount=1.0),
                              until_hour=30)  # fmt: skip
    assert (given_order["orders"], given_order["orders_1d"], given_order["spend"]) == (
        1.0,
        0.0,
        2.0,
    )


def test_lines_without_an_order_are_orders_of_their_own() -> None:
    """Two purchases without order id are two orders; a channel's orders count the channel's."""
    features = features_of(made(amount=1.0, channel="web"), made(number=1, amount=2.0))
    assert (features["orders"], features["web_orders"], features["basket"]) == (2.0, 1.0, 1.5)


def test_an_order_counts_for_a_channel_from_any_of_its_lines() -> None:
    """An order of a store line and two web lines is one order and one web order."""
    channels = ("store", "web", "web")
    features = features_of(
        *(made(number=i, order_id="o", amount=1.0, channel=c) for i, c in enumerate(channels))
    )
    assert (features["orders"], features["web_orders"]) == (1.0, 1.0)


def test_after_48_hours_an_order_is_forgotten() -> None:
    """A line 47 hours later belongs to its order; one 48 hours later opens another."""
    first = made(amount=1.0, order_id="o")
    assert features_of(first, made(at=47, number=1, amount=1.0, order_id="o"))["orders"] == 1.0
    assert features_of(first, made(at=48, number=1, amount=1.0, order_id="o"))["orders"] == 2.0


def test_recency_of_a_filtered_measure_sees_only_what_it_counts() -> None:
    """A basket without wine does not make the last wine recent."""
    features = features_of(
        made(items=[Item(category="wine", amount=3.0), Item(category="bread", amount=1.0)]),
        made(at=24, number=1, items=[Item(category="bread", amount=2.0)]),
        made(at=36, number=2, category="bread", amount=2.0),
        until_hour=48,
    )
    assert (features["wine"], features["since_wine"], features["since_order"]) == (3.0, 2.0, 0.5)


def test_two_item_filters_hold_of_one_item() -> None:
    """Wine named in one item and p1 in another is no event of wine p1."""
    measure = Measure("m", ("purchase",), "event", {"category": ("wine",), "product_id": ("p1",)})
    spec = CompiledSpec(Spec((measure,), (Feature("n", "count", "m"),)))
    apart = [Item(category="wine", amount=1.0), Item(product_id="p1", amount=1.0)]
    same = [Item(category="wine", product_id="p1", amount=1.0)]
    for items, n in ((apart, 0.0), (same, 1.0)):
        engine = Engine(spec, policy()).batch([made(items=items)])
        assert engine.features("ann") == {"n": n}


def test_an_empty_list_of_items_is_no_list() -> None:
    """With `items: []` the event's own amount and quantity count."""
    features = features_of(made(items=[], amount=4.0, quantity=3.0, category="wine"))
    assert (features["spend"], features["units"], features["wine"]) == (4.0, 3.0, 4.0)


# ---- returns ---------------------------------------------------------------------------------


def test_a_return_before_the_purchase() -> None:
    """A return may arrive first: spend is negative until the purchase comes."""
    back = made("return", at=1, amount=5.0, quantity=2.0)
    alone = features_of(back)
    assert (alone["spend"], alone["units"], alone["returns"]) == (-5.0, -2.0, 1.0)
    assert (alone["orders"], alone["basket"]) == (0.0, 0.0)
    both = features_of(back, made(number=1, amount=8.0, quantity=3.0), until_hour=2)
    assert (both["spend"], both["units"], both["orders"], both["since_order"]) == (
        3.0, 1.0, 1.0, 2 / 24,
    )  # fmt: skip


def test_a_return_is_never_recent() -> None:
    """Returning something is no purchase: recency goes on from the order."""
    features = features_of(made(amount=5.0), made("return", at=24, number=1, amount=5.0),
                           until_hour=24)  # fmt: skip
    assert features["since_order"] == 1.0


def test_log_of_a_negative_is_minus_the_log() -> None:
    """log1p of a net return is -log1p of its size."""
    spend = Feature("spend", "sum", "spend", transform="log1p")
    spec = CompiledSpec(Spec(MEASURES, (spend,)))
    engine = Engine(spec, policy(), model_of(spec.spec, [[0.0]]))
    engine.batch([made("return", amount=5.0)])
    assert engine.vectors()["ann"] == ((-5.0,), (-math.log1p(5.0),))
