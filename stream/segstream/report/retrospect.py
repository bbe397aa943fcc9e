"""What followed the changes: all that needs each customer's orders by day, from the first on.

A state directory keeps them, and a report looks back by itself. On Kafka the role `insights` keeps
them, and looks back for the API.
"""

from dataclasses import dataclass

import pandas as pd

from segstream.report.aftermath import Aftermath, aftermath, whole_days_until
from segstream.report.evidence import Evidence
from segstream.report.leavers import Leavers, leavers
from segstream.report.silence import Silence, silence
from segstream.report.stories import Sentence, clear_changes


@dataclass(frozen=True, slots=True)
class Retrospect:
    """One look back.

    Attributes
    ----------
    customers
        Who was looked at: all, or a sample of them.
    leavers
        None where it was a sample: whom to act on is known of all or not at all.
    """

    customers: int
    aftermath: tuple[Aftermath, ...]
    silence: Silence
    leavers: Leavers | None
    sentences: tuple[Sentence, ...]


def retrospect(evidence: Evidence, listed: pd.DataFrame, sample: bool = False) -> Retrospect:
    """Look back.

    Parameters
    ----------
    listed
        Of `segstream.report.leavers.leavers_frame`.
    sample
        Whether there are more customers than those of the evidence.
    """
    moves, spending = evidence.moves, evidence.spending
    after: list[Aftermath] = []
    if evidence.has_spend:
        seed, whole = evidence.view.settings.model.seed, whole_days_until(evidence.clock_ms)
        after = aftermath(moves, spending, evidence.best_at_changes(), whole, seed)
    return Retrospect(
        moves.n_living,
        tuple(after),
        silence(moves, spending, evidence.model_ms),
        None if sample else leavers(evidence, listed),
        tuple(clear_changes(evidence)),
    )
