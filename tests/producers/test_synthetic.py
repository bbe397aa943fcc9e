"""The synthetic feed: seeded bytes, faults in known shares, a truth that the events bear out."""

import itertools
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from segstream.core.events import Event, epoch_ms, parse_json
from segstream.errors import BadEventError, ConfigError
from segstream.kafka_settings import DAY_MS
from segstream_producers.synthetic import (
    DRIFTS,
    Counts,
    Drift,
    Faults,
    Plan,
    batches,
    generate,
    header,
    truth,
)
from segstream_producers.synthetic.faults import BAD
from segstream_producers.synthetic.options import write_truth

FAULTS = Faults(late=0.05, duplicates=0.06, out_of_order=0.1, bad=0.02)
SMALL = Plan(customers=300, days=84, seed=3)
# Drift needs some time before and after it to show.
SHOWN = Plan(customers=2_000, days=112, seed=5)


def lines_of(plan: Plan, counts: Counts | None = None) -> list[bytes]:
    return list(itertools.chain.from_iterable(generate(plan, counts)))


def events_of(plan: Plan) -> list[Event]:
    found = [parse_json(line) for line in lines_of(plan)]
    return [event for event in found if isinstance(event, Event)]


def distinct(lines: list[bytes]) -> set[bytes]:
    return {line for line in lines if b'"event_id":"e' in line}


@hypothesis_settings(max_examples=15)
@given(
    st.integers(0, 99),
    st.sampled_from(list(DRIFTS)),
    st.integers(1, 60),
    st.integers(1, 40),
    st.tuples(*[st.floats(0, 0.25)] * 4),
)
def test_any_plan_accounts_for_every_line(
    seed: int, drift: str, customers: int, days: int, shares: tuple[float, ...]
) -> None:
    """Lines are events, duplicates and bad ones; events come with their ids, each once."""
    plan = Plan(customers, days, seed, drift=Drift(drift), faults=Faults(*shares))
    counts = Counts()
    lines = lines_of(plan, counts)
    assert len(lines) == counts.lines == counts.events + counts.duplicates + counts.bad.total()
    ids = Counter(msgspec.json.decode(line)["event_id"] for line in distinct(lines))
    assert ids.total() == len(ids) <= counts.events
    assert sum(counts.types.values()) == sum(counts.segments.values()) == counts.events


def test_same_seed_same_bytes_in_any_process() -> None:
    """Bytes are a function of the plan; another seed makes others."""
    code = (
        "import hashlib, sys\n"
        "from segstream_producers.synthetic import *\n"
        f"plan = {replace(SMALL, faults=FAULTS)!r}\n"
        "print(hashlib.sha256(b''.join(b''.join(x) for x in generate(plan))).hexdigest())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, check=True,
            capture_output=True, text=True,
        ).stdout
        for seed in ("0", "1")
    }  # fmt: skip
    assert len(told) == 1
    assert lines_of(SMALL) != lines_of(replace(SMALL, seed=4))


def test_shares_are_as_asked() -> None:
    """Each fault's share is the one asked for, within what chance allows."""
    counts = Counts()
    lines_of(replace(SMALL, customers=2_000, faults=FAULTS), counts)
    got = (counts.late, counts.duplicates, counts.out_of_order, counts.bad.total())
    asked = (FAULTS.late, FAULTS.duplicates, FAULTS.out_of_order, FAULTS.bad)
    for count, share in zip(got, asked, strict=True):
        slack = 5 * (counts.events * share) ** 0.5
        assert abs(count - counts.events * share) < slack


def test_faults_leave_the_events_alone() -> None:
    """The same events come, whatever goes wrong on the way; duplicates are the same bytes."""
    clean, faulty = lines_of(SMALL), lines_of(replace(SMALL, faults=FAULTS))
    assert distinct(faulty) == set(clean)
    assert len(clean) == len(set(clean))


def test_order_is_time_until_it_is_disturbed() -> None:
    """A clean feed is in the order of time; arrivals are in order in any feed."""
    times = [epoch_ms(event.ts) for event in events_of(SMALL)]
    assert times == sorted(times)
    assert SMALL.start_ms <= times[0] < times[-1] < SMALL.end_ms
    disturbed = list(batches(replace(SMALL, faults=FAULTS)))
    arrives = np.concatenate([one.arrives_ms for one in disturbed])
    assert (np.diff(arrives) >= 0).all()


def test_late_and_moved_events_are_late() -> None:
    """What is counted as late comes 1 to 72 hours late; what is out of order, behind others."""
    counts = Counts()
    found = list(batches(replace(SMALL, faults=Faults(late=0.1)), counts))
    late = [
        delay
        for one in found
        for line, arrives in zip(one.lines, one.arrives_ms.tolist(), strict=True)
        if (delay := arrives - msgspec.json.decode(line)["ts"])
    ]
    assert len(late) == counts.late > 0
    assert 3_600_000 <= min(late) <= max(late) < 3 * DAY_MS
    counts = Counts()
    lines = lines_of(replace(SMALL, faults=Faults(out_of_order=0.1)), counts)
    times = np.array([msgspec.json.decode(line)["ts"] for line in lines])
    behind = int((times < np.maximum.accumulate(times)).sum())
    assert behind == pytest.approx(counts.out_of_order, rel=0.02)


def test_bad_lines_become_the_dead_letters_foretold() -> None:
    """Each kind of damage has its code; nothing else is refused by the product's parser."""
    counts = Counts()
    lines = lines_of(replace(SMALL, customers=1_000, faults=Faults(bad=0.05)), counts)
    codes: Counter[str] = Counter()
    for line in lines:
        parsed = parse_json(line)
        if isinstance(parsed, BadEventError):
            codes[parsed.code] += 1
        elif isinstance(parsed, Event):
            good = parsed.event_id.startswith("e")
            at = epoch_ms(parsed.ts)
            codes["time_before_1970"] += at < 0
            codes["time_in_future"] += at > SMALL.end_ms + 365 * DAY_MS
            no_amount = parsed.type == "purchase" and parsed.amount is None
            codes["no_amount"] += no_amount
            assert good == (not no_amount and 0 < at < SMALL.end_ms)
    wanted: Counter[str] = Counter()
    for kind, count in counts.bad.items():
        assert count > 0
        wanted[BAD[kind]] += count
    assert +codes == wanted


def test_misdated_lines_are_limited() -> None:
    """However many bad lines, those a file sorts to its ends stay below the dead-letter limit."""
    counts = Counts()
    lines_of(replace(SMALL, customers=2_000, faults=Faults(bad=0.5)), counts)
    assert 150 < counts.bad["before_1970"] + counts.bad["far_future"] <= 200


def test_ids_say_nothing_of_segments() -> None:
    """Neighbours by number are of the same segment no more often than chance has it."""
    planted = [spell.segment for spell in truth(replace(SMALL, customers=5_000))]
    same = np.mean([a == b for a, b in itertools.pairwise(planted)])
    shares = np.array(list(Counter(planted).values())) / len(planted)
    assert same == pytest.approx(float((shares**2).sum()), abs=0.03)


def orders(plan: Plan) -> dict[str, list[tuple[int, float]]]:
    """Time and amount of each customer's purchases."""
    found = defaultdict(list)
    for event in events_of(plan):
        if event.type == "purchase":
            found[event.customer_id].append((epoch_ms(event.ts), event.amount or 0.0))
    return found


@pytest.mark.parametrize("kind", DRIFTS)
def test_truth_is_borne_out(kind: str) -> None:
    """In every planted segment, before and after, rate and basket are those of its behaviour."""
    plan = replace(SHOWN, drift=Drift(kind, share=0.4))
    bought = orders(plan)
    weeks: Counter[str] = Counter()
    amounts = defaultdict(list)
    for spell in truth(plan):
        weeks[spell.segment] += (spell.end - spell.start) / (7 * DAY_MS)  # type: ignore[assignment]
        for at, amount in bought.get(spell.customer, []):
            if spell.start <= at < spell.end:
                amounts[spell.segment].append(amount)
    assert sum(map(len, amounts.values())) == sum(map(len, bought.values()))
    for one in plan.behaviours():
        assert np.median(amounts[one.name]) == pytest.approx(one.basket, rel=0.12)
        if not one.fade_weeks and kind != "seasonal":
            rate = len(amounts[one.name]) / weeks[one.name]
            assert rate == pytest.approx(one.orders_per_week, rel=0.15)


def weekly_orders(plan: Plan, segment: str) -> "np.typing.NDArray[np.float64]":
    """Purchases in each week of those who began in a segment."""
    spells: dict[str, str] = {}
    for spell in truth(plan):
        spells.setdefault(spell.customer, spell.segment)
    weeks = np.zeros(plan.days // 7)
    for who, bought in orders(plan).items():
        if spells[who] == segment:
            for at, _ in bought:
                weeks[(at - plan.start_ms) // (7 * DAY_MS)] += 1
    return weeks


@pytest.mark.parametrize(
    ("kind", "segment", "least", "most"),
    [
        ("none", "frequent_small", 0.9, 1.1),
        ("abrupt", "frequent_small", 0.4, 0.65),  # half of them fall from 2.0 to 0.16 a week
        ("gradual", "frequent_small", 0.4, 0.65),
        ("vanish", "frequent_small", 0.0, 0.1),
        ("split", "frequent_small", 1.1, 1.4),  # half double, half fall to a quarter
        ("merge", "frequent_small", 0.45, 0.65),
        ("seasonal", "frequent_small", 1.2, 1.8),
    ],
)
def test_drift_shows_in_the_weeks(kind: str, segment: str, least: float, most: float) -> None:
    """Orders of the last four weeks over those of the first four."""
    plan = replace(SHOWN, drift=Drift(kind, at_day=35))
    weeks = weekly_orders(plan, segment)
    assert least < weeks[-4:].sum() / weeks[:4].sum() < most


def test_gradual_takes_its_weeks() -> None:
    """An abrupt drift is over at once, a gradual one after its weeks."""
    for kind, days in (("abrupt", 0), ("gradual", 6 * 7 - 1)):
        plan = replace(SHOWN, drift=Drift(kind, at_day=35, weeks=6))
        ends = [s.end for s in truth(plan) if s.end < plan.end_ms]
        assert ends
        assert max(ends) - min(ends) <= days * DAY_MS
        assert max(ends) - min(ends) >= 0.8 * days * DAY_MS


def test_newcomers_join() -> None:
    """A new segment orders nothing before it joins."""
    plan = replace(SHOWN, drift=Drift("new", at_day=56, share=0.2))
    weeks = weekly_orders(plan, "newcomers")
    assert weeks[:8].sum() == 0
    assert weeks[-4:].sum() == pytest.approx(400 * 12.0 * 4, rel=0.15)


def test_truth_file(tmp_path: Path) -> None:
    """Plan and counts first, then one line per customer and segment, without a gap."""
    plan, counts = replace(SMALL, drift=Drift("abrupt"), faults=FAULTS), Counts()
    lines_of(plan, counts)
    path = tmp_path / "truth.jsonl"
    write_truth(path, plan, counts)
    first, *spells = map(msgspec.json.decode, path.read_bytes().splitlines())
    assert first == msgspec.json.decode(msgspec.json.encode(header(plan, counts)))
    assert first["counts"]["lines"] == counts.lines
    by_customer = defaultdict(list)
    for spell in spells:
        by_customer[spell["customer"]].append(spell)
    assert len(by_customer) == plan.customers
    for own in by_customer.values():
        assert (own[0]["from"], own[-1]["to"]) == (plan.start_ms, plan.end_ms)
        assert all(a["to"] == b["from"] for a, b in itertools.pairwise(own))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"customers": 0}, "customers"),
        ({"seed": -1}, "seed"),
        ({"faults": Faults(late=0.6, bad=0.6)}, "together at most 1"),
        ({"drift": Drift("slow")}, "'slow'"),
        ({"drift": Drift("abrupt", at_day=999)}, "day 999"),
        ({"drift": Drift("abrupt", segment="nobody")}, "'nobody'"),
    ],
)
def test_an_impossible_plan_is_refused(wrong: dict[str, object], said: str) -> None:
    """A plan that cannot be made says what was expected and what came."""
    with pytest.raises(ConfigError, match=said):
        Plan(**wrong)  # type: ignore[arg-type]
