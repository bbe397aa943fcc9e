"""Campaigns: what fires, what holds back, and what may not depend on anything else."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.campaign_changes import DAY_MS, MODEL, NOON_MS, change

from segstream.core.campaign_file import load_campaigns, resolve_segments
from segstream.core.campaign_simulation import Simulation
from segstream.core.campaigns import (
    Campaign,
    Campaigns,
    Cap,
    Code,
    Fired,
    Known,
    Standing,
    decide,
    delivery_key,
    is_held_out,
    message_of,
)
from segstream.core.changes import Change
from segstream.core.model import Model
from segstream.errors import ConfigError

HOUR_MS = 3_600_000
EVERYBODY = Campaigns(holdout=0.0)


def judged(
    one: Change, campaign: Campaign, rules: Campaigns = EVERYBODY, now_ms: int = NOON_MS,
    known: Known | None = None,
) -> Code:  # fmt: skip
    return decide(one, campaign, rules, now_ms, known or Known()).code


# ---- one change ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("behaviour", "fire"), ("time", "fire"), ("first", "other"), ("model", "other"),
        ("recluster", "other"), ("rollback", "other"), ("forgotten", "other"), ("erased", "other"),
    ],
)  # fmt: skip
def test_reasons(reason: str, code: Code) -> None:
    """Only what the customer did, or did not do, fires unless a campaign asks for more."""
    assert judged(change(reason=reason), Campaign("c")) == code
    if reason != "erased":
        assert judged(change(reason=reason), Campaign("c", reasons=(reason,))) == "fire"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"enters": (2,)}, "fire"),
        ({"enters": ("Gone quiet",)}, "fire"),
        ({"enters": (1, 3)}, "other"),
        ({"leaves": (1,)}, "fire"),
        ({"leaves": ("Loyal",), "enters": (2,)}, "fire"),
        ({"leaves": (3,), "enters": (2,)}, "other"),
        ({"directions": ("down",)}, "fire"),
        ({"directions": ("up", "level")}, "other"),
        ({"min_margin": 2.0}, "fire"),
        ({"min_margin": 2.1}, "other"),
    ],
)
def test_rules(rule: dict[str, Any], code: Code) -> None:
    """A change fires where every rule that a campaign has holds."""
    assert judged(change(), Campaign("c", **rule)) == code


def test_entry_and_exit_without_a_segment() -> None:
    """A first segment leaves none; a forgotten customer enters none, and can be left behind."""
    first = change(from_=None, reason="first")
    assert judged(first, Campaign("c", leaves=(1,), reasons=("first",))) == "other"
    gone = change(to=None, reason="forgotten")
    assert judged(gone, Campaign("c", enters=(2,), reasons=("forgotten",))) == "other"
    assert judged(gone, Campaign("c", leaves=(1,), reasons=("forgotten",))) == "fire"


def test_a_margin_that_is_not_known_is_none() -> None:
    """A change without a margin passes only a campaign that wants none."""
    assert judged(change(margin=None), Campaign("c")) == "fire"
    assert judged(change(margin=None), Campaign("c", min_margin=0.1)) == "other"


def test_stale() -> None:
    """A change fires up to its greatest age, and never after; a campaign may have its own."""
    day, hour = Campaign("c"), Campaign("c", max_age_hours=1.0)
    assert judged(change(), day, now_ms=NOON_MS + 24 * HOUR_MS) == "fire"
    assert judged(change(), day, now_ms=NOON_MS + 24 * HOUR_MS + 1) == "stale"
    assert judged(change(), hour, now_ms=NOON_MS + HOUR_MS + 1) == "stale"


def test_suppressed_customers_get_nothing() -> None:
    """Nothing that a campaign says opens the suppression gate."""
    free = Campaign("c", reentry="every", holdout=0.0)
    assert judged(change(), free, known=Known(suppressed=True)) == "suppressed"


@pytest.mark.parametrize(
    ("current", "code"),
    [
        (Standing(NOON_MS, 2, 2), "fire"),
        (Standing(NOON_MS + 1, 3, 1), "moved_on"),
        (Standing(NOON_MS + 1, 3, None), "moved_on"),
        # Back again since: what was true then is true now.
        (Standing(NOON_MS + 1, 4, 2), "fire"),
        # The compacted topic may lag behind the changes.
        (Standing(NOON_MS - 1, 1, 1), "fire"),
        # After an erasure sequences begin anew.
        (Standing(NOON_MS - 1, 9, 1), "fire"),
    ],
)
def test_moved_on(current: Standing, code: Code) -> None:
    """Who is elsewhere by a later change gets nothing for the earlier one."""
    assert judged(change(), Campaign("c"), known=Known(current=current)) == code


@pytest.mark.parametrize(
    ("reentry", "days_ago", "code"),
    [
        ("once", 1000, "already"), ("every", 0, "fire"), (30.0, 29.9, "already"),
        (30.0, 30.0, "fire"),
    ],
)  # fmt: skip
def test_reentry(reentry: Any, days_ago: float, code: Code) -> None:
    """A customer has a campaign again never, always, or after its days; held out counts too."""
    campaign = Campaign("c", reentry=reentry)
    for held_out in (False, True):
        fired = [Fired("c", NOON_MS - round(days_ago * DAY_MS), held_out)]
        assert judged(change(), campaign, known=Known(fired)) == code
    other = [Fired("another", NOON_MS, False)]
    assert judged(change(), campaign, known=Known(other)) == "fire"


def test_caps() -> None:
    """A cap counts the messages in its days before now, of the campaign or of all."""
    campaign = Campaign("c", reentry="every", cap=Cap(2, 7.0))
    week = [Fired("c", NOON_MS - 7 * DAY_MS, False), Fired("c", NOON_MS - DAY_MS, False)]
    assert judged(change(), campaign, known=Known(week)) == "fire"
    full = [*week, Fired("c", NOON_MS, False)]
    assert judged(change(), campaign, known=Known(full)) == "capped"
    every = Campaigns(holdout=0.0, cap=Cap(2, 7.0))
    others = [Fired("a", NOON_MS, False), Fired("b", NOON_MS, False)]
    assert judged(change(), campaign, every, known=Known(others)) == "capped_all"
    unsent = [Fired("a", NOON_MS, True), Fired("b", NOON_MS, False)]
    assert judged(change(), campaign, every, known=Known(unsent)) == "fire"


def test_the_hash_of_the_holdout_is_pinned() -> None:
    """Another version holds out the same customers, or the measurement is void."""
    out = [n for n in range(60) if is_held_out("win-back", f"C{n}", 0.1)]
    assert out == PINNED
    assert delivery_key("win-back", "677bb296b37e2adf1c3b810c2519cd9f") == PINNED_KEY


PINNED = [9, 10, 16, 35, 42, 52, 59]
PINNED_KEY = "298dcd5fd54c59ccc6317bcaa6d6a802"


def test_a_message_is_the_change_as_it_was_read() -> None:
    """A message holds the change byte for byte, so the receiver can check its id."""
    raw = b'{"id": "1",  "x": 1.50}'
    body = message_of(raw, "c", "key", "C1")
    assert raw in body
    assert msgspec.json.decode(body)["change"] == {"id": "1", "x": 1.5}


# ---- laws ------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=20), st.floats(0.02, 0.5))
def test_the_holdout_is_its_share(campaign: str, share: float) -> None:
    """About the share of customers is held out, the same ones always, more for a greater share."""
    n = 2_000
    out = {c for c in range(n) if is_held_out(campaign, str(c), share)}
    assert abs(len(out) - n * share) < 6 * (n * share * (1 - share)) ** 0.5
    assert out <= {c for c in range(n) if is_held_out(campaign, str(c), share + 0.1)}


@given(st.integers(0, 10_000))
def test_holdouts_of_two_campaigns_are_not_the_same(seed: int) -> None:
    """Who is held out of one campaign is not held out of the next for it."""
    a, b = ({c for c in range(2_000) if is_held_out(f"{name}{seed}", str(c), 0.2)} for name in "ab")
    assert 30 < len(a & b) < 150  # 80 expected


CAPPED = Campaigns(
    holdout=0.2,
    cap=Cap(3, 10.0),
    campaign=(
        Campaign("quiet", enters=(2,), reentry="every", cap=Cap(2, 5.0), sink="file"),
        Campaign("any", reentry=4.0, sink="file"),
        Campaign("once", leaves=(1,), reentry="once", sink="file"),
    ),
)
STEPS = st.tuples(
    st.sampled_from(["C1", "C2", "C3"]), st.integers(0, 3 * DAY_MS), st.sampled_from([1, 2, 3])
)


def stream(steps: list[tuple[str, int, int]]) -> list[Change]:
    """Changes in time order; each customer from segment to segment."""
    now, at, found = NOON_MS, dict.fromkeys(("C1", "C2", "C3"), 1), []
    for number, (customer, wait, to) in enumerate(steps):
        now += wait
        found.append(change(customer, number + 2, now, from_=at[customer], to=to))
        at[customer] = to
    return found


@given(st.lists(STEPS, max_size=60))
def test_caps_are_never_exceeded(steps: list[tuple[str, int, int]]) -> None:
    """In no span of a cap's days does a customer get more than it allows, however changes fall."""
    simulation, sent = Simulation(CAPPED), []
    for one in stream(steps):
        for campaign, code in simulation.judge(one):
            if code == "fire":
                sent.append((one.data.customer_id, campaign.name, ms(one)))
    for customer, name, at in sent:
        mine = [s for s in sent if s[0] == customer and at - s[2] >= 0]
        assert sum(at - s[2] < 10 * DAY_MS for s in mine) <= 3
        own = [s for s in mine if s[1] == name]
        if name == "quiet":
            assert sum(at - s[2] < 5 * DAY_MS for s in own) <= 2
        elif name == "once":
            assert len(own) == 1
        else:
            assert sum(at - s[2] < 4 * DAY_MS for s in own) <= 1


def ms(one: Change) -> int:
    return int(one.id.rpartition("-")[2])


@given(st.lists(STEPS, max_size=40), st.randoms(use_true_random=False))
def test_customers_do_not_depend_on_each_other(
    steps: list[tuple[str, int, int]], random: Any
) -> None:
    """What a customer gets is the same however the changes of others fall between their own.

    All arrive within the greatest age, so that nothing is stale for the newest one.
    """
    rules = msgspec.structs.replace(CAPPED, max_age_hours=1e6)
    changes = stream(steps)

    def outcome(order: list[Change]) -> dict[tuple[str, str], Code]:
        # The wall clock of each change is its own time, whatever came before.
        history: dict[str, list[Fired]] = {}
        found = {}
        for one in order:
            customer = one.data.customer_id
            for campaign in rules.campaign:
                known = Known(history.setdefault(customer, []))
                code, key = decide(one, campaign, rules, ms(one), known)
                found[one.id, campaign.name] = code
                if code in ("fire", "held_out"):
                    history[customer].append(Fired(campaign.name, ms(one), code == "held_out"))
                assert key == delivery_key(campaign.name, one.id)
        return found

    turns = [one.data.customer_id for one in changes]
    random.shuffle(turns)
    waiting = {c: [one for one in changes if one.data.customer_id == c] for c in set(turns)}
    assert outcome([waiting[c].pop(0) for c in turns]) == outcome(changes)


@given(st.lists(STEPS, max_size=40))
def test_a_change_read_twice_counts_once(steps: list[tuple[str, int, int]]) -> None:
    """Reading every change twice fires what reading it once does."""
    once, twice = Simulation(CAPPED), Simulation(CAPPED)
    for one in stream(steps):
        once.judge(one)
        twice.judge(one)
        assert twice.judge(one) == []
    assert once.rows() == twice.rows()


# ---- the simulation --------------------------------------------------------------------


def test_weeks() -> None:
    """Each change counts in its own week, from Monday, under its code; weeks between are zeros."""
    rules = Campaigns(holdout=0.0, campaign=(Campaign("c", sink="file", reentry="every"),))
    simulation = Simulation(rules, suppressed=["C2"])
    simulation.judge(change("C1", at_ms=NOON_MS))
    simulation.judge(change("C2", at_ms=NOON_MS + 14 * DAY_MS))
    simulation.judge(change("C3", at_ms=NOON_MS))  # older than the newest by two weeks
    rows = {row.week: {c: n for c, n in row.counts.items() if n} for row in simulation.rows()}
    assert rows == {
        "2024-05-06": {"fire": 1, "stale": 1},
        "2024-05-13": {},
        "2024-05-20": {"suppressed": 1},
    }


def test_an_erased_customer_begins_anew() -> None:
    """After an erasure nothing of the customer is remembered, the history neither."""
    rules = Campaigns(holdout=0.0, campaign=(Campaign("c", sink="file", reentry="once"),))
    simulation = Simulation(rules)
    codes = [
        simulation.judge(change(sequence=1)),
        simulation.judge(change(sequence=2)),
        simulation.judge(change(sequence=3, to=None, reason="erased")),
        simulation.judge(change(sequence=4)),
    ]
    assert [[code for _, code in one] for one in codes] == [["fire"], ["already"], [], ["fire"]]


# ---- the file --------------------------------------------------------------------------

WEB = '[webhook]\nurl = "https://x.example/hook"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "at least one [[campaign]]"),
        ("nonsense", "expected TOML"),
        ('[[campaign]]\nname = "a"', "expected [webhook] with a url"),
        (WEB + '[[campaign]]\nname = "a"\nenter = [1]', "Did you mean `enters`?"),
        (WEB + '[[campaign]]\nname = "a"\n[[campaign]]\nname = "a"', "each name once"),
        (WEB + '[[campaign]]\nname = " "', "expected a name"),
        (WEB + '[[campaign]]\nname = "a"\nreasons = ["erased"]', "other than `erased`"),
        (WEB + '[[campaign]]\nname = "a"\nreasons = []', "expected reasons"),
        (WEB + '[[campaign]]\nname = "a"\nreasons = ["fun"]', "fun"),
        (WEB + '[[campaign]]\nname = "a"\nreentry = "twice"', "twice"),
        (WEB + '[[campaign]]\nname = "a"\nreentry = 0', "above 0"),
        (WEB + '[[campaign]]\nname = "a"\ncap = { count = 0, days = 1 }', "cap.count"),
        (WEB + '[[campaign]]\nname = "a"\nholdout = 1.0', "holdout: expected 0 to below 1"),
        ("holdout = -0.1\n" + WEB + '[[campaign]]\nname = "a"', "holdout: expected"),
        ('[webhook]\nurl = "ftp://x"\n[[campaign]]\nname = "a"', "webhook.url"),
    ],
)
def test_a_mistake_is_named(text: str, told: str) -> None:
    """A campaign file that cannot be meant so is refused, with what to write instead."""
    with pytest.raises(ConfigError) as refused:
        load_campaigns(text, "c.toml")
    assert told in str(refused.value)
    assert str(refused.value).startswith("c.toml: ")


def test_a_name_means_its_id() -> None:
    """With a model a segment's name is its id, so a rename while it runs changes nothing."""
    model = msgspec.json.decode(MODEL, type=Model)
    rules = Campaigns(campaign=(Campaign("c", enters=("Gone quiet", 1), leaves=(2,)),))
    resolved = resolve_segments(rules, model, "c.toml").campaign[0]
    assert (resolved.enters, resolved.leaves) == ((2, 1), (2,))
    for wrong in (("Gone quite",), (9,)):
        bad = Campaigns(campaign=(Campaign("c", enters=wrong),))
        with pytest.raises(ConfigError, match=r"There are: 'Loyal' \(1\), 'Gone quiet' \(2\)"):
            resolve_segments(bad, model, "c.toml")
