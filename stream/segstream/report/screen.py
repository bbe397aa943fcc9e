"""The one screen at the end of a run."""

from collections.abc import Callable
from shlex import quote
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from segstream.report.aftermath import Aftermath
from segstream.report.buying import buying_text
from segstream.report.facts import Summary, from_json
from segstream.report.today import SegmentToday
from segstream.report.wording import (
    KINDS,
    REASONS,
    activity,
    k_text,
    leavers_text,
    ratio_text,
    trust_lines,
)
from segstream.report.words import Words, number, percent, printable

WIDTH: Final = 100
_LAST_90: Final = " (spend and orders of the last 90 days)"


def render_screen(summary: Summary | dict[str, Any], console: Console, out: str = "out") -> None:
    """Print a run's summary, at most 100 columns wide.

    Parameters
    ----------
    summary
        Of `write_report`, or as read from summary.json.
    out
        Output directory, as the reader would type it.
    """
    s = from_json(summary) if isinstance(summary, dict) else summary
    words = Words(s.customer_word, s.currency)
    screen = _Screen(console, words, min(WIDTH, console.width))
    screen.line(_headline(s, words))
    if s.model is None:
        screen.head("NO SEGMENTS YET")
        screen.line(f"Waiting for the first model: {s.waiting}.")
        return
    _segments(screen, s)
    _changes(screen, s)
    _meaning(screen, s)
    _worth(screen, s, out)
    _model(screen, s)
    _next(screen, s, out)


class _Screen:
    """A console with two habits: ruled headings and wrapped lines."""

    def __init__(self, console: Console, words: Words, width: int) -> None:
        self.console = console
        self.words = words
        self.width = width

    def head(self, title: str) -> None:
        """Print a ruled heading."""
        self.console.print(Rule(Text(title, style="bold"), align="left", style="dim"),
                           width=self.width)  # fmt: skip

    def line(self, text: str, indent: int = 0, style: str = "") -> None:
        """Print text as it is, wrapped; what follows the first line stands indented."""
        padded = Padding(Text(printable(text), style=style), (0, 0, 0, indent))
        self.console.print(padded, width=self.width, highlight=False)

    def table(self, table: Table) -> None:
        """Print a table."""
        self.console.print(table, width=self.width, highlight=False)


def _headline(s: Summary, words: Words) -> str:
    since = f"; segments since day {s.warm_up_days:.0f}" if s.model else ""
    return f"{s.namespace}: {words.people(s.customers)}, {activity(s)}{since}"


def _segments(screen: _Screen, s: Summary) -> None:
    screen.head("SEGMENTS TODAY" + (_LAST_90 if s.spend_90d is not None else ""))
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column("segment", max_width=28)
    columns = [screen.words.customers, "share"]
    if s.spend_90d is not None:
        # Headings of two lines leave room for the names on a terminal of 80 columns.
        columns += ["of\nspend", "spend\neach", "orders", "per\norder", "last\norder"]
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for segment in s.segments:
        cells = [f"{segment.customers:,}", percent(segment.share)]
        if s.spend_90d is not None:
            cells += _spend_cells(segment, screen.words)
        table.add_row(Text(printable(segment.name), style="bold"), *cells)
    screen.table(table)
    bought = {one.segment_id: buying_text(one) for one in s.buying}
    for segment in s.segments:
        told = [f"{f.label} {f.value} (all {f.everybody})" for f in segment.facts[:2]]
        facts = "; ".join(filter(None, (*told, bought.get(segment.id))))
        if facts:
            screen.line(f"{segment.name}: {facts}", style="dim")


def _spend_cells(segment: SegmentToday, words: Words) -> list[str]:
    def shown(value: float | None, write: Callable[[float], str]) -> str:
        return "-" if value is None else write(value)

    return [
        shown(segment.share_of_spend, percent),
        shown(segment.spend_each, words.money),
        shown(segment.orders_each, number),
        shown(segment.order_value, words.money),
        shown(segment.last_order_days, lambda days: f"{days:.0f} d ago"),
    ]


def _changes(screen: _Screen, s: Summary) -> None:
    screen.head("CHANGES SO FAR")
    if not s.changes:
        screen.line("None were published.")
        return
    order = [r for r in REASONS if r in s.changes]
    screen.line("; ".join(f"{s.changes[r]:,} {REASONS[r]} ({r})" for r in order))
    for one in s.sentences:
        screen.line(f"- {one.text}", indent=2)


def _meaning(screen: _Screen, s: Summary) -> None:
    screen.head("DO THEY MEAN ANYTHING?")
    if not any(rate.changes for rate in s.rates):
        screen.line("There are no changes yet beyond first segments.")
        return
    if s.aftermath:
        screen.line(f"Spend in the 8 weeks after, beside {screen.words.customers} who stayed in "
                    "the same segment that day:")  # fmt: skip
        table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False)
        for one in s.aftermath:
            table.add_row(f"  {KINDS[one.kind]}", *_aftermath(one, screen.words))
        screen.table(table)
        screen.line("  An association, not an effect. In brackets: 95 % interval.", style="dim")
    for text in trust_lines(s):
        screen.line(text)


def _aftermath(one: Aftermath, words: Words) -> tuple[str, ...]:
    return (
        ratio_text(one),
        f"{words.money(one.spend)} against {words.money(one.stayers_spend)}",
        f"n = {one.changes:,}",
    )


def _worth(screen: _Screen, s: Summary, out: str) -> None:
    if s.leavers.segment is None:
        return
    screen.head("WORTH ACTING ON")
    screen.line(leavers_text(s, screen.words))
    if s.leavers.customers:
        screen.line(f"The list: {out}/left-best-segment.csv")


def _model(screen: _Screen, s: Summary) -> None:
    m = s.model
    if m is None:
        return
    screen.head("THE MODEL")
    screen.line(
        f"{k_text(s)}; {m.starts} starts, seed {m.seed}; version {m.version} of {m.created}; "
        f"{m.refits} of {m.refit_checks} refit checks led to a refit."
    )
    silhouette = "-" if m.silhouette is None else f"{m.silhouette:.2f}"
    davies_bouldin = "-" if m.davies_bouldin is None else f"{m.davies_bouldin:.2f}"
    screen.line(f"WCSS {m.wcss:,.0f}, silhouette {silhouette}, Davies-Bouldin {davies_bouldin}. "
                f"{m.says}")  # fmt: skip


def _next(screen: _Screen, s: Summary, out: str) -> None:
    screen.head("NEXT")
    commands = (
        (f"{out}/report.html", "open in a browser, or send on: it is one file"),
        (f"{out}/left-best-segment.csv", "who to write to"),
        (
            f"segstream customer {quote(s.examples['customer'])}",
            f"one {s.customer_word}: features, history",
        ),
        (f"segstream assign {s.examples['assign']}", "what if: which segment would that be"),
        ("segstream export customers", f"all {screen.words.customers} with features and segments"),
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
    table.add_column(no_wrap=True)
    for command, what in commands:
        table.add_row(Text(printable(command), style="bold"), what)
    screen.table(table)
