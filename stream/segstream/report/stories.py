"""Changes as sentences, with the customer's own figures."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from segstream.core.spec import IntArray
from segstream.report.evidence import RECENT_DAYS, WINDOW_DAYS, Evidence
from segstream.report.moves import DAY_MS, OWN
from segstream.report.words import Words, counted, date_text, day_of

# Below this, days without an order are the usual pause and explain nothing.
SILENT_DAYS: Final = 14


@dataclass(frozen=True, slots=True)
class Sentence:
    """One change in plain words.

    Attributes
    ----------
    why
        What the customer did, or did not do.
    text
        The whole sentence: who, from where to where, why.
    """

    customer_id: str
    date: str
    from_name: str
    to_name: str
    reason: str
    why: str
    text: str


def clear_changes(evidence: Evidence) -> list[Sentence]:
    """Return the clearest recent change of each kind: fell silent, moved up, left the best.

    Of the last 30 days, or of all where those have none; the clearest has the widest margin.
    """
    moves = evidence.moves
    ordered = moves.living & moves.because(*OWN) & (moves.from_id >= 0)
    recent = ordered & (moves.time_ms > moves.clock_ms - RECENT_DAYS * DAY_MS)
    ordered = recent if recent.any() else ordered
    down, up = moves.direction == "down", moves.direction == "up"
    silent = moves.day - evidence.spending.last_order(moves.who_living, moves.day + 1)
    best = evidence.best_at_changes()
    margin = evidence.view.changes["margin"].to_numpy(dtype=np.float64, na_value=0.0)[moves.row]
    kinds = (
        ordered & down & moves.because("time") & (silent >= SILENT_DAYS),
        ordered & up & moves.because("behaviour"),
        ordered & down & (moves.from_id == best),
        ordered,
    )
    chosen: list[int] = []
    for mask in kinds:
        found = np.flatnonzero(mask)
        fresh = found[~np.isin(moves.who[found], moves.who[chosen])] if chosen else found
        if len(fresh) and len(chosen) < 3:
            chosen.append(int(fresh[np.argmax(margin[fresh])]))
    return [sentence(evidence, i) for i in chosen]


def sentence(evidence: Evidence, i: int) -> Sentence:
    """Put change `i` of the moves into words."""
    moves = evidence.moves
    change = evidence.view.changes.iloc[int(moves.row[i])]
    why = _why(evidence, i, change["drivers"])
    # Today's names, as everywhere in a report: a redrawing may have renamed a segment since.
    name_of = evidence.view.segment_name
    from_name, to_name = name_of(int(moves.from_id[i])), name_of(int(moves.to_id[i]))
    told = Sentence(
        change["customer_id"], date_text(change["time"]), from_name, to_name, change["reason"],
        why, "",
    )  # fmt: skip
    return replace(told, text=said(told, evidence.words))


def said(told: Sentence, words: Words) -> str:
    """Put the parts of a sentence together."""
    return f"{words.customer} {told.customer_id}: {told.from_name} → {told.to_name}: {told.why}"


def _why(evidence: Evidence, i: int, drivers: list[dict[str, Any]]) -> str:
    moves = evidence.moves
    if moves.reason[i] not in OWN:
        return f"the segments moved; the {evidence.words.customer} did nothing new"
    who, day = moves.who[i : i + 1], moves.day[i : i + 1]
    last = evidence.spending.last_order(who, day + 1)
    if evidence.spending.empty or last[0] < 0:
        return _strongest(evidence, drivers)
    silent = int(day[0] - last[0])
    if moves.reason[i] == "time" and silent >= SILENT_DAYS:
        return f"no order for {silent} days, before that {_use(evidence, who, last)} in 90 days"
    if silent == 0:
        return _bought(evidence, who, day)
    return f"{_use(evidence, who, day)} in 90 days {_earlier(evidence, who, day)}"


def _bought(evidence: Evidence, who: IntArray, day: IntArray) -> str:
    spend = float(evidence.spending.spend(who, day, day + 1)[0])
    bought = f"bought for {evidence.words.money(spend)}" if evidence.has_spend else "bought"
    return (
        f"{bought} on {date_text(day_of(int(day[0])))}, now {_use(evidence, who, day)} in 90 days "
        f"{_earlier(evidence, who, day)}"
    )


def _use(evidence: Evidence, who: IntArray, day: IntArray) -> str:
    """Orders and spend of the 90 days that end with `day`."""
    start = day - WINDOW_DAYS + 1
    orders = counted(int(evidence.spending.orders(who, start, day + 1)[0]), "order")
    spend = float(evidence.spending.spend(who, start, day + 1)[0])
    return f"{orders}, {evidence.words.money(spend)}" if evidence.has_spend else orders


def _earlier(evidence: Evidence, who: IntArray, day: IntArray) -> str:
    return f"({_use(evidence, who, day - RECENT_DAYS)} a month earlier)"


def _strongest(evidence: Evidence, drivers: list[dict[str, Any]]) -> str:
    """Return the feature that spoke most for the change."""
    if not drivers:
        return "no figures to show"
    driver = max(drivers, key=lambda d: d["contribution"])
    spec = evidence.view.spec
    feature = next((f for f in spec.spec.features if f.name == driver["feature"]), None)
    label, unit = (spec.describe(feature), feature.unit) if feature else (driver["feature"], "")
    return f"{label} {evidence.words.value(driver['value'], unit)}"
