"""What each segment buys: the likeliest things, and those that set it apart."""

from dataclasses import dataclass
from typing import Final

from segstream.core.insights_answer import GroupInsights, InsightsTable, Likelihood
from segstream.insights_view import insights_of_state
from segstream.report.markup import note, section, table, text, whole
from segstream.report.words import Words, percent
from segstream.view import View

SHOWN: Final = 3
# Below it a lift is the taste of a few people.
LEAST_CUSTOMERS: Final = 10


@dataclass(frozen=True, slots=True)
class Thing:
    """A product or category that a segment buys.

    Attributes
    ----------
    likelihood
        Share of the segment's customers who bought it.
    lift, lift_low
        Times as likely as among all customers, and the lower end of its 95 % interval.
    """

    name: str
    customers: int
    likelihood: float
    lift: float
    lift_low: float


@dataclass(frozen=True, slots=True)
class Buying:
    """What one segment buys, in the window that insights count.

    Attributes
    ----------
    top
        Bought by most of its customers.
    apart
        Surely bought more often than by all customers: the highest lower ends of lifts.
    """

    segment_id: int
    top: tuple[Thing, ...]
    apart: tuple[Thing, ...]


def insights_of(view: View) -> InsightsTable | None:
    """Insights of a view; None where it keeps none, or they name no product, city or coupon."""
    found = view.counted
    if found is None and view.purchases and view.model is not None:
        found = insights_of_state(view)
    return found if found and (_names_products(found) or found.places) else None


def _names_products(found: InsightsTable) -> bool:
    return bool(found.all.products or found.all.categories)


def buying_of(found: InsightsTable | None) -> tuple[Buying, ...]:
    """Tell products where they have names, else categories, else products by their ids."""
    if found is None or not _names_products(found):
        return ()
    named = any(p.name != p.id for p in found.top_products)
    products = named or not found.all.categories
    return tuple(_buying(int(i), _things(g, products, named)) for i, g in found.segments.items())


def _things(group: GroupInsights, products: bool, named: bool) -> list[Thing]:
    if not products:
        return [_thing(one) for one in group.categories]
    # A number among names tells a reader nothing.
    return [_thing(one) for one in group.products if not named or one.name != one.id]


def _buying(segment_id: int, things: list[Thing]) -> Buying:
    sure = [t for t in things if t.lift_low > 1 and t.customers >= LEAST_CUSTOMERS]
    sure.sort(key=lambda t: -t.lift_low)
    return Buying(segment_id, tuple(things[:SHOWN]), tuple(sure[:SHOWN]))


def _thing(one: Likelihood) -> Thing:
    return Thing(one.name, one.customers, one.likelihood, one.lift, one.lift_low)


def buying_text(one: Buying) -> str:
    """One segment's taste in a few words; empty where nothing sets it apart."""
    if not one.apart:
        return ""
    thing = one.apart[0]
    return f"buys {thing.name} {thing.lift:.1f} times as likely ({percent(thing.likelihood)})"


def buying_part(
    found: InsightsTable | None, buying: tuple[Buying, ...], tags: dict[int, str], words: Words
) -> str:
    """Section of the page; empty where nothing names what was bought.

    Parameters
    ----------
    tags
        Segments as HTML, by id, in the order of the rows.
    """
    if found is None or not buying:
        return ""
    by_id = {one.segment_id: one for one in buying}
    rows = [
        (tag, _cell(by_id[i].top, ""), _cell(by_id[i].apart, "x"))
        for i, tag in tags.items()
        if i in by_id
    ]
    apart = f"more likely than all {words.customers}"
    return section(
        "What they buy",
        f"Share of each segment's {words.customers} who bought it in the last "
        f"{found.window_days} days, and what the segment buys more often than everybody.",
        table(("segment", "bought by most", apart), rows, style="stack"),
        note(
            f"Whoever returned all of it is not counted. In brackets: the lower end of the 95 % "
            f"interval; at least {LEAST_CUSTOMERS} {words.customers}. All of it: segstream export "
            "likelihoods"
        ),
        *(note(one) for one in found.notices),
    )


def _cell(things: tuple[Thing, ...], kind: str) -> str:
    if not things:
        return text("nothing that is sure")
    return "<br>".join(f"{text(t.name)}: <b>{whole(_figure(t, kind))}</b>" for t in things)


def _figure(thing: Thing, kind: str) -> str:
    if kind:
        return f"{thing.lift:.1f} x ({thing.lift_low:.1f})"
    return percent(thing.likelihood)
