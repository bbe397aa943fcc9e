"""The segments as they are: how many, what they spend, what sets each apart."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from segstream.core.model import Segment
from segstream.core.spec import Feature, FloatArray
from segstream.report.evidence import WINDOW_DAYS, Evidence

N_FACTS: Final = 3


@dataclass(frozen=True, slots=True)
class Fact:
    """One feature in which a segment differs from everybody, in words and real units."""

    label: str
    value: str
    everybody: str


@dataclass(frozen=True, slots=True)
class SegmentToday:
    """One living segment, by published membership.

    Attributes
    ----------
    spend
        Of all members in the last 90 days; None without a measure of spend.
    share_of_spend
        Of all customers' spend in those days.
    spend_each, orders_each
        Per member, last 90 days.
    order_value
        Spend per order in those days.
    last_order_days
        Median days since a member's last order.
    averages
        Mean of every feature over members, real units.
    best
        Whether it spends most per customer.
    """

    id: int
    name: str
    colour: str
    description: str
    action: str
    customers: int
    share: float
    spend: float | None
    share_of_spend: float | None
    spend_each: float | None
    orders_each: float | None
    order_value: float | None
    last_order_days: float | None
    averages: dict[str, float | None]
    facts: tuple[Fact, ...]
    best: bool


def segments_today(evidence: Evidence) -> list[SegmentToday]:
    """Living segments, the one whose members spend most first."""
    if evidence.view.model is None:
        return []
    members = recent_use(evidence)
    names = list(evidence.view.spec.spec.names)
    features = evidence.view.customers[names].to_numpy(dtype=np.float64)
    found = [_segment(evidence, s, members, features) for s in evidence.view.model.segments]
    return sorted(found, key=lambda s: (-(s.spend_each or 0.0), s.id))


def recent_use(evidence: Evidence) -> pd.DataFrame:
    """One row per living customer: segment_id (-1 for none), spend, orders, silent_days.

    Spend and orders are of the last 90 days, the clock's included; `silent_days` is NaN for a
    customer who never ordered.
    """
    who, today = evidence.everybody, evidence.today
    start, stop = evidence.days(today - WINDOW_DAYS + 1), evidence.days(today + 1)
    last = evidence.recent.last_order(who, stop)
    segment = evidence.view.customers["segment_id"].fillna(-1)
    return pd.DataFrame(
        {
            "segment_id": segment.to_numpy(dtype=np.int64),
            "spend": evidence.recent.spend(who, start, stop),
            "orders": evidence.recent.orders(who, start, stop),
            "silent_days": np.where(last >= 0, today - last, np.nan),
        }
    )


def _segment(
    evidence: Evidence, segment: Segment, members: pd.DataFrame, features: FloatArray
) -> SegmentToday:
    mask = (members["segment_id"] == segment.id).to_numpy()
    n, mine = int(mask.sum()), members[mask]
    average = _means(features[mask])
    known = evidence.has_recent and n > 0
    spend, orders = float(mine["spend"].sum()), int(mine["orders"].sum())
    total = float(members["spend"].sum())
    silent = mine["silent_days"].dropna()
    return SegmentToday(
        id=segment.id,
        name=segment.name,
        colour=evidence.colours[segment.id],
        description=segment.description,
        action=segment.action,
        customers=n,
        share=n / max(1, len(members)),
        spend=spend if known else None,
        share_of_spend=spend / total if known and total > 0 else None,
        spend_each=spend / n if known else None,
        orders_each=orders / n if known else None,
        order_value=spend / orders if known and orders else None,
        last_order_days=float(silent.median()) if len(silent) else None,
        averages={
            name: _nullable(a)
            for name, a in zip(evidence.view.spec.spec.names, average, strict=True)
        },
        facts=_facts(evidence, average, _means(features)) if 0 < n < len(members) else (),
        best=segment.id == evidence.best_id,
    )


def _facts(evidence: Evidence, average: FloatArray, everybody: FloatArray) -> tuple[Fact, ...]:
    """Clustered features by how many times the segment is above or below everybody."""
    spec = evidence.view.spec
    apart = np.zeros(len(average))
    usable = np.isfinite(average) & np.isfinite(everybody) & (everybody > 0) & spec.clustered
    # A value at or below zero is as far below as can be.
    ratio = np.maximum(average[usable] / everybody[usable], 1e-3)
    apart[usable] = np.abs(np.log(ratio))
    order = np.argsort(-apart, kind="stable")[:N_FACTS]
    features = spec.spec.features
    return tuple(
        Fact(
            _label(evidence, features[j]),
            evidence.words.value(float(average[j]), features[j].unit),
            evidence.words.value(float(everybody[j]), features[j].unit),
        )
        for j in order.tolist()
        if usable[j]
    )


def _label(evidence: Evidence, feature: Feature) -> str:
    """Return a feature's label, in plainer words for a silence in customers' own intervals."""
    if feature.kind == "overdue":
        return "silence, in their usual gaps"
    return evidence.view.spec.describe(feature)


def _means(values: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    counts = known.sum(axis=0)
    sums = np.where(known, values, 0.0).sum(axis=0)
    means: FloatArray = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means


def _nullable(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
