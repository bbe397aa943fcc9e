"""Every feature against the raw events: by a dumb oracle, and windows by pandas."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core import oracle
from tests.core.engine import DAY_MS, HOUR_MS, MINUTE_MS, Engine, model_of, policy
from tests.core.strategies import KINDS, START_MS, bodies, specs

from segstream.core.events import Event
from segstream.core.spec import CompiledSpec, Feature, Measure, Spec

HOURS_BACK = st.one_of(st.integers(0, 46), st.integers(0, 40 * 24))


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Distinct events of one customer; orders have their lines within the order memory.

    Order lines lie in the last 46 hours, so that every line finds its order remembered in
    whatever order lines arrive. Times differ, so that no two attributes are said at once.
    """
    steps = draw(st.lists(st.tuples(HOURS_BACK, st.integers(0, 3), bodies(KINDS)), min_size=1,
                          max_size=30))  # fmt: skip
    events = []
    for i, (back, order, body) in enumerate(steps):
        fields = {**body, "event_id": f"e{i}", "customer_id": "ann"}
        if body["type"] in ("purchase", "return") and order and back <= 46:
            fields["order_id"] = f"o{order}"
        events.append(Event(ts=START_MS - back * HOUR_MS + i, **fields))
    return events


def at_hour(engine: Engine, hour: int) -> dict[str, float | None]:
    """Features of ann once everybody's turn of an hour is done."""
    return engine.until(hour * 60 + 59).features("ann")


@given(specs(max_features=12), histories(), st.lists(st.integers(1, 400), max_size=4), st.data())
def test_features_equal_the_raw_events(
    spec: Spec, events: list[Event], later: list[int], draws: st.DataObject
) -> None:
    """In any order of arrival, at any later hour, a feature is what the raw events say.

    The limits: all lines of an order within 48 hours of the clock and at most 256 orders there,
    at most 1,024 tiles.
    """
    engine = Engine(CompiledSpec(spec), policy())
    engine.batch(draws.draw(st.permutations(events)))
    hour = START_MS // HOUR_MS
    for ahead in [0, *later]:
        hour += ahead
        expected = dict(zip(spec.names, oracle.vector(spec, events, hour), strict=True))
        assert at_hour(engine, hour) == expected


@given(specs(), histories())
def test_scaled_vectors_equal_the_formula(spec: Spec, events: list[Event]) -> None:
    """A scaled feature is (transformed - mean) x weight, and the median where it is missing."""
    n = len(spec.features)
    mean, weight, median = (tuple(x + j for j in range(n)) for x in (0.5, 1.25, 9.0))
    model = model_of(spec, [[0.0] * n], mean=mean, weight=weight, median=median)
    engine = Engine(CompiledSpec(spec), policy(), model).batch(events, START_MS // MINUTE_MS + 60)
    raw, scaled = engine.vectors()["ann"]
    assert scaled == tuple(
        ((median[j] if raw[j] is None else oracle.transformed(f, raw[j])) - mean[j]) * weight[j]  # type: ignore[arg-type]
        for j, f in enumerate(spec.features)
    )


WINDOW_SPEC = Spec(
    (
        Measure("orders", ("purchase",), "order"),
        Measure("spend", ("purchase", "return"), "amount"),
        Measure("units", ("purchase", "return"), "quantity"),
        Measure("web", ("purchase",), "amount", {"channel": ("web",)}),
    ),
    tuple(
        Feature(f"{measure}_{days}", "sum", measure, window_days=days)
        for measure in ("orders", "spend", "units", "web")
        for days in (0.5, 1, 7, 30)
    ),
)


@given(st.integers(0, 2**32 - 1))
def test_windows_equal_pandas_rolling(seed: int) -> None:
    """A window at hour H is pandas' rolling sum over hours H-w+1 to H."""
    random = np.random.default_rng(seed)
    n = 120
    frame = pd.DataFrame(
        {
            "hour": np.sort(random.integers(0, 50 * 24, n)) + START_MS // HOUR_MS,
            "sign": random.choice([1, 1, 1, -1], n),
            "amount": random.integers(0, 100_000, n) / 100,
            "quantity": random.integers(1, 9, n).astype(float),
            "channel": random.choice(["web", "store"], n),
        }
    )
    engine = Engine(CompiledSpec(WINDOW_SPEC), policy(sweep_minutes=1440))
    rows: list[dict[str, Any]] = frame.to_dict("records")  # type: ignore[assignment]
    engine.batch(
        Event(
            event_id=str(i),
            customer_id="ann",
            ts=row["hour"] * HOUR_MS,
            channel=row["channel"],
            type="purchase" if row["sign"] > 0 else "return",
            amount=row["amount"],
            quantity=row["quantity"],
        )
        for i, row in enumerate(rows)
    )
    bought = frame["sign"] > 0
    frame["orders"] = bought.astype(float)
    frame["spend"], frame["units"] = frame.sign * frame.amount, frame.sign * frame.quantity
    frame["web"] = frame.amount.where(bought & (frame.channel == "web"), 0.0)
    measures = ["orders", "spend", "units", "web"]
    last = int(frame.hour.max())
    hourly = frame.groupby("hour")[measures].sum()
    hourly = hourly.reindex(range(int(frame.hour.min()), last + 1), fill_value=0.0)
    features = engine.features("ann")
    for days in (0.5, 1, 7, 30):
        rolled = hourly.rolling(int(days * 24), min_periods=1).sum().loc[last]
        for measure in measures:
            assert features[f"{measure}_{days}"] == pytest.approx(rolled[measure], abs=1e-6)


def test_over_the_limit_of_tiles_old_hours_merge_into_days() -> None:
    """With over 1,024 busy hours lifetime totals stay exact, windows count old days whole."""
    spec = Spec(
        (Measure("visits", ("visit",), "event"),),
        (
            Feature("ever", "count", "visits"),
            Feature("year", "count", "visits", window_days=365),
            Feature("week", "count", "visits", window_days=7),
        ),
    )
    engine = Engine(CompiledSpec(spec), policy(sweep_minutes=1440))
    hours = range(1500)
    first = START_MS - START_MS % DAY_MS
    engine.batch(
        Event(event_id=str(h), customer_id="ann", ts=first + h * HOUR_MS, type="visit")
        for h in hours
    )
    assert engine.features("ann") == {"ever": 1500.0, "year": 1500.0, "week": 168.0}
