"""A company's segments that travel to the trainer: checked before, drawn there."""

import msgspec
import numpy as np
import pytest
from tests.core.test_importing import IDS, RAW, labels, scaled
from tests.core.test_trainer import SPEC, lived, rows, started, trainer

from segstream.core import layout as at
from segstream.core.brought import MOST_LABELS, Brought, centres_brought, drawn, labels_brought
from segstream.core.importing import Centre, Label, Title, from_labels
from segstream.core.panel import collect_panel
from segstream.core.partition import DayTotals, PanelRows
from segstream.core.spec import text_hash
from segstream.core.trainer_state import Command, TrainerState
from segstream.errors import SourceError

TITLES = {"2": Title("Sleepers", "Write to them.")}


def hashed(count: int = len(IDS)) -> PanelRows:
    """The first customers of the population as a day's panel, under the hashes of their ids."""
    keys = rows(RAW[:count]).keys.copy()
    keys[:, at.P_HASH] = [text_hash(c) for c in IDS[:count]]
    return PanelRows(keys, RAW[:count])


def told(state: TrainerState, brought: Brought, day: int, panel: PanelRows) -> TrainerState:
    """Close a day with the command as it comes off the topic."""
    body = msgspec.msgpack.encode(Command("promote", brought=brought))
    asked = msgspec.structs.replace(state, commands=(msgspec.msgpack.decode(body, type=Command),))
    return trainer().close_day(asked, DayTotals(day, (), (), ()), panel, 0)


def test_labels_travel_without_ids() -> None:
    """The trainer draws the centres that the command draws where the customers are at hand."""
    brought = labels_brought(labels(), TITLES)
    assert not any(c.encode() in msgspec.msgpack.encode(brought) for c in IDS)
    state = told(TrainerState(), brought, 5, hashed())
    assert state.model is not None
    own = from_labels(IDS, scaled(), labels())
    assert np.allclose(np.sort(state.model.centres, axis=0), np.sort(own.centres, axis=0))
    assert {s.name for s in state.model.segments} == {"Gold", "Silver", "Sleepers"}
    assert (state.model.version, state.first_day, state.commands) == ("1.0", 5, ())
    assert "100.0% of the labelled customers are nearest to their own" in state.model.notices


def test_centres_travel_in_real_units() -> None:
    """With a living model they are a new generation; what is not given is the panel's median."""
    names = SPEC.spec.names
    given = [Centre("c.csv:2", "few", {names[0]: "1"}), Centre("c.csv:3", "many", {names[0]: "9"})]
    state = told(started(RAW), centres_brought(SPEC, given, {}), 201, hashed())
    assert state.model is not None
    assert (state.model.version, len(state.model.segments)) == ("2.0", 2)
    assert any(f"{names[1]} is not given for any segment" in n for n in state.model.notices)


def test_what_the_panel_cannot_draw_is_a_decision() -> None:
    """Labels of nobody in the panel change nothing but the record of decisions, which says why."""
    strangers = [Label("l.csv:2", "x", "Gold"), Label("l.csv:3", "y", "Silver")]
    before = started(RAW)
    after = told(before, labels_brought(strangers, {}), 201, hashed())
    assert after.model is not None
    assert (after.model.generation, after.commands) == (1, ())
    refused = after.decisions[-1]
    assert (refused.trigger, refused.version) == ("import", "")
    assert "got 2 ids of which it knows none" in refused.objection
    lone = told(TrainerState(), labels_brought(labels(), {}), 5, hashed(2))
    assert lone.model is None
    assert "expected 3 customers or more" in lone.decisions[-1].objection
    assert lived(lone, RAW, range(200, 201)).model is not None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([Label("l.csv:2", "c1", "Gold")], "two segments or more, got 'Gold'"),
        ([*labels(), Label("l.csv:99", "c1", "Silver")], r"'c1' in 'Gold' \(l.csv:3\)"),
    ],
)
def test_bad_labels_are_not_sent(given: list[Label], message: str) -> None:
    """What can be seen without customers is refused where somebody reads it."""
    with pytest.raises(SourceError, match=message):
        labels_brought(given, {})


def test_bad_centres_and_names_are_not_sent() -> None:
    """Unknown features, words for numbers, and names of no segment are refused before."""
    names = SPEC.spec.names
    pair = [Centre("c.csv:2", "a", {names[0]: "1"}), Centre("c.csv:3", "b", {names[0]: "2"})]
    with pytest.raises(SourceError, match="expected segments of 'a', 'b'"):
        centres_brought(SPEC, pair, {"z": Title("Zeds")})
    with pytest.raises(SourceError, match="overdew"):
        centres_brought(SPEC, [pair[0], Centre("c.csv:3", "b", {"overdew": "2"})], {})
    with pytest.raises(SourceError, match=f"a number for {names[0]}"):
        centres_brought(SPEC, [pair[0], Centre("c.csv:3", "b", {names[0]: "much"})], {})
    with pytest.raises(SourceError, match="'a' twice"):
        centres_brought(SPEC, [pair[0], pair[0]], {})


def test_very_many_labels_are_those_of_the_panel() -> None:
    """Beyond what a message holds, the lowest hashes go: the panel's own."""
    many = [Label("l.csv", f"u{i}", "ab"[i % 2]) for i in range(MOST_LABELS + 1_000)]
    brought = labels_brought(many, {})
    kept = np.frombuffer(brought.hashes, dtype=np.uint64)
    every = np.array([text_hash(label.customer_id) for label in many]).view(np.uint64)
    assert len(kept) == MOST_LABELS
    assert np.array_equal(kept, np.sort(every)[:MOST_LABELS])
    assert len(msgspec.msgpack.encode(brought)) < 600_000


def test_a_panel_of_equals_tells_no_segments_apart() -> None:
    """Customers who do not differ in any clustered feature have no scaling to draw in."""
    same = PanelRows(hashed().keys, np.repeat(RAW[:1], len(RAW), axis=0))
    with pytest.raises(SourceError, match="differ in a clustered feature"):
        drawn(SPEC, labels_brought(labels(), {}), collect_panel(SPEC, same, 0), 5, 7)
