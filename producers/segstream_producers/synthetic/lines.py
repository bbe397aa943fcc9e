"""Columns as JSON: one object per event, made by templates because that is the fastest."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from segstream_producers.synthetic.arrivals import KINDS, Columns
from segstream_producers.synthetic.faults import BAD, FIRST_BAD

_FAR_MS: Final = 7_258_118_400_000  # 2200-01-01
_BEFORE_MS: Final = -86_400_000


def encode(found: Columns, currency: str) -> list[bytes]:
    """One line per row, without its line break."""
    lines = np.empty(len(found), dtype=object)
    for kind, name in enumerate(KINDS):
        rows = np.flatnonzero(found.kind == kind)
        lines[rows] = _encode_kind(found.take(rows), name, currency)
    for row in np.flatnonzero(found.fault >= FIRST_BAD).tolist():
        lines[row] = _damaged(found, row, currency)
    made: list[bytes] = lines.tolist()
    return made


def _encode_kind(found: Columns, kind: str, currency: str) -> Sequence[bytes]:
    columns = (found.number.tolist(), found.who.tolist(), found.time_ms.tolist())
    if kind in ("purchase", "return"):
        each = zip(*columns, found.amount.tolist(), found.units.tolist(), strict=True)
        return [
            f'{{"event_id":"e{i}","customer_id":"c{who:08d}","ts":{ts},"type":"{kind}",'
            f'"order_id":"o{i}","amount":{amount},"quantity":{units},"channel":"store",'
            f'"currency":"{currency}"}}'.encode()
            for i, who, ts, amount, units in each
        ]
    more = ',"channel":"web"' if kind == "visit" else ',"coupon_id":"spring"'
    return [
        f'{{"event_id":"e{i}","customer_id":"c{who:08d}","ts":{ts},"type":"{kind}"{more}}}'.encode()
        for i, who, ts in zip(*columns, strict=True)
    ]


def _damaged(found: Columns, row: int, currency: str) -> bytes:
    """Return a purchase with one thing wrong, under an id of its own."""
    kind = list(BAD)[found.fault[row] - FIRST_BAD]
    own = f'"event_id":"bad{found.number[row]}"'
    who = f'"customer_id":"c{found.who[row]:08d}"'
    ts = f'"ts":{found.time_ms[row]}'
    good = [own, who, ts, '"type":"purchase"', '"amount":1.0', f'"currency":"{currency}"']
    return _WRONG[kind](good)


def _object(parts: Sequence[str]) -> bytes:
    return ("{" + ",".join(parts) + "}").encode()


def _instead(at: int, part: str) -> Callable[[list[str]], bytes]:
    return lambda good: _object([*good[:at], part, *good[at + 1 :]])


_WRONG: Final[dict[str, Callable[[list[str]], bytes]]] = {
    "cut_short": lambda good: _object(good)[:-12],
    "nan_amount": _instead(4, '"amount":NaN'),
    "no_customer": lambda good: _object([good[0], *good[2:]]),
    "unknown_type": _instead(3, '"type":"bought"'),
    "negative_amount": _instead(4, '"amount":-1.0'),
    "no_amount": lambda good: _object([*good[:4], good[5]]),
    "before_1970": _instead(2, f'"ts":{_BEFORE_MS}'),
    "far_future": _instead(2, f'"ts":{_FAR_MS}'),
}
