"""What lists of cities and coupons come to, in sentences."""

from collections.abc import Sequence
from typing import Final

from segstream.core.places_answer import Looked, PlaceKind

PLURAL: Final[dict[PlaceKind, str]] = {
    "city": "cities", "coupon": "coupons", "merchant": "merchants", "branch": "branches",
}  # fmt: skip


def coupons_say(
    kind: PlaceKind, count: int, looked: Looked, told: tuple[int, int], rate: float | None
) -> list[str]:
    r"""Say whether places differ in what is redeemed, and how many seem to by chance.

    Parameters
    ----------
    told
        Coupons claimed, and redeemed.

    >>> for line in coupons_say("city", 20, Looked(20, 1, 0), (5000, 2516), 0.5032):
    ...     print(line.replace(". ", ".\n"))
    None of 20 cities differs from the others in the share of coupons redeemed.
    1 has a 95 % interval that leaves out the rate of all, 50 %; by chance alone about 1 would.
    """
    many, (claimed, redeemed) = PLURAL[kind], told
    if rate is None and claimed:
        return ["No event tells that a coupon was redeemed, so there is no rate."]
    if rate is None:
        return ["No event tells that a coupon was claimed, so there is no rate."] * (redeemed > 0)
    if not looked.tested:
        return [f"Too few coupons were claimed to tell {many} apart."]
    differ = f"{_verb(looked, 'differs', 'differ')} from the others in the share of coupons"
    found = [f"{_few(looked)} of {looked.tested:,} {many} {differ} redeemed."]
    if looked.tested < count:
        found.append(f"Of the other {count - looked.tested:,} there is too little to tell.")
    return [" ".join([*found, _chance(looked, f"the rate of all, {100 * rate:.0f} %")])]


def single_says(count: int) -> list[str]:
    """Say why coupons of one customer each are not listed."""
    return [f"Each of the {count:,} coupon ids is one customer's alone: nothing to compare by id."]


def segments_say(looked: Looked) -> list[str]:
    r"""Say whether a segment is more frequent in one city than in another.

    >>> for line in segments_say(Looked(120, 4, 0)):
    ...     print(line.replace(". ", ".\n"))
    Of 120 pairs of a city and a segment, none differs from the other cities in its share.
    4 have a 95 % interval that leaves out a lift of 1; by chance alone about 6 would.
    """
    if not looked.tested:
        return []
    differ = f"{_few(looked).lower()} {_verb(looked, 'differs', 'differ')} from the other cities"
    found = f"Of {looked.tested:,} pairs of a city and a segment, {differ} in its share."
    return [f"{found} {_chance(looked, 'a lift of 1')}"]


def _few(looked: Looked) -> str:
    return f"{looked.differ:,}" if looked.differ else "None"


def _verb(looked: Looked, one: str, many: str) -> str:
    return one if looked.differ <= 1 else many


def _chance(looked: Looked, what: str) -> str:
    if not looked.outside:
        return f"No 95 % interval of theirs leaves out {what}."
    has = "has" if looked.outside == 1 else "have"
    usual = looked.tested / 20 if looked.tested < 40 else round(looked.tested / 20)
    return (
        f"{looked.outside:,} {has} a 95 % interval that leaves out {what}; by chance alone about "
        f"{usual:,g} would."
    )


def redemption_why(rates: Sequence[float], claims: int, whole: float) -> str:
    """Say the figures behind it.

    >>> redemption_why((0.6, 0.55, 0.65), 400, 0.5)
    '60 % of 400 coupons claimed were redeemed (95 % interval 55 to 65 %), of all 50 %.'
    """
    rate, low, high = rates
    return (
        f"{100 * rate:.0f} % of {claims:,} coupons claimed were redeemed (95 % interval "
        f"{100 * low:.0f} to {100 * high:.0f} %), of all {100 * whole:.0f} %."
    )


def segment_why(name: str, own: int, customers: int, lifted: Sequence[float]) -> str:
    """Say the figures behind it.

    >>> segment_why("Coupon hunters", 40, 100, (2.0, 1.6, 2.5))
    '40 of 100 are Coupon hunters: 2.0 times the share among all (95 % interval 1.6 to 2.5).'
    """
    value, low, high = lifted
    return (
        f"{own:,} of {customers:,} are {name}: {value:.1f} times the share among all (95 % "
        f"interval {low:.1f} to {high:.1f})."
    )
