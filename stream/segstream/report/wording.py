"""Sentences that screen and page share."""

from typing import Final

import pandas as pd

from segstream.report.aftermath import Aftermath
from segstream.report.facts import Summary
from segstream.report.stability import UNDONE_DAYS
from segstream.report.stories import SILENT_DAYS
from segstream.report.words import Words, counted, date_text, percent

KINDS: Final = {
    "moved_up": "moved up",
    "fell_silent": "fell silent",
    "left_best": "left the segment that spends most",
}
REASONS: Final = {
    "first": "first segment",
    "behaviour": "by what they did",
    "time": "by silence",
    "model": "segments moved a little",
    "recluster": "segments redrawn",
    "rollback": "rolled back",
    "forgotten": "forgotten",
    "erased": "erased",
}


def activity(s: Summary) -> str:
    """How much there was to learn from, and until when."""
    amount = counted(s.orders, "order") if s.orders else counted(s.events, "event")
    first, clock = date_text(pd.Timestamp(s.first_event)), date_text(pd.Timestamp(s.clock))
    return f"{amount}, {first} to {clock}"


def ratio_text(one: Aftermath) -> str:
    """Ratio with its interval."""
    if one.ratio is None:
        return "no comparison"
    if one.low is None or one.high is None:
        return f"{one.ratio:.2f} times"
    return f"{one.ratio:.2f} times ({one.low:.2f} to {one.high:.2f})"


def trust_lines(s: Summary) -> list[str]:
    """Stability and lead, a sentence each."""
    lines = []
    everything = next((r for r in s.rates if r.reason == "all"), None)
    undone = next((u for u in s.undone if u.reason == "all"), None)
    if everything is not None:
        lines.append(f"Changes per {s.customer_word} and year: {everything.mean:.1f} on average"
                     + _spread(everything.median, everything.p90) + ".")  # fmt: skip
    if undone is not None and undone.share is not None:
        lines.append(f"Undone within {UNDONE_DAYS} days: {percent(undone.share)} of changes.")
    if s.lead.days_median is not None:
        missed = s.lead.missed_share
        lines.append(
            f"Known {s.lead.days_median:.0f} days before a notebook run at month's end would show "
            "them (median)"
            + (f"; {percent(missed)} were over by then." if missed is not None else ".")
        )
    if s.silence.days_median is not None:
        lines.append(
            f"A regular who falls silent (15+ orders in 91 days before) drops after "
            f"{s.silence.days_median:.0f} days (median of {s.silence.spells:,} such silences)."
        )
    return lines


def _spread(median: float | None, p90: float | None) -> str:
    return (
        "" if median is None or p90 is None else f" (median {median:.1f}, 9 in 10 below {p90:.1f})"
    )


def leavers_text(s: Summary, words: Words) -> str:
    """Who left the best segment, in a sentence or two."""
    found = s.leavers
    if not found.customers:
        return f"Nobody left “{found.segment}”, the segment that spends most, in the last 30 days."
    text = (
        f"{words.people(found.customers)} left “{found.segment}”, the segment that spends most, in "
        f"the last 30 days and stayed away. They had spent {words.money(found.spend_before)} in "
        "90 days, up to their last order before that."
    )
    if found.silent:
        text += (
            f" {found.silent:,} of them, with {words.money(found.silent_spend_before)}, have had "
            f"no order for {SILENT_DAYS} days or longer."
        )
    if found.weekly_before is None or found.weekly_since is None:
        return text
    return (
        f"{text} Those gone for a week or longer spent {words.money(found.weekly_before)} a week "
        f"before and {words.money(found.weekly_since)} since."
    )


def k_text(s: Summary) -> str:
    """Where the number of segments came from."""
    m = s.model
    if m is None:
        return ""
    if m.k_range is None:
        return f"{counted(m.k, 'segment')}, as set"
    low, high = m.k_allowed
    return (
        f"{m.k} segments, the elbow of {m.k_range[0]} to {m.k_range[1]} (allowed: {low} to {high})"
    )
