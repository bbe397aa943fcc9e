"""What every part of a report starts from: a view, laid out once."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from segstream.core.spec import IntArray, spend_measure
from segstream.report.moves import DAY_MS, Moves, moves_of
from segstream.report.palette import segment_colours
from segstream.report.spending import Spending, spending_of
from segstream.report.words import Words
from segstream.view import SPEND_DAYS, View

WINDOW_DAYS: Final = SPEND_DAYS
RECENT_DAYS: Final = 30
_MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Evidence:
    """A view's changes by customer and its ledger, indexed.

    Attributes
    ----------
    has_spend
        Whether what was spent is measured, and kept by day.
    recent, has_recent
        The same of the last `WINDOW_DAYS` alone, and of each customer's last order.
    first_ms
        Time of the first event; the clock where there is none.
    model_ms
        When the first model was adopted; the clock before that.
    best_id
        Segment that spends most today; None without a model or a measure of spend.
    colours
        Of every segment there ever was.
    """

    view: View
    words: Words
    moves: Moves
    spending: Spending
    has_spend: bool
    recent: Spending
    has_recent: bool
    first_ms: int
    model_ms: int
    best_id: int | None
    colours: dict[int, str]

    @property
    def clock_ms(self) -> int:
        """Where the state stands, epoch ms."""
        return self.moves.clock_ms

    @property
    def today(self) -> int:
        """Day of the clock, days since 1970."""
        return self.clock_ms // DAY_MS

    @property
    def everybody(self) -> IntArray:
        """Positions of all living customers."""
        return np.arange(self.moves.n_living, dtype=np.int64)

    def days(self, day: int) -> IntArray:
        """One day for each living customer."""
        return np.full(self.moves.n_living, day, dtype=np.int64)

    def best_at_changes(self) -> IntArray:
        """The segment that spent most under the model of each change; -1 where unknown."""
        models = (*self.view.models, *((self.view.model,) if self.view.model else ()))
        best = {
            m.version: max(m.segments, key=lambda s: m.value(s.id)).id
            for m in models
            if m.segments and self.has_spend
        }
        versions = self.view.changes["model"].to_numpy(dtype=object)[self.moves.row]
        return np.array([best.get(version, -1) for version in versions], dtype=np.int64)


def evidence_of(view: View, customer_word: str) -> Evidence:
    """Lay a view out."""
    customers = view.customers
    ids = customers["customer_id"].tolist()
    clock_ms = view.clock_ms
    moves = moves_of(view.changes, ids, clock_ms)
    measured = spend_measure(view.spec) is not None
    model = view.model
    segments = (*model.segments, *model.retired) if model else ()
    best = max(model.segments, key=lambda s: model.value(s.id)).id if model and measured else None
    slots = customers["slot"].to_numpy(dtype=np.int64)
    spending = spending_of(view.ledger, slots)
    return Evidence(
        view=view,
        words=Words(customer_word, view.settings.currency),
        moves=moves,
        spending=spending,
        has_spend=measured and view.keeps_ledger,
        recent=spending if view.keeps_ledger else spending_of(view.recent, slots),
        has_recent=measured and view.keeps_recent,
        first_ms=_first_ms(view, clock_ms),
        model_ms=_model_ms(view, clock_ms),
        best_id=best,
        colours=_colours([s.id for s in (model.segments if model else ())],
                         [s.id for s in segments]),
    )  # fmt: skip


def _first_ms(view: View, clock_ms: int) -> int:
    first = view.first_ms
    return first if first >= 0 else clock_ms


def _model_ms(view: View, clock_ms: int) -> int:
    if view.models:
        return view.models[0].minute * _MINUTE_MS
    if view.model is not None and len(view.changes):
        return int(view.changes["time"].min().timestamp() * 1000)
    return clock_ms


def _colours(living: list[int], every: list[int]) -> dict[int, str]:
    """Living segments share no colour while there are enough; retired ones take what is theirs."""
    return {**segment_colours(every), **segment_colours(living)}
