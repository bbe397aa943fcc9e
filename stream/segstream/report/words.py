"""Numbers, money and dates as a reader expects them."""

import math
from dataclasses import dataclass
from typing import Final

import pandas as pd

from segstream.settings import CURRENCY_SIGNS

# Units that a feature spec uses for money; the currency of the run takes their place.
MONEY_UNITS: Final = frozenset(CURRENCY_SIGNS.values())
_MONTHS: Final = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)
_EXACT_BELOW: Final = 10
_WHOLE_FROM: Final = 100


@dataclass(frozen=True, slots=True)
class Words:
    """What a customer is called, and what money looks like.

    Attributes
    ----------
    customer
        Singular: customer, household, member.
    currency
        ISO code, or empty where amounts carry none.

    Examples
    --------
    >>> words = Words("household", "USD")
    >>> words.people(1), words.people(1200), words.money(1234.5), words.money(4.2)
    ('1 household', '1,200 households', '$1,234', '$4.20')
    """

    customer: str = "customer"
    currency: str = ""

    @property
    def customers(self) -> str:
        """Plural."""
        return f"{self.customer}s"

    def people(self, n: int) -> str:
        """Count of customers."""
        return f"{n:,} {self.customer if n == 1 else self.customers}"

    def money(self, amount: float) -> str:
        """Amount with its sign in front, cents only where they matter."""
        if not math.isfinite(amount):
            return "unknown"
        size = abs(amount)
        digits = f"{size:,.2f}" if 0 < size < _EXACT_BELOW else f"{size:,.0f}"
        sign = CURRENCY_SIGNS.get(self.currency, f"{self.currency} " if self.currency else "")
        return f"{'-' if amount < 0 else ''}{sign}{digits}"

    def value(self, amount: float | None, unit: str) -> str:
        """Write a feature's value in its unit.

        >>> Words("customer", "GBP").value(12.0, "$"), Words().value(3.14, "days")
        ('£12', '3.1 days')
        """
        if amount is None or not math.isfinite(amount):
            return "unknown"
        if unit in MONEY_UNITS:
            return self.money(amount)
        return f"{number(amount)} {unit}".rstrip()


def number(amount: float) -> str:
    """One decimal below a hundred, none above.

    >>> number(3.14159), number(1234.5), number(7.0)
    ('3.1', '1,234', '7')
    """
    if abs(amount) >= _WHOLE_FROM:
        return f"{amount:,.0f}"
    return f"{amount:.1f}".removesuffix(".0")


def percent(share: float) -> str:
    """Share of one; a tenth of a percent only where it is small.

    >>> percent(0.256), percent(0.012)
    ('26 %', '1.2 %')
    """
    hundredths = 100 * share
    return f"{hundredths:.1f} %" if 0 < hundredths < _EXACT_BELOW else f"{hundredths:.0f} %"


def printable(content: str) -> str:
    r"""Replace what a terminal would act on instead of showing.

    >>> printable("a\x1b[2Jb")
    'a�[2Jb'
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in content)


def counted(n: int, word: str) -> str:
    """Count with its noun.

    >>> counted(1, "order"), counted(3, "order")
    ('1 order', '3 orders')
    """
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def date_text(moment: pd.Timestamp) -> str:
    """Day, month and year, the same in every locale.

    >>> date_text(pd.Timestamp("2017-11-24"))
    '24 Nov 2017'
    """
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def day_of(day: int) -> pd.Timestamp:
    """UTC midnight of a day counted from 1970."""
    return pd.Timestamp(day, unit="D", tz="UTC")
