"""The event contract: what a feed must send, and how bytes become `Event`s.

One JSON object per event. Money and quantities arrive as JSON numbers and are kept as
int64 in 1e-4 units from `segstream.core.columns` on; times are epoch milliseconds, UTC.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from segstream.errors import BadEventError

EventType = Literal[
    "purchase",
    "return",
    "visit",
    "coupon_claimed",
    "coupon_redeemed",
    "campaign_response",
    "profile",
    "erase",
    "merge",
]
TYPE_CODES: Final[dict[str, int]] = {name: code for code, name in enumerate(get_args(EventType))}
"""The kernel's numbers of the types, in the order they are declared."""
PURCHASE, RETURN, ERASE, MERGE = (
    TYPE_CODES[name] for name in ("purchase", "return", "erase", "merge")
)

DEAD_LETTER_CODES: Final[dict[str, str]] = {
    "not_json": "the bytes are not one JSON object",
    "bad_row": "the row cannot be read with the declared format",
    "bad_field": "a field is missing, of the wrong type or outside its range",
    "bad_value": "a mapped value is not one the mapping knows",
    "no_amount": "a purchase or return without amount and without items",
    "items_mismatch": "items do not add up to amount",
    "time_before_1970": "ts is before 1970",
    "time_in_future": "ts is further ahead than the clock allows",
    "wrong_currency": "another currency than the namespace's",
    "too_large": "the event is larger than the limit",
    "merge_reserved": "type `merge` is reserved",
}

# One event is one Kafka message; the broker's own default limit is 1 MiB.
MAX_EVENT_BYTES: Final = 1_048_576
# Amounts are int64 in 1e-4 units; sums over a lifetime of events stay far from 2**63.
MAX_AMOUNT: Final = 1e9
# Items are given in rounded currency; a basket of many lines may be off by half a unit each.
ITEM_TOLERANCE: Final = 0.005

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
Text = Annotated[str, msgspec.Meta(max_length=1024)]
NonNegative = Annotated[float, msgspec.Meta(ge=0, lt=MAX_AMOUNT)]
# Years 1 to 9999: what a datetime can hold. Earlier than 1970 is a dead letter of its own code.
Moment = (
    Annotated[int, msgspec.Meta(ge=-62_135_596_800_000, le=253_402_300_799_999)]
    | Annotated[datetime, msgspec.Meta(tz=True)]
)


class Item(msgspec.Struct, gc=False, omit_defaults=True):
    """One line of an order.

    Attributes
    ----------
    amount
        Currency units, >= 0. Given as `quantity` x `unit_price` where absent.
    quantity
        Units, >= 0.
    unit_price, discount
        Currency units, >= 0.
    """

    product_id: Text | None = None
    category: Text | None = None
    quantity: NonNegative = 1.0
    unit_price: NonNegative | None = None
    amount: NonNegative | None = None
    discount: NonNegative = 0.0


class Event(msgspec.Struct, gc=False, omit_defaults=True):
    """One thing a customer did, or one thing now known of a customer.

    Attributes
    ----------
    event_id
        Unique per event within 48 hours of event time; a repeat is a duplicate.
    customer_id
        The key of the message; any Unicode, at most 1,024 characters.
    ts
        When it happened: ISO 8601 with zone, or epoch milliseconds.
    type
        See `EventType`. An unknown type is an error, never a zero.
    order_id
        Lines with the same one are one order; without it a line is an order of its own.
    amount, unit_price, discount
        Currency units, >= 0; the type carries the sign.
    quantity
        Units, >= 0; one where absent.
    items
        The whole order in one event; the items' amounts add up to `amount`.
    """

    event_id: Id
    customer_id: Id
    ts: Moment
    type: EventType
    order_id: Text | None = None
    amount: NonNegative | None = None
    quantity: NonNegative = 1.0
    unit_price: NonNegative | None = None
    product_id: Text | None = None
    category: Text | None = None
    channel: Text | None = None
    merchant_id: Text | None = None
    branch_id: Text | None = None
    coupon_id: Text | None = None
    discount: NonNegative = 0.0
    city: Text | None = None
    country: Text | None = None
    currency: Text | None = None
    items: list[Item] | None = None
    income: NonNegative | None = None
    birth_year: Annotated[int, msgspec.Meta(ge=1850, le=2200)] | None = None
    gender: Text | None = None
    children: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    joined_at: Moment | None = None


NUMERIC_ATTRIBUTES: Final = ("income", "birth_year", "children", "joined_at")
TEXT_ATTRIBUTES: Final = ("gender", "city", "country")
ATTRIBUTES: Final = NUMERIC_ATTRIBUTES + TEXT_ATTRIBUTES

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_ms(moment: int | datetime) -> int:
    """Whole milliseconds since 1970 UTC, rounded down.

    >>> epoch_ms(datetime(1970, 1, 2, tzinfo=UTC))
    86400000
    """
    if isinstance(moment, int):
        return moment
    since = moment - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


# Seconds as a float tell one microsecond from the next up to here, the year 2041.
_EXACT_US: Final = float(1 << 51)


def epochs_ms(moments: Sequence[int | datetime]) -> npt.NDArray[np.int64]:
    """`epoch_ms` of each.

    >>> epochs_ms([datetime(1970, 1, 2, tzinfo=UTC)]).tolist()
    [86400000]
    """
    try:
        seconds = np.array(list(map(datetime.timestamp, moments)))  # type: ignore[arg-type]
    except TypeError:  # an int among them
        return np.array(list(map(epoch_ms, moments)), dtype=np.int64)
    micros = np.rint(seconds * 1e6)
    if (np.abs(micros) >= _EXACT_US).any():
        return np.array(list(map(epoch_ms, moments)), dtype=np.int64)
    return micros.astype(np.int64) // 1000


def item_amount(item: Item) -> float:
    """Currency units of one line: its amount, else quantity times unit price."""
    if item.amount is not None:
        return item.amount
    return item.quantity * (item.unit_price or 0.0)


def order_amount(event: Event) -> float:
    """Currency units of a purchase or return, >= 0.

    Raises
    ------
    BadEventError
        `no_amount` where nothing says how much; `items_mismatch` where two sources disagree.
    """
    if event.items:
        total = math.fsum(item_amount(item) for item in event.items)
        slack = ITEM_TOLERANCE * (len(event.items) + 1)
        if event.amount is not None and abs(total - event.amount) > slack:
            raise BadEventError(
                "items_mismatch",
                f"expected items to add up to amount {event.amount}, got {total:.4f}",
            )
        return total
    if event.amount is not None:
        return event.amount
    if event.unit_price is not None:
        return event.quantity * event.unit_price
    raise BadEventError(
        "no_amount", f"expected `amount`, `unit_price` or `items` in a {event.type}, got none"
    )


Parsed = Event | BadEventError | None
"""What one payload became: an event, a dead letter, or nothing (declared `skip`)."""

_DECODER: Final = msgspec.json.Decoder(Event)


def parse_json(payload: bytes) -> Parsed:
    """Read one event of the plain contract.

    >>> parse_json(b'{"event_id":"1","customer_id":"c","ts":0,"type":"visit"}').type
    'visit'
    >>> parse_json(b"{").code
    'not_json'
    """
    if len(payload) > MAX_EVENT_BYTES:
        return too_large(payload)
    try:
        return _DECODER.decode(payload)
    except msgspec.ValidationError as error:
        return BadEventError("bad_field", f"expected the event contract, got {error}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return BadEventError("not_json", f"expected one JSON object, got {error}")


def too_large(payload: bytes) -> BadEventError:
    """Return the dead letter of a payload over the limit."""
    return BadEventError(
        "too_large", f"expected at most {MAX_EVENT_BYTES} bytes, got {len(payload)}"
    )


def parse_json_lines(payloads: Sequence[bytes]) -> list[Parsed]:
    """`parse_json` of each, fast where all are good."""
    joined = b"\n".join(payloads)
    if len(joined) <= MAX_EVENT_BYTES or max(map(len, payloads), default=0) <= MAX_EVENT_BYTES:
        try:
            events = _DECODER.decode_lines(joined)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            # A payload with a line break inside is two lines: judge them one by one.
            if len(events) == len(payloads):
                return list(events)
    return [parse_json(payload) for payload in payloads]
