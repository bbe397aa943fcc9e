"""Everything a run has to say, computed once: a summary for machines, tables for the page.

Each part has its own module:

    view ► evidence ► today, stability, retrospect, model_facts ► Summary
                    └► flows, leavers, timeline, model_facts    ► Tables
"""

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from segstream.core.changes import rfc3339
from segstream.core.insights_answer import InsightsTable
from segstream.core.spec import Feature
from segstream.report.aftermath import Aftermath
from segstream.report.buying import Buying, buying_of, insights_of
from segstream.report.evidence import Evidence, evidence_of
from segstream.report.flows import flows, sizes, waiting_sizes
from segstream.report.leavers import Leavers, leavers, leavers_frame
from segstream.report.model_facts import (
    ModelFacts,
    ModelMaps,
    decisions_frame,
    model_facts,
    model_maps,
)
from segstream.report.moves import DAY_MS
from segstream.report.retrospect import Retrospect, retrospect
from segstream.report.silence import Silence
from segstream.report.stability import (
    Lead,
    Rate,
    Undone,
    changes_by_reason,
    month_end_lead,
    rates,
    undone,
)
from segstream.report.stories import Sentence, said
from segstream.report.timeline import Timeline, instructive_customer, timeline
from segstream.report.today import SegmentToday, segments_today
from segstream.view import View


@dataclass(frozen=True, slots=True)
class Flow:
    """Customers by segment 30 days ago and now; None for no segment."""

    from_id: int | None
    to_id: int | None
    customers: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What summary.json says.

    Attributes
    ----------
    waiting
        What the first model waits for; empty once there is one.
    customers
        With a record now.
    spend_90d
        Of all customers in the last 90 days; None without a measure of spend.
    warm_up_days
        From the first event to the first model.
    changes
        Published, by reason.
    """

    namespace: str
    currency: str
    customer_word: str
    clock: str
    first_event: str
    waiting: str
    warm_up_days: float
    customers: int
    events: int
    orders: int
    spend_90d: float | None
    segments: tuple[SegmentToday, ...]
    changes: dict[str, int]
    rates: tuple[Rate, ...]
    undone: tuple[Undone, ...]
    lead: Lead
    aftermath: tuple[Aftermath, ...]
    silence: Silence
    leavers: Leavers
    sentences: tuple[Sentence, ...]
    flows: tuple[Flow, ...]
    model: ModelFacts | None
    examples: dict[str, str]
    buying: tuple[Buying, ...] = ()


@dataclass(frozen=True, slots=True)
class Tables:
    """What the page and its figures draw.

    Attributes
    ----------
    names, colours
        By segment id, retired ones included.
    """

    names: dict[int, str]
    colours: dict[int, str]
    leavers: pd.DataFrame
    flows: pd.DataFrame
    sizes: pd.DataFrame
    waiting: pd.DataFrame
    timeline: Timeline | None
    maps: ModelMaps | None
    features: tuple[Feature, ...]
    decisions: pd.DataFrame
    insights: InsightsTable | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Summary and tables of one view."""

    summary: Summary
    tables: Tables


def gather(view: View, customer_word: str = "customer", told: Retrospect | None = None) -> Facts:
    """Compute everything.

    Parameters
    ----------
    customer_word
        Singular, lower case: what readers call a customer.
    told
        What followed the changes, where somebody else keeps the orders that say so.
    """
    evidence = evidence_of(view, customer_word)
    tables = _tables(evidence)
    return Facts(_summary(evidence, tables, told or retrospect(evidence, tables.leavers)), tables)


def _tables(evidence: Evidence) -> Tables:
    view, moves = evidence.view, evidence.moves
    now = view.customers["segment_id"].fillna(-1).to_numpy(dtype=np.int64)
    chosen = instructive_customer(evidence)
    return Tables(
        names={i: view.segment_name(i) for i in evidence.colours},
        colours=evidence.colours,
        leavers=leavers_frame(evidence),
        flows=flows(moves, now),
        sizes=sizes(moves),
        waiting=waiting_sizes(evidence),
        timeline=None if chosen is None else timeline(evidence, chosen),
        maps=model_maps(evidence),
        features=view.spec.spec.features,
        decisions=decisions_frame(evidence),
        insights=insights_of(view),
    )


def _summary(evidence: Evidence, tables: Tables, past: Retrospect) -> Summary:
    view, moves = evidence.view, evidence.moves
    segments = tuple(segments_today(evidence))
    spends = [s.spend for s in segments if s.spend is not None]
    return Summary(
        namespace=view.settings.namespace,
        currency=view.settings.currency,
        customer_word=evidence.words.customer,
        clock=rfc3339(evidence.clock_ms),
        first_event=rfc3339(evidence.first_ms),
        waiting="" if view.model else view.trainer.waiting,
        warm_up_days=round((evidence.model_ms - evidence.first_ms) / DAY_MS, 2),
        customers=len(view.customers),
        events=int(view.customers["events"].sum()),
        orders=view.n_orders,
        spend_90d=sum(spends) if spends else None,
        segments=segments,
        changes=changes_by_reason(moves),
        rates=tuple(rates(moves)),
        undone=tuple(undone(moves)),
        lead=month_end_lead(moves),
        aftermath=past.aftermath,
        silence=past.silence,
        leavers=past.leavers or leavers(evidence, tables.leavers),
        sentences=tuple(replace(s, text=said(s, evidence.words)) for s in past.sentences),
        flows=tuple(_flow(*row) for row in tables.flows.itertuples(index=False)),
        model=model_facts(evidence),
        examples=_examples(evidence, tables),
        buying=buying_of(tables.insights),
    )


def _flow(from_id: int, to_id: int, customers: int) -> Flow:
    known = [None if i < 0 else int(i) for i in (from_id, to_id)]
    return Flow(known[0], known[1], int(customers))


def _examples(evidence: Evidence, tables: Tables) -> dict[str, str]:
    """What to type next, with names that exist."""
    customer = tables.timeline.customer_id if tables.timeline else ""
    if not customer and len(evidence.view.customers):
        customer = str(evidence.view.customers["customer_id"].iloc[0])
    model, names = evidence.view.model, evidence.view.spec.spec.names
    pairs: list[str] = []
    for feature, average in zip(names, model.population if model else (), strict=False):
        if average is not None and len(pairs) < 2:
            pairs.append(f"{feature}={average:.0f}")
    return {"customer": customer, "assign": " ".join(pairs)}


def to_json(summary: Summary) -> dict[str, Any]:
    """Return the summary as plain JSON values, floats to six decimals."""
    plain: dict[str, Any] = _rounded(msgspec.to_builtins(summary))
    return plain


def from_json(plain: dict[str, Any]) -> Summary:
    """Read a summary back."""
    return msgspec.convert(plain, type=Summary)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value
