"""All customers as of one moment: computed from a view when first asked for, then kept as bytes.

Everything here may take seconds on a large state, so it runs in a thread; a board never changes, so
what was computed once is the answer until the next board.
"""

import asyncio
import bisect
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from functools import cached_property
from typing import Final

import msgspec
import numpy as np

from segstream.api.answers import Member, Members, SegmentPage, Segments
from segstream.api.lens import Lens
from segstream.api.looks import finite, mean_texts, medians_of
from segstream.api.model_pages import model_page, models_answer
from segstream.api.population import map_answer, overview_answer, segment_page, segments_answer
from segstream.api.problems import ProblemError, encoded
from segstream.core import layout as at
from segstream.core.changes import rfc3339
from segstream.core.insights_answer import InsightsTable
from segstream.report.evidence import Evidence, evidence_of
from segstream.report.facts import to_json
from segstream.report.retrospect import Retrospect
from segstream.view import View

# Pages and maps of other sizes come and go.
_MOST_KEPT: Final = 64


class Board:
    """A view, and the answers made of it.

    Parameters
    ----------
    insights
        Counts what segments buy; None where nothing of it is kept.
    past
        What followed the changes, where the view does not keep the orders that say so.
    """

    def __init__(
        self, view: View, customer_word: str, insights: Callable[[], InsightsTable | None],
        past: Retrospect | None = None,
    ) -> None:  # fmt: skip
        self.view, self.customer_word = view, customer_word
        self._past = past
        self.lens = Lens(view.spec, view.model)
        self._insights = insights
        self._answers: dict[tuple[object, ...], bytes] = {}
        self._lock = asyncio.Lock()
        # What every look-up and what-if needs is there from the start.
        _, raw, _ = view.vectors
        names = view.spec.spec.names
        self.means = dict(zip(names, _columns(raw, np.nanmean), strict=True))
        self.mean_texts = mean_texts(self.lens, self.means)
        medians = dict(zip(names, _columns(raw, np.nanmedian), strict=True))
        self.medians = medians_of(self.lens, medians)

    async def answer(self, make: Callable[..., object], *given: object) -> bytes:
        """Answer of one of the methods below, as JSON; computed once, off the event loop."""
        key = (make.__name__, *given)
        if key not in self._answers:
            async with self._lock:
                if key not in self._answers:
                    made = await asyncio.to_thread(lambda: encoded(make(*given)))
                    if len(self._answers) >= _MOST_KEPT:
                        del self._answers[next(iter(self._answers))]
                    self._answers[key] = made
                return self._answers[key]
        return self._answers[key]

    async def page(self, make: Callable[..., object], *given: object) -> bytes:
        """The same for an answer that is one of many: nothing of it is kept."""
        async with self._lock:
            return await asyncio.to_thread(lambda: encoded(make(*given)))

    @cached_property
    def _evidence(self) -> Evidence:
        return evidence_of(self.view, self.customer_word)

    @cached_property
    def table(self) -> InsightsTable | None:
        """What each segment buys."""
        return self._insights()

    def segments(self) -> Segments:
        """Every living segment."""
        return self._segments

    @cached_property
    def _segments(self) -> Segments:
        return segments_answer(self._evidence, self.means)

    def segment(self, segment_id: int) -> SegmentPage:
        """One segment beside the population."""
        self._check(segment_id)
        entry = next(s for s in self._segments.segments if s.id == segment_id)
        table = self.table
        group = table.segments.get(str(segment_id)) if table else None
        return segment_page(self.view, entry, self.means, group)

    def overview(self) -> object:
        """The summary of the run."""
        return to_json(overview_answer(self.view, self.customer_word, self._past))

    def map(self, sample: int) -> object:
        """Customers on their principal components."""
        return map_answer(self.view, sample)

    def models(self) -> object:
        """Every generation and refused candidate."""
        return models_answer(self.view)

    def model(self, version: str) -> object:
        """One model."""
        return model_page(self.view, version)

    def insights(self) -> InsightsTable:
        """What each segment buys, or 404."""
        if self.table is None:
            raise ProblemError(
                404, "no-insights", "insights: expected counts of products, got none yet; "
                "run `segstream insights` beside the workers",
            )  # fmt: skip
        return self.table

    # ---- members of a segment ----------------------------------------------------------

    def members(self, segment_id: int, limit: int, cursor: str) -> Members:
        """Some customers of a segment, in the order of their ids."""
        self._check(segment_id)
        rows, ids = self._by_segment.get(segment_id, (_NO_ROWS, []))
        start = bisect.bisect_right(ids, _id_of(cursor)) if cursor else 0
        stop = min(start + limit, len(ids))
        more = _cursor_of(ids[stop - 1]) if stop < len(ids) else None
        return Members([self._member(int(row)) for row in rows[start:stop]], more)

    @cached_property
    def _by_segment(self) -> dict[int, tuple[np.ndarray, list[str]]]:
        """Rows and ids of each segment's customers, sorted by id."""
        ids, _, _ = self.view.vectors
        order = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
        segment = self._heads[order, at.SEGMENT]
        found = {}
        for one in np.unique(segment).tolist():
            rows = order[segment == one]
            found[one] = (rows, [ids[row] for row in rows.tolist()])
        return found

    @cached_property
    def _heads(self) -> np.ndarray:
        return self.view.heads

    def _member(self, row: int) -> Member:
        ids, raw, _ = self.view.vectors
        since = int(self._heads[row, at.SINCE])
        values = map(finite, raw[row].tolist())
        names = self.view.spec.spec.names
        return Member(ids[row], rfc3339(since), dict(zip(names, values, strict=True)))

    def _check(self, segment_id: int) -> None:
        known = [s.id for s in self.view.model.segments] if self.view.model else []
        if segment_id not in known:
            told = ", ".join(map(str, sorted(known))) or "none before the first model"
            raise ProblemError(
                404, "unknown-segment", f"expected a living segment ({told}), got {segment_id}"
            )


_NO_ROWS: Final = np.zeros(0, dtype=np.int64)


def _columns(raw: np.ndarray, reduce: Callable[..., float]) -> list[float]:
    """One value per column, NaN where nobody has one."""
    known = [column[~np.isnan(column)] for column in raw.T]
    return [float(reduce(column)) if len(column) else float("nan") for column in known]


def _cursor_of(customer_id: str) -> str:
    return urlsafe_b64encode(json.dumps(customer_id).encode()).decode().rstrip("=")


def _id_of(cursor: str) -> str:
    """Read a cursor.

    Raises
    ------
    ProblemError
        422 where it is none.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return msgspec.json.decode(urlsafe_b64decode(padded), type=str)
    except (Base64Error, msgspec.DecodeError, ValueError) as error:
        raise ProblemError(
            422, "bad-cursor", "cursor: expected a next_cursor of an answer, got something else"
        ) from error
