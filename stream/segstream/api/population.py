"""Answers about all customers: segments, distributions, the map, the overview."""

from dataclasses import fields
from typing import Final

import numpy as np

from segstream.api.answers import FeatureWords, Histogram, SegmentEntry, SegmentPage, Segments
from segstream.api.looks import Values, finite
from segstream.api.pages import Centre, Freshness, Map, Overview, Point, SizeOnDay, WaitingOnDay
from segstream.core import layout as at
from segstream.core.changes import rfc3339
from segstream.core.insights_answer import GroupInsights
from segstream.core.portrait import LEVELS, UNKNOWN, Figures, Level, portraits, quintiles_of
from segstream.core.spec import FloatArray, IntArray
from segstream.model_words import iso_day
from segstream.report.evidence import Evidence
from segstream.report.facts import Summary, gather
from segstream.report.retrospect import Retrospect
from segstream.report.today import SegmentToday, segments_today
from segstream.view import View

_BINS: Final = 20
# Beyond these a single customer would stretch a histogram until nothing is seen.
_QUANTILES: Final = (0.005, 0.995)
_COMPONENTS: Final = 3


def segments_answer(evidence: Evidence, means: Values) -> Segments:
    """Every living segment, by published membership."""
    view = evidence.view
    today = segments_today(evidence)
    levels = _levels(view, today, means)
    return Segments(
        as_of=rfc3339(evidence.clock_ms),
        model=view.model.version if view.model else None,
        currency=view.settings.currency,
        customer_word=evidence.words.customer,
        customers=len(view.vectors[0]),
        features=[
            FeatureWords(f.name, view.spec.describe(f), f.unit, f.use)
            for f in view.spec.spec.features
        ],
        segments=[_entry(view, s, level) for s, level in zip(today, levels, strict=True)],
    )


def _entry(view: View, today: SegmentToday, levels: dict[str, Level]) -> SegmentEntry:
    segment = view.model.segment(today.id) if view.model else None
    return SegmentEntry(
        id=today.id,
        name=today.name,
        description=today.description,
        action=today.action,
        actions=list(segment.actions) if segment else [],
        colour=today.colour,
        customers=today.customers,
        share=today.share,
        share_of_spend=today.share_of_spend,
        spend_each=today.spend_each,
        averages=today.averages,
        levels=levels,
        last_order_days=today.last_order_days,
        best=today.best,
    )


def _levels(view: View, today: list[SegmentToday], means: Values) -> list[dict[str, Level]]:
    names = view.spec.spec.names
    if not today:
        return []
    unknown = float("nan")
    averages = np.array(
        [[unknown if (a := s.averages[n]) is None else a for n in names] for s in today]
    )
    _, raw, _ = view.vectors
    population = np.array([means[n] for n in names])
    found = portraits(Figures(averages, population, quintiles_of(raw)))
    return [
        {n: LEVELS[i] for n, i in zip(names, p.level, strict=True) if i != UNKNOWN} for p in found
    ]


# ---- one segment -----------------------------------------------------------------------


def segment_page(
    view: View, entry: SegmentEntry, means: Values, insights: GroupInsights | None
) -> SegmentPage:
    """A segment beside the population."""
    members = view.heads[:, at.SEGMENT] == entry.id
    _, raw, _ = view.vectors
    told = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return SegmentPage(
        **told,
        population={name: finite(mean) for name, mean in means.items()},
        distributions={
            name: _histogram(raw[:, j], raw[members, j])
            for j, name in enumerate(view.spec.spec.names)
        },
        insights=insights,
    )


def _histogram(everybody: FloatArray, members: FloatArray) -> Histogram:
    known = everybody[~np.isnan(everybody)]
    if not len(known):
        return Histogram([], [], [])
    low, high = np.quantile(known, _QUANTILES)
    edges = np.histogram_bin_edges(known, _BINS, (low, high))
    return Histogram(edges.tolist(), _counts(members, edges), _counts(known, edges))


def _counts(values: FloatArray, edges: FloatArray) -> list[int]:
    known = np.clip(values[~np.isnan(values)], edges[0], edges[-1])
    counts: list[int] = np.histogram(known, edges)[0].tolist()
    return counts


# ---- overview --------------------------------------------------------------------------


def overview_answer(view: View, customer_word: str, past: Retrospect | None) -> Overview:
    """The run's summary with sizes by day and freshness.

    Parameters
    ----------
    past
        What followed the changes; None to look back over the view's own orders.
    """
    facts = gather(view, customer_word, past)
    told = {f.name: getattr(facts.summary, f.name) for f in fields(Summary)}
    sizes = [
        SizeOnDay(iso_day(day), segment, customers)
        for day, segment, customers in facts.tables.sizes.itertuples(index=False)
    ]
    waiting = [
        WaitingOnDay(iso_day(day), customers)
        for day, customers in facts.tables.waiting.itertuples(index=False)
    ]
    return Overview(
        **told, looked_back=past.customers if past else len(view.customers), sizes=sizes,
        waiting_sizes=waiting, freshness=_freshness(view),
        names={str(i): name for i, name in facts.tables.names.items()},
        colours={str(i): colour for i, colour in facts.tables.colours.items()},
    )  # fmt: skip


def _freshness(view: View) -> list[Freshness]:
    segments, evaluated_ms = view.evaluations
    found = []
    for segment in np.unique(segments).tolist():
        age_ms = view.clock_ms - evaluated_ms[segments == segment]
        mean_s = float(np.maximum(age_ms, 0).mean()) / 1000
        found.append(Freshness(None if segment == at.NO_SEGMENT else segment, mean_s))
    return found


# ---- map -------------------------------------------------------------------------------


def map_answer(view: View, sample: int) -> Map:
    """Every n-th customer and the centres, on three principal components of all customers."""
    ids, raw, scaled = view.vectors
    segment = view.heads[:, at.SEGMENT]
    if not len(ids):
        return Map(list(view.spec.spec.names), (0.0, 0.0, 0.0), [], [])
    middle, axes, explained = _components(scaled)
    rows = np.arange(0, len(ids), -(-len(ids) // sample))
    places = (scaled[rows] - middle) @ axes
    return Map(
        list(view.spec.spec.names),
        _three(explained),
        [
            Point(ids[row], _known(segment, row), _three(place), _nullable(raw[row]))
            for row, place in zip(rows.tolist(), places, strict=True)
        ],
        [
            Centre(s.id, _three((np.array(s.centre) - middle) @ axes))
            for s in (view.model.segments if view.model else ())
        ],
    )


def _known(segment: IntArray, row: int) -> int | None:
    return None if segment[row] == at.NO_SEGMENT else int(segment[row])


def _nullable(values: FloatArray) -> list[float | None]:
    return [finite(value) for value in values.tolist()]


def _three(values: FloatArray) -> tuple[float, float, float]:
    x, y, z = map(float, values)
    return x, y, z


def _components(vectors: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Middle, axes as columns (F, 3) each with a fixed sign, and shares of the variance."""
    middle = vectors.mean(axis=0)
    values, found = np.linalg.eigh(np.cov(vectors - middle, rowvar=False, bias=True, ddof=0)
                                   .reshape(vectors.shape[1], vectors.shape[1]))  # fmt: skip
    order = np.argsort(-values)[:_COMPONENTS]
    axes = np.zeros((vectors.shape[1], _COMPONENTS))
    axes[:, : len(order)] = found[:, order]
    axes *= np.where(axes.sum(axis=0) < 0, -1.0, 1.0)
    shares = np.zeros(_COMPONENTS)
    total = float(np.maximum(values, 0).sum())
    if total > 0:
        shares[: len(order)] = np.maximum(values[order], 0) / total
    return middle, axes, shares
