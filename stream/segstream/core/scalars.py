"""Text, numbers and times out of CSV and JSON values, strictly."""

import math
import re
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any, Final

from segstream.core.events import epoch_ms
from segstream.errors import BadEventError

_DECIMAL_COMMA: Final = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?")


def bad_field(expected: str, label: str, got: object) -> BadEventError:
    """Return the dead letter of a value that cannot be read, shortened."""
    shown = repr(got)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return BadEventError("bad_field", f"expected {expected} in {label}, got {shown}")


def as_text(raw: Any, label: str) -> str:
    """Text of a CSV or JSON value; a JSON number only if it is whole.

    A decimal is refused: 17850.0 and 17850 would be two customers.

    >>> as_text(17850, "column `id`")
    '17850'
    """
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int):
        return str(raw)
    raise bad_field("text or a whole number", label, raw)


def as_number(raw: Any, label: str) -> float:
    """Read a finite number from a CSV or JSON value.

    >>> as_number(" 2.50", "column `price`")
    2.5
    """
    try:
        if isinstance(raw, str):
            # Python's float() also takes 1_000 and the digits of other scripts.
            number = float(raw) if raw.isascii() and "_" not in raw else math.nan
        elif isinstance(raw, bool) or not isinstance(raw, int | float):
            number = math.nan
        else:
            number = float(raw)
    except (ValueError, OverflowError):
        number = math.nan
    if math.isfinite(number):
        return number
    raise bad_field("a finite number", label, raw)


def as_comma_number(raw: Any, label: str) -> float:
    """`as_number` for 1.234,56.

    >>> as_comma_number("1.234,56", "column `price`")
    1234.56
    """
    if not isinstance(raw, str):
        return as_number(raw, label)
    text = raw.strip()
    if not text.isascii() or not _DECIMAL_COMMA.fullmatch(text):
        raise bad_field("a number with decimal comma", label, raw)
    return float(text.replace(".", "").replace(",", "."))


def whole(number: float, label: str) -> int:
    """Return a number that has no fraction as an int.

    >>> whole(3.0, "column `children`")
    3
    """
    if number != int(number):
        raise bad_field("a whole number", label, number)
    return int(number)


def read_iso(text: str, zone: tzinfo | None) -> int:
    """Epoch ms of an ISO 8601 time; `zone` is for those without."""
    return in_zone(datetime.fromisoformat(text), zone)


def in_zone(moment: datetime, zone: tzinfo | None) -> int:
    """Epoch ms; of a wall time that occurs twice, the first."""
    if moment.tzinfo is None:
        if zone is None:
            raise ValueError("no time zone: declare `zone` in the mapping")
        moment = moment.replace(tzinfo=zone)
    return epoch_ms(moment)


def read_epoch(text: str, factor: int) -> int:
    """Epoch ms of a number that is `factor` ms, rounded down."""
    # Decimal, because 1.001 s times 1000 in floats is below 1001 ms.
    return math.floor(Decimal(text) * factor)
