"""What the quality benchmarks ask for, and when a run has met it."""

import numpy as np
import pytest
from benchmarks.agreement import Agreement, fit_batch, steadiness
from benchmarks.feeds import COMPLETE_JOURNEY, ONLINE_RETAIL, Feed
from benchmarks.figures import Figures
from benchmarks.measures import ARI_SLACK, MEASURES, Measured, rows, target_of
from benchmarks.noop import Kept
from benchmarks.planted_figures import PATIENCE_DAYS, Outcome
from benchmarks.silences import SimulatedSilence

from benchmarks import noop, planted_figures

PERFECT = Agreement(1.0, 1.0)
FIGURES = Figures(
    100, PERFECT, PERFECT, 0.0, 0.5, 0.1, (), (), SimulatedSilence(0, None, None, ()), (), ()
)
ARI = next(m for m in MEASURES if m.key == "ari")


def measured(feed: Feed, k: int, steady_ari: float = 0.8) -> Measured:
    """A feed whose segments are those of the batch model."""
    return Measured(feed, k, FIGURES, steady_ari, None)


@pytest.mark.parametrize("feed", [COMPLETE_JOURNEY, ONLINE_RETAIL])
def test_agreement_is_asked_of_both_feeds_at_five_segments(feed: Feed) -> None:
    """However steady a batch fit is."""
    assert target_of(measured(feed, 5, 0.5), ARI) == 0.93


@pytest.mark.parametrize("k", [4, 6])
def test_elsewhere_the_agreement_asked_for_is_that_of_batch_fits(k: int) -> None:
    """Where two fits are equally good, none is asked to be the one that chance gave the batch."""
    assert target_of(measured(ONLINE_RETAIL, k, 0.66), ARI) == pytest.approx(0.66 - ARI_SLACK)


def test_distances_and_changes_by_reason_are_judged_at_every_number_of_segments() -> None:
    judged = {r.case.split("/")[2] for r in rows(measured(ONLINE_RETAIL, 6)) if r.target}

    assert judged == {
        "ari", "sse_ratio", "behaviour_per_customer_year", "time_per_customer_year",
    }  # fmt: skip


def test_a_batch_fit_of_two_far_groups_agrees_with_its_bootstraps() -> None:
    """And with three segments on the same two groups it does not."""
    groups = np.concatenate([np.linspace(0, 1, 50), np.linspace(9, 10, 50)])[:, None]

    assert steadiness(fit_batch(groups, np.ones(1), 2)) == 1.0
    assert steadiness(fit_batch(groups, np.ones(1), 3)) < 1.0


def test_segments_may_take_three_cooldowns_after_features_show_the_drift() -> None:
    """Seeds that are back in time, of all; without an end of it there is none."""
    days = [41 + PATIENCE_DAYS, 41 + PATIENCE_DAYS + 1, None]
    found = [
        Outcome("split", i, 5, 0.9, 0.7, 0.9, 7, 0, d, 41, 2, i > 0) for i, d in enumerate(days)
    ]

    by_case = {r.case: r for r in planted_figures.rows(found)}

    back = by_case["quality/planted/split/back_after_three_cooldowns"]
    lineage = by_case["quality/planted/split/lineage_right"]
    assert back.value == pytest.approx(1 / 3)
    assert lineage.value == pytest.approx(2 / 3)
    assert (back.met, lineage.met) == (False, False)
    assert list(planted_figures.verdicts(found)) == ["1 of 3 targets met"]


def test_a_drift_that_is_never_found_has_no_delay() -> None:
    found = [Outcome("none", 0, 4, 0.9, 0.9, 0.9, None, 0, 0, 0, 0, True)]

    assert not [r for r in planted_figures.rows(found) if r.case.endswith("found_after")]
    assert "| - (0 of 1) |" in list(planted_figures.table(found))[-1]


def test_customers_stay_where_nineteen_of_twenty_do() -> None:
    """A seed counts with 95 % kept; nine of ten seeds are asked for."""
    kept = [Kept("Online Retail", 4, i, 0.2, 0.9, 1.0 if i else 0.949, 0.9) for i in range(10)]

    (found,) = noop.rows(kept)

    assert found.case == "quality/noop/online_retail/k=4"
    assert (found.value, found.met) == (0.9, True)
