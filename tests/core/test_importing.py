"""A company's own segments: centres from labels, centres as given, names that stay."""

import msgspec
import numpy as np
import pytest
from tests.core.test_trainer import SPEC, lived, population, rows, started, trainer

from segstream.core.fitting import Scaling, fit_scaling, panel_vectors
from segstream.core.importing import (
    Centre,
    Label,
    Outline,
    Title,
    agreement,
    from_centres,
    from_labels,
    given_model,
)
from segstream.core.model import Model
from segstream.core.panel import Panel
from segstream.core.partition import DayTotals
from segstream.core.spec import FloatArray
from segstream.core.trainer_state import Command, TrainerState
from segstream.errors import SourceError

RAW = population(1)
IDS = [f"c{i}" for i in range(len(RAW))]
KINDS = ("Gold", "Silver", "2")


def labels(raw: FloatArray = RAW) -> list[Label]:
    """Every customer in the kind it was made as."""
    per = len(raw) // 3
    return [Label(f"l.csv:{i + 2}", c, KINDS[i // per]) for i, c in enumerate(IDS)]


def scaling(raw: FloatArray = RAW) -> Scaling:
    return fit_scaling(SPEC, panel_vectors(SPEC, raw))


def scaled(raw: FloatArray = RAW) -> FloatArray:
    return scaling(raw).apply(panel_vectors(SPEC, raw))


def model(outline: Outline, titles: dict[str, Title] | None = None) -> Model:
    panel = Panel(np.arange(1, len(RAW) + 1), RAW, panel_vectors(SPEC, RAW))
    return given_model(SPEC, outline, titles or {}, scaling(), panel, 200, 7)


OWN = model(from_labels(IDS, scaled(), labels()), {"2": Title("Sleepers", "Write to them.")})


# ---- from labels ---------------------------------------------------------------------


def test_centres_are_the_means_of_the_labelled() -> None:
    """Each centre is the mean of its customers' scaled vectors; numbers come before names."""
    outline = from_labels(IDS, scaled(), labels())
    assert outline.segments == ("2", "Gold", "Silver")
    assert np.allclose(outline.centres[1], scaled()[:60].mean(axis=0))
    assert outline.notes == ()
    assert agreement(IDS, scaled(), labels(), outline) == 1.0


def test_unknown_customers_are_counted() -> None:
    """Labels of customers that the state has not are left out, and said."""
    more = [*labels(), Label("l.csv:200", "stranger", "Gold")]
    outline = from_labels(IDS, scaled(), more)
    assert np.array_equal(outline.centres, from_labels(IDS, scaled(), labels()).centres)
    assert outline.notes == ("1 of 181 labelled customers are not in this state",)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([Label("l.csv:2", "stranger", "Gold")], "got 1 ids of which it knows none"),
        ([Label("l.csv:2", "c1", "Gold"), Label("l.csv:3", "c2", "Gold")], "two segments or more"),
        ([], "two segments or more, got none"),
        ([*labels(), Label("l.csv:99", "c1", "Silver")], r"'c1' in 'Gold' \(l.csv:3\)"),
        ([*labels(), Label("l.csv:99", "x", "Lone")], "segment 'Lone', got 0"),
        ([*labels()[1:], Label("l.csv:99", "c0", "Lone")], "segment 'Lone', got 1"),
    ],
)
def test_labels_that_make_no_segments(given: list[Label], told: str) -> None:
    """What cannot be a set of segments is refused with the customer or segment it is about."""
    with pytest.raises(SourceError, match=told):
        from_labels(IDS, scaled(), given)


# ---- from centres --------------------------------------------------------------------


def centre(segment: str, **values: str) -> Centre:
    return Centre(f"c.csv:{segment}", segment, values)


def test_centres_in_real_units() -> None:
    """A centre goes through the spec's transforms and the scaling, as a customer's vector does."""
    names = SPEC.spec.names
    as_text = [
        Centre(f"c.csv:{i}", str(i), dict(zip(names, map(repr, RAW[i].tolist()), strict=True)))
        for i in (0, 70)
    ]
    outline = from_centres(SPEC, scaling(), RAW, as_text)
    assert np.allclose(outline.centres, scaled()[[0, 70]])
    assert outline.notes == ()


def test_what_is_not_given_is_the_median() -> None:
    """Absent columns and empty cells take the population's median, and are told by name."""
    outline = from_centres(
        SPEC, scaling(), RAW, [centre("a", spend_112d="10", overdue=""), centre("b", overdue="9")]
    )
    medians = np.median(RAW, axis=0)
    medians[SPEC.spec.names.index("spend_112d")] = 10.0
    assert np.allclose(
        outline.centres[0], scaling().apply(panel_vectors(SPEC, medians[None, :]))[0]
    )
    assert any(
        note.startswith("orders_112d is not given for any segment") for note in outline.notes
    )
    assert any(note.startswith("overdue is not given for 1 of 2") for note in outline.notes)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([centre("a", spend="1"), centre("b", spend="2")], r"c.csv:a: expected features \(orders"),
        ([centre("a", overdue="much"), centre("b")], "a number for overdue of segment 'a'"),
        ([centre("a", overdue="nan"), centre("b")], "a number for overdue"),
        ([centre("a", overdue="1")], "each once, got 1"),
        ([centre("a", overdue="1"), centre("a", overdue="2"), centre("b")], "'a' twice"),
        ([centre("a"), centre("b")], "'a' and 'b': expected different centres"),
        ([centre("a", tenure_days="1"), centre("b", tenure_days="9")], "only clustered features"),
    ],
)
def test_centres_that_make_no_segments(given: list[Centre], told: str) -> None:
    """What cannot be a set of centres is refused with place, feature and segment."""
    with pytest.raises(SourceError, match=told):
        from_centres(SPEC, scaling(), RAW, given)


# ---- the model -----------------------------------------------------------------------


def test_the_model_has_the_companys_names() -> None:
    """Names and strategies are those given; a number without one is `Segment n`."""
    assert {s.name for s in OWN.segments} == {"Gold", "Silver", "Sleepers"}
    assert all(s.named_by_owner for s in OWN.segments)
    by_name = {s.name: s for s in OWN.segments}
    assert by_name["Sleepers"].strategy == "Write to them."
    assert by_name["Gold"].customers == 60
    plain = model(from_labels(IDS, scaled(), labels()))
    assert "Segment 2" in {s.name for s in plain.segments}


@pytest.mark.parametrize(
    ("titles", "told"),
    [
        ({"3": Title("Three")}, "expected segments of '2', 'Gold', 'Silver', got '3'"),
        ({"2": Title("Gold")}, "got 'Gold' for two segments"),
        ({"2": Title("[/] Gold")}, "without"),
        ({"2": Title("Gold" * 21)}, "up to 80 printable characters"),
    ],
)
def test_names_for_no_segment(titles: dict[str, Title], told: str) -> None:
    """A name for a segment that is not there, or twice the same, is refused."""
    with pytest.raises(SourceError, match=told):
        model(from_labels(IDS, scaled(), labels()), titles)


def imported(state: TrainerState, day: int) -> TrainerState:
    """The state after a day that begins with the command."""
    asked = msgspec.structs.replace(state, commands=(Command("promote", model=OWN),))
    return lived(asked, RAW, range(day, day + 1))


def test_it_is_the_first_model_where_there_is_none() -> None:
    """A company need not wait for the longest window: its segments serve at the next day."""
    state = imported(TrainerState(), 5)
    found = state.model
    assert found is not None
    assert (found.version, found.generation_reason, found.number) == ("1.0", "first", 1)
    assert [s.id for s in found.segments] == [1, 2, 3]
    assert (state.commands, state.waiting, state.first_day) == ((), "", 5)
    assert state.decisions[-1].trigger == "import"
    assert np.allclose(np.sort(found.centres, axis=0), np.sort(OWN.centres, axis=0))


def test_it_continues_ids_where_its_customers_are_the_same() -> None:
    """With a living model it is a new generation; ids follow the customers, names the company."""
    before = started(RAW)
    assert before.model is not None
    state = imported(before, 201)
    found = state.model
    assert found is not None
    assert (found.version, found.generation_reason) == ("2.0", "recluster")
    assert found.number == before.model.number + 1
    assert {s.id for s in found.segments} == {1, 2, 3}
    assert {s.name for s in found.segments} == {"Gold", "Silver", "Sleepers"}
    assert {d.fate for d in found.lineage} == {"survived"}
    decision = state.decisions[-1]
    assert (decision.trigger, decision.version, decision.moved) == ("import", "2.0", 0.0)
    assert state.watch.since > 201


def test_the_playbook_never_takes_a_given_name() -> None:
    """Daily steps, weekly checks and a re-cluster keep every name that the company gave."""
    state = lived(imported(TrainerState(), 200), RAW, range(201, 320))
    asked = msgspec.structs.replace(state, commands=(Command("recluster", 4),))
    state = lived(asked, population(2, shift=9), range(320, 330))
    found = state.model
    assert found is not None
    assert found.generation > 1
    assert len(found.segments) == 4
    own = [s.name for s in found.segments if s.named_by_owner]
    assert len(own) >= 2
    assert set(own) <= {"Gold", "Silver", "Sleepers"}
    assert len({s.name for s in found.segments}) == 4


def test_other_commands_before_a_model_are_dropped() -> None:
    """A recluster with nothing living asks for nothing, and the bootstrap goes on."""
    state = TrainerState(commands=(Command("recluster", 4),))
    after = trainer().close_day(state, DayTotals(5, (), (), ()), rows(RAW), 0)
    assert after.model is None
    assert after.commands == ()
    assert "days of events" in after.waiting


def test_a_promotion_without_a_candidate_changes_nothing() -> None:
    """Promoted twice, the second has nothing to promote: no check is asked for."""
    asked = msgspec.structs.replace(started(RAW), commands=(Command("promote"),))
    after = lived(asked, RAW, range(201, 202))
    assert (after.model, after.asked, after.commands) == (asked.model, None, ())
