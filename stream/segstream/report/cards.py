"""A segment as a card: for the report and the Explorer."""

from segstream.report.markup import text, whole
from segstream.report.today import SegmentToday
from segstream.report.words import Words, percent


def segment_card(segment: SegmentToday, words: Words) -> str:
    """Name, size, what sets it apart, what to do."""
    facts = "".join(
        f"<li>{text(f.label)}: <b>{text(f.value)}</b> {whole(f'(all: {f.everybody})')}</li>"
        for f in segment.facts
    )
    best = ' <span class="tag">spends most</span>' if segment.best else ""
    numbers = "".join(f"<div><b>{text(n)}</b><span>{text(c)}</span></div>"
                      for n, c in card_numbers(segment, words))  # fmt: skip
    return (
        f'<article class="card" style="--colour: {text(segment.colour)}">'
        f"<h3>{text(segment.name)}{best}</h3>"
        f'<div class="numbers">{numbers}</div><ul>{facts}</ul>'
        f'<p class="do"><b>Do:</b> {text(segment.action)}</p></article>'
    )


def card_numbers(segment: SegmentToday, words: Words) -> list[tuple[str, str]]:
    """Figures with what each means."""
    numbers = [
        (f"{segment.customers:,}", f"{words.customers}, {percent(segment.share)}"),
    ]
    if segment.share_of_spend is not None:
        numbers.append((percent(segment.share_of_spend), "of all spend"))
    if segment.spend_each is not None:
        numbers.append((words.money(segment.spend_each), f"a {words.customer}"))
    if segment.last_order_days is not None:
        numbers.append((f"{segment.last_order_days:.0f} days", "since the last order (median)"))
    return numbers
