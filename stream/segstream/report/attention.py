"""The page's first part: who left the best segment, and what is at stake."""

from typing import Final

import pandas as pd

from segstream.report.facts import Facts
from segstream.report.markup import csv_link, note, section, table, text, tiles, whole
from segstream.report.stories import SILENT_DAYS
from segstream.report.wording import leavers_text
from segstream.report.words import Words, date_text

SHOWN_LEAVERS: Final = 8


def attention_part(facts: Facts, words: Words) -> str:
    """Return the section."""
    found, frame = facts.summary.leavers, facts.tables.leavers
    if found.segment is None:
        return section(
            "What needs attention",
            "Nothing here measures what was spent, so no segment can be called the best one.",
        )
    if not found.customers:
        return section("What needs attention", leavers_text(facts.summary, words))
    return section(
        "What needs attention",
        f"They left “{found.segment}”, the segment that spends most per {words.customer}, in the "
        "last 30 days and have not come back to it.",
        tiles(
            (
                (words.people(found.customers), "left and stayed away"),
                (words.money(found.spend_before), "they had spent in the 90 days before"),
                (f"{found.silent:,}", f"of them: no order for {SILENT_DAYS} days or longer"),
                *_pace(facts, words),
            )
        ),
        _leavers_table(frame, words),
        note(
            "Spent before: in the 90 days up to the last order before they left. Those who have "
            "gone silent stand first; moves that came from the model alone are left out."
        ),
        csv_link(frame.to_csv(index=False), "left-best-segment.csv",
                 f"Save the list of all {found.customers:,} (CSV)"),
        style="alert",
    )  # fmt: skip


def _pace(facts: Facts, words: Words) -> tuple[tuple[str, str], ...]:
    found = facts.summary.leavers
    if found.weekly_before is None or found.weekly_since is None:
        return ()
    before, since = words.money(found.weekly_before), words.money(found.weekly_since)
    return ((f"{before} → {since}", "a week, before and since (gone for 7 days or longer)"),)


def _leavers_table(frame: pd.DataFrame, words: Words) -> str:
    shown = frame.head(SHOWN_LEAVERS)
    rows = [
        (
            text(row.customer_id), text(words.money(float(str(row.spend_90d_before)))),
            whole(date_text(pd.Timestamp(str(row.left_on)))), whole(row.segment_now), text(row.why),
        )
        for row in shown.itertuples(index=False)
    ]  # fmt: skip
    head = (words.customer, "spent before", "left on", "now in", "why")
    return table(head, rows, numbers=(1,), style="stack")
