"""The event contract: profiles, duplicates, lateness and dead letters."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.engine import CURRENCY, DAY_MS, MINUTE_MS, Engine, policy
from tests.core.one_customer import SPEC, features_of, fed, made
from tests.core.strategies import START_MS

from segstream.core.columns import ColumnBuilder
from segstream.core.events import (
    DEAD_LETTER_CODES,
    Event,
    Item,
    epoch_ms,
    epochs_ms,
    parse_json,
    parse_json_lines,
)

# ---- profiles --------------------------------------------------------------------------------


@given(st.permutations(range(5)))
def test_the_latest_profile_wins_whatever_comes_last(order: list[int]) -> None:
    """An attribute is what the event with the latest time said, attribute by attribute."""
    said = [
        made("profile", at=0, number=0, income=100.0, city="Bonn"),
        made("profile", at=1, number=1, income=200.0),
        made("profile", at=2, number=2, city="Ulm"),
        made("profile", at=3, number=3, birth_year=1990),
        made(at=0, number=4, amount=1.0, city="Rom"),
    ]
    features = features_of(*(said[i] for i in order), until_hour=4)
    assert (features["income"], features["in_ulm"], features["elsewhere"]) == (200.0, 1.0, 0.0)
    assert features["age"] == 31.0


def test_what_was_never_said_is_missing() -> None:
    """Without a profile attributes are missing, not zero; an unnamed value is `other`."""
    features = features_of(made(amount=1.0))
    assert [features[n] for n in ("income", "in_ulm", "elsewhere", "age")] == [None] * 4
    elsewhere = features_of(made("profile", city="Bonn"))
    assert (elsewhere["in_ulm"], elsewhere["elsewhere"]) == (0.0, 1.0)


@given(st.permutations([100.0, 200.0, 300.0]))
def test_said_at_once_the_larger_stays(incomes: list[float]) -> None:
    """Two values of one time do not depend on which arrived first."""
    said = [made("profile", number=i, income=x) for i, x in enumerate(incomes)]
    assert features_of(*said)["income"] == 300.0


# ---- duplicates and lateness -----------------------------------------------------------------


def test_the_first_of_two_events_with_one_id_wins() -> None:
    """A repeat counts as a duplicate, whatever it says, and changes nothing."""
    engine = fed(made(amount=1.0), made(amount=99.0), made("visit", at=5))
    assert engine.features("ann")["spend"] == 1.0
    assert (engine.meta.applied, engine.meta.duplicates) == (1, 2)


def test_ids_are_unique_per_customer() -> None:
    """Two customers may use the same event id."""
    engine = fed(made(amount=1.0), made(amount=1.0, customer_id="bob"))
    assert (engine.meta.applied, engine.meta.duplicates) == (2, 0)


@pytest.mark.parametrize(("between", "applied"), [((), 2), ((20, 47), 4)])
def test_an_id_is_remembered_for_48_hours(between: tuple[int, ...], applied: int) -> None:
    """The same id 48 hours later is another event, with or without events between."""
    others = [made(at=h, number=h, amount=1.0) for h in between]
    engine = fed(made(amount=1.0), *others, made(at=48, amount=1.0), until_hour=48)
    assert (engine.meta.applied, engine.meta.duplicates) == (applied, 0)
    within = fed(made(amount=1.0), *others, made(at=47, amount=1.0), until_hour=48)
    assert within.meta.duplicates == 1


def test_a_late_event_goes_to_its_own_hour_and_is_counted() -> None:
    """Two days late and more, an event still counts in its hour; its id cannot be known again."""
    late = made(at=-60, number=1, amount=2.0)
    engine = fed(made(amount=1.0), late, late)
    features = engine.features("ann")
    assert (features["spend"], features["orders_1d"], features["tenure"]) == (5.0, 1.0, 2.5)
    assert (engine.meta.late, engine.meta.duplicates) == (2, 0)


# ---- dead letters ----------------------------------------------------------------------------


def dead_of(*events: Event) -> list[tuple[int, str]]:
    engine = Engine(SPEC, policy()).batch(events)
    assert {code for _, code in engine.dead} <= set(DEAD_LETTER_CODES)
    return engine.dead


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (made(amount=1.0, currency="USD"), "wrong_currency"),
        (made("merge"), "merge_reserved"),
        (made(), "no_amount"),
        (made("return"), "no_amount"),
        (made(amount=5.0, items=[Item(amount=4.0)]), "items_mismatch"),
        (made(amount=1.0, ts=-1), "time_before_1970"),
        (made(at=24 * 60, amount=1.0, number=1, ts=START_MS + 61 * DAY_MS), "time_in_future"),
    ],
)
def test_a_broken_event_is_a_dead_letter(event: Event, code: str) -> None:
    """What breaks the contract is named, applied nowhere, and stops nothing."""
    good = made("visit", number=7)
    assert dead_of(good, event, made("visit", number=8)) == [(1, code)]


def test_good_money_is_taken() -> None:
    """The namespace's currency, amounts from price and quantity, and rounded items are fine."""
    features = features_of(
        made(amount=1.0, currency=CURRENCY),
        made(number=1, quantity=2.0, unit_price=1.5),
        made(number=2, amount=3.01, items=[Item(amount=1.0), Item(quantity=2.0, unit_price=1.0)]),
    )
    assert (features["spend"], features["units"]) == (7.0, 6.0)


def test_a_dead_letter_moves_no_clock() -> None:
    """An event too far ahead is dead, also where another dead letter lies between, in any batch."""
    first = made("visit")
    broken = made(number=1, ts=START_MS + 59 * DAY_MS)
    far = made("visit", number=2, ts=START_MS + 61 * DAY_MS)
    assert dead_of(first, broken, far) == [(1, "no_amount"), (2, "time_in_future")]
    engine = Engine(SPEC, policy()).batch([first]).batch([broken]).batch([far])
    assert engine.dead == [(1, "no_amount"), (2, "time_in_future")]
    assert engine.meta.clock_minute == START_MS // MINUTE_MS


def test_the_jump_is_from_the_clock() -> None:
    """Sixty days ahead is fine, and from there sixty more; the first event may be any time."""
    steps = [made("visit", number=i, ts=START_MS + i * 60 * DAY_MS) for i in range(4)]
    assert dead_of(*steps) == []


_AWARE = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))]))
# Around a whole millisecond, and at the last microsecond that a float of seconds can tell.
_HARD = st.sampled_from(
    [datetime(2026, 1, 1, 0, 0, 0, us, tzinfo=UTC) for us in (0, 999, 1000, 999_999)]
    + [datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
    + [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=(1 << 51) + d) for d in (-1, 0, 1)]
)


@given(st.lists(_AWARE | _HARD), st.lists(st.integers(0, 1 << 45), max_size=2))
def test_times_of_many_are_those_of_each(moments: list[datetime], numbers: list[int]) -> None:
    """Times read together are to the millisecond those read one by one, in any year."""
    alone: list[int | datetime] = [*moments]
    for some in (alone, [*alone, *numbers]):
        assert epochs_ms(some).tolist() == [epoch_ms(one) for one in some]


def test_without_a_currency_any_is_taken() -> None:
    """A namespace without a declared currency does not look."""
    builder = ColumnBuilder(SPEC, None, 60 * DAY_MS)
    assert builder.build([made(amount=1.0, currency="XXX")], -1).dead == []


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"{", "not_json"),
        (b"[]", "bad_field"),
        (b'{"event_id":"1","customer_id":"c","ts":0,"type":"buy"}', "bad_field"),
        (b'{"event_id":"1","customer_id":"","ts":0,"type":"visit"}', "bad_field"),
        (b'{"event_id":"1","customer_id":"c","ts":"2021-03-01T00:00:00","type":"visit"}',
         "bad_field"),
        (b'{"event_id":"1","customer_id":"c","ts":0,"type":"purchase","amount":-1}', "bad_field"),
        (b'{"event_id":"1","customer_id":"c","ts":0,"type":"purchase","amount":1e9}', "bad_field"),
        (b'{"event_id":"\\ud800","customer_id":"c","ts":0,"type":"visit"}', "not_json"),
        (b'"' + b"x" * 1_048_576 + b'"', "too_large"),
    ],
)  # fmt: skip
def test_what_is_no_event(payload: bytes, code: str) -> None:
    """Bytes that are no event of the contract say why, alone and among good ones."""
    good = b'{"event_id":"1","customer_id":"c","ts":"2021-03-01T00:00:00+01:00","type":"visit"}'
    among = parse_json_lines([good, payload, good])
    for refused in (parse_json(payload), among[1]):
        assert getattr(refused, "code", None) == code
    assert isinstance(among[0], Event)
    assert among[0] == among[2]
