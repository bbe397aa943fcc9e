"""What campaigns would have sent, had each change been judged when it happened."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple, get_args

from segstream.core.campaigns import (
    Campaign,
    Campaigns,
    Code,
    Fired,
    Known,
    customer_of,
    decide,
    time_of,
)
from segstream.core.changes import Change

CODES: Final[tuple[Code, ...]] = tuple(c for c in get_args(Code) if c != "other")


class Row(NamedTuple):
    """One campaign in one week: how many changes came to each code."""

    week: str
    campaign: str
    counts: dict[str, int]


class Simulation:
    """Judges changes in the order given, in memory, each as if it had just happened.

    Parameters
    ----------
    suppressed
        Customers on the suppression list.
    """

    def __init__(self, rules: Campaigns, suppressed: Iterable[str] = ()) -> None:
        self._rules, self._suppressed = rules, frozenset(suppressed)
        self._seen: set[str] = set()
        self._fired: dict[str, list[Fired]] = {}
        self._counts: Counter[tuple[date, str, str]] = Counter()
        self._newest_ms = 0
        self.changes = 0
        self.duplicates = 0

    def judge(self, change: Change) -> list[tuple[Campaign, Code]]:
        """Judge one change; returns the campaigns that answer to it, each with its code."""
        if change.id in self._seen:
            self.duplicates += 1
            return []
        self._seen.add(change.id)
        self.changes += 1
        self._newest_ms = max(self._newest_ms, time_of(change))
        if change.data.reason == "erased":
            self._fired.pop(customer_of(change), None)
        judged = [(c, self._judge(change, c)) for c in self._rules.campaign]
        return [(campaign, code) for campaign, code in judged if code != "other"]

    def _judge(self, change: Change, campaign: Campaign) -> Code:
        customer = customer_of(change)
        history = self._fired.setdefault(customer, [])
        known = Known(history, customer in self._suppressed)
        code = decide(change, campaign, self._rules, self._newest_ms, known).code
        if code in ("fire", "held_out"):
            history.append(Fired(campaign.name, self._newest_ms, code == "held_out"))
        if code != "other":
            self._counts[_monday(time_of(change)), campaign.name, code] += 1
        return code

    def rows(self) -> list[Row]:
        """Every week from the first to the last change that was answered, by campaign."""
        weeks = sorted({week for week, _, _ in self._counts})
        found = []
        for campaign in self._rules.campaign:
            day = weeks[0] if weeks else None
            while day is not None and day <= weeks[-1]:
                counts: dict[str, int] = {
                    code: self._counts[day, campaign.name, code] for code in CODES
                }
                found.append(Row(day.isoformat(), campaign.name, counts))
                day += timedelta(days=7)
        return found

    def _row(self, week: date, campaign: str) -> Row:
        counts: dict[str, int] = {code: self._counts[week, campaign, code] for code in CODES}
        return Row(week.isoformat(), campaign, counts)

    def total(self, campaign: str) -> dict[str, int]:
        """All weeks of a campaign together."""
        found: dict[str, int] = dict.fromkeys(CODES, 0)
        for (_, name, code), n in self._counts.items():
            if name == campaign:
                found[code] += n
        return found


def _monday(time_ms: int) -> date:
    day = datetime.fromtimestamp(time_ms / 1000, UTC).date()
    return day - timedelta(days=day.weekday())
