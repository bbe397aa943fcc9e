"""The page's part on whether a change can be trusted."""

from typing import Final

from segstream.report.aftermath import AFTER_DAYS, Aftermath
from segstream.report.facts import Summary
from segstream.report.figures import aftermath_figure
from segstream.report.markup import figure, note, section, table, text, tiles
from segstream.report.silence import REGULAR_DAYS, REGULAR_ORDERS
from segstream.report.stability import MIN_WATCHED_DAYS, UNDONE_DAYS
from segstream.report.wording import REASONS, ratio_text
from segstream.report.words import Words, percent

ENOUGH: Final = 30
"""Customers behind a figure before a sentence repeats it."""
KINDS: Final = {
    "moved_up": "moved up to a segment that spends more",
    "fell_silent": "dropped because they fell silent",
    "left_best": "left the segment that spent most for a lower one",
}


def trust_part(summary: Summary, words: Words) -> str:
    """Return the section."""
    title = "Can I trust a change?"
    if not any(r.changes for r in summary.rates):
        return section(title, "There are no changes yet beyond first segments.")
    return section(title, "", *_after(summary, words), _tiles(summary, words), _by_reason(summary))


def _after(summary: Summary, words: Words) -> list[str]:
    if not summary.aftermath:
        return [note("What followed changes cannot be told: that takes eight weeks of spend.")]
    rows = [
        (text(KINDS[a.kind]), text(words.money(a.spend)), text(words.money(a.stayers_spend)),
         text(ratio_text(a)), f"{a.changes:,}")
        for a in summary.aftermath
    ]  # fmt: skip
    return [
        f"<p>{text(_in_words(summary.aftermath, words))}</p>",
        figure("aftermath", aftermath_figure(summary.aftermath, words)),
        table((f"{words.customers} who", "spent", "stayers spent", "ratio (95 % interval)", "n"),
              rows, numbers=(1, 2, 3, 4), style="stack"),
        note(
            f"Mean spend in the {AFTER_DAYS} days after the day of a change, beside "
            f"{words.customers} who were in the same segment and stayed in it that day. An "
            "association, not an effect: it says that a change is a sign, not that it causes "
            "anything. n counts changes with eight weeks of data after them; the interval comes "
            f"from resampled {words.customers}."
        ),
    ]  # fmt: skip


def _in_words(rows: tuple[Aftermath, ...], words: Words) -> str:
    said = {
        "moved_up": "moved up", "fell_silent": "fell silent", "left_best": "left the top segment",
    }  # fmt: skip
    parts = [
        f"those who {said[a.kind]} spent {a.ratio:.1f} times as much"
        for a in rows
        if a.ratio and a.customers >= ENOUGH
    ]
    if not parts:
        return "There are too few changes yet to say in a word what followed them."
    return (
        f"In the eight weeks after a change, compared with {words.customers} who stayed: "
        + ", ".join(parts) + "."
    )  # fmt: skip


def _tiles(summary: Summary, words: Words) -> str:
    pairs = []
    everything = next((r for r in summary.rates if r.reason == "all"), None)
    if everything is not None:
        pairs.append((f"{everything.mean:.1f}", f"changes per {words.customer} and year"))
    undone = next((u for u in summary.undone if u.reason == "all"), None)
    if undone is not None and undone.share is not None:
        pairs.append((percent(undone.share), f"of changes undone within {UNDONE_DAYS} days"))
    lead = summary.lead
    if lead.days_median is not None:
        pairs.append((f"{lead.days_median:.0f} days",
                      "earlier than a notebook run at month's end (median)"))  # fmt: skip
    if summary.silence.days_median is not None:
        pairs.append((f"{summary.silence.days_median:.0f} days",
                      f"of silence until a regular {words.customer} drops (median)"))  # fmt: skip
    return tiles(pairs)


def _by_reason(summary: Summary) -> str:
    shares = {u.reason: u.share for u in summary.undone}
    rows = []
    for rate in summary.rates:
        share = shares.get(rate.reason)
        rows.append(
            (text(REASONS.get(rate.reason, "all")), f"{rate.changes:,}", f"{rate.mean:.2f}",
             _or_dash(rate.median), _or_dash(rate.p90),
             "-" if share is None else text(percent(share)))
        )  # fmt: skip
    head = ("why they changed", "changes", "a year, mean", "median", "9 in 10 below", "undone")
    missed = summary.lead.missed_share
    over = (
        f" {percent(missed)} of changes by what they did or by silence were over by the month's "
        "end: a monthly run would never have shown them."
        if missed is not None
        else ""
    )
    return table(head, rows, (1, 2, 3, 4, 5), "stack") + note(
        "First segments do not count as changes. A change from A to B is undone when the same "
        f"{summary.customer_word} is in A again within {UNDONE_DAYS} days. Median and 9-in-10 are "
        f"over those watched for {MIN_WATCHED_DAYS} days or longer. Regular: {REGULAR_ORDERS} or "
        f"more orders in {REGULAR_DAYS} days; {summary.silence.spells:,} such silences.{over}"
    )


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
