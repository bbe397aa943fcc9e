"""Segment changes as CloudEvents: deterministic ids, reasons and drivers."""

import datetime as dt
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Annotated, Final, Literal

import msgspec
import numpy as np

from segstream.core.layout import (
    C_AS_OF,
    C_ENTERED,
    C_FROM,
    C_REASON,
    C_SEQUENCE,
    C_SINCE,
    C_TO,
    NO_SEGMENT,
    REASONS,
)  # fmt: skip
from segstream.core.model import Model, Segment
from segstream.core.rounding import DECIMALS, rounded
from segstream.core.spec import FloatArray, IntArray

Reason = Literal[
    "first", "behaviour", "time", "model", "recluster", "rollback", "forgotten", "erased"
]
Direction = Literal["up", "down", "level"]
Rfc3339 = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]

CHANGE_TYPE: Final = "segstream.segment.changed.v1"
# Segments whose mean spend is closer than this share are of one value.
LEVEL_SHARE: Final = 0.05
N_DRIVERS: Final = 4


class SegmentRef(msgspec.Struct, frozen=True):
    """A segment by its lasting id and its name at the time of the change."""

    id: int
    name: str


class Driver(msgspec.Struct, frozen=True):
    """How much one feature spoke for the change.

    Attributes
    ----------
    contribution
        (x - from)^2 - (x - to)^2 in scaled units; over all features they sum to the margin.
    value, from_average, to_average
        Real units: the customer's, and the two segments' averages.
    """

    feature: str
    contribution: float
    value: float | None
    from_average: float | None
    to_average: float | None


class ChangeData(msgspec.Struct, frozen=True):
    """What changed, and why.

    Attributes
    ----------
    sequence
        Previous + 1 per customer, from 1.
    direction
        Of value, by the segments' mean spend.
    times_entered
        How often the customer has entered the new segment, this time included.
    since
        Since when the customer was in the former segment.
    margin
        Squared distance to the former centre minus to the new one, scaled units.
    """

    customer_id: str
    sequence: int
    from_: SegmentRef | None = msgspec.field(name="from")
    to: SegmentRef | None
    reason: Reason
    direction: Direction
    times_entered: int
    since: Rfc3339 | None
    margin: float | None
    model: str
    drivers: tuple[Driver, ...]


class Change(msgspec.Struct, frozen=True):
    """A CloudEvents 1.0 event in JSON format; keyed by customer in Kafka."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: Rfc3339
    datacontenttype: Literal["application/json"]
    data: ChangeData


_ENCODER: Final = msgspec.json.Encoder()
_EPOCH: Final = dt.date(1970, 1, 1)
# Two times in every change: looked up, as formatting takes longer.
_SECONDS: Final = tuple(f"{second:02d}." for second in range(60))
_MILLIS: Final = tuple(f"{ms:03d}Z" for ms in range(1000))


@lru_cache(maxsize=16_384)
def _minute(minute: int) -> str:
    day, rest = divmod(minute, 1440)
    return f"{_EPOCH + dt.timedelta(days=day)}T{rest // 60:02d}:{rest % 60:02d}:"


def rfc3339(time_ms: int) -> str:
    """UTC time in milliseconds.

    >>> rfc3339(0)
    '1970-01-01T00:00:00.000Z'
    """
    minute, rest_ms = divmod(time_ms, 60_000)
    second, ms = divmod(rest_ms, 1000)
    return _minute(minute) + _SECONDS[second] + _MILLIS[ms]


def change_id(
    namespace: str,
    customer_id: str,
    sequence: int,
    from_: int | None,
    to: int | None,
    as_of_ms: int,
    cause: str,
) -> str:
    """First 32 hex digits of SHA-256; the same through a file, Kafka or a rebuild."""
    # As json.dumps writes the array, in ASCII and without spaces.
    text = (
        f"[{quoted(namespace)},{quoted(customer_id)},{sequence},{_number(from_)},{_number(to)},"
        f"{as_of_ms},{quoted(cause)}]"
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


def direction(model: Model, from_: int | None, to: int | None) -> Direction:
    """Whether the customer's new segment spends more."""
    if from_ is None or to is None:
        return "level"
    before, after = model.value(from_), model.value(to)
    if abs(after - before) <= LEVEL_SHARE * max(abs(after), abs(before)):
        return "level"
    return "up" if after > before else "down"


@dataclass(frozen=True, slots=True)
class _Pair:
    """What all changes from one segment to another under one model have in common.

    Attributes
    ----------
    text
        JSON of `from` and `to`, up to the reason.
    from_centre, to_centre
        Scaled units; both empty where there is no target to compare with.
    averages
        JSON of each driver behind its value: the two averages.
    """

    text: str
    direction: Direction
    from_centre: tuple[float, ...]
    to_centre: tuple[float, ...]
    averages: tuple[str, ...]


def _pair(model: Model, from_: int | None, to: int | None) -> _Pair:
    former = None if from_ is None else model.segment(from_)
    target = None if to is None else model.segment(to)
    text = f'"from":{_json(_ref(model, from_))},"to":{_json(_ref(model, to))}'
    way = direction(model, from_, to)
    if target is None:
        return _Pair(text, way, (), (), ())
    centre = former.centre if former else (0.0,) * len(target.centre)
    before = former.average if former else model.population
    averages = tuple(
        f',"from_average":{_json(_round(a))},"to_average":{_json(_round(b))}}}'
        for a, b in zip(before, target.average, strict=True)
    )
    return _Pair(text, way, centre, target.centre, averages)


class ChangeEncoder:
    """Change rows of the kernel to bytes: those of `Change`, written by hand.

    The fields of `Change` in their order, as msgspec writes them; numbers of a whole batch are
    rounded and written at once.

    Parameters
    ----------
    namespace
        Name of the customer base; part of every id and of the CloudEvents `source`.
    """

    def __init__(self, namespace: str, features: tuple[str, ...]) -> None:
        self._namespace = namespace
        source = _json(f"/segstream/{namespace}")
        self._source = f'","source":{source},"type":"{CHANGE_TYPE}","subject":'
        self._features = tuple(f'{{"feature":{_json(f)},"contribution":' for f in features)
        self._model: Model | None = None
        self._version = ""
        self._pairs: dict[tuple[int | None, int | None], _Pair] = {}

    def encode(
        self,
        rows: IntArray,
        raw: FloatArray,
        scaled: FloatArray,
        causes: Sequence[tuple[str, str]],
        model: Model,
    ) -> list[bytes]:
        """JSON objects without a line break, one for each row.

        Parameters
        ----------
        rows : shape (n, N_CHANGE)
        raw, scaled : shape (n, F)
        causes
            Of each row the customer's id, and the event's id, "instant" or the model's version.
        """
        if not len(rows):
            return []
        if model is not self._model:
            self._model, self._version, self._pairs = model, _json(model.version), {}
        cells = rows.tolist()
        pairs = [self._pair(_known(c[C_FROM]), _known(c[C_TO]), model) for c in cells]
        reasons = self._margins(raw, scaled, pairs)
        return [
            self._object(cell, pair, customer_id, cause, why).encode()
            for cell, pair, (customer_id, cause), why in zip(
                cells, pairs, causes, reasons, strict=True
            )
        ]

    def _pair(self, from_: int | None, to: int | None, model: Model) -> _Pair:
        """Look a pair up; they are few, and made anew for another model."""
        found = self._pairs.get((from_, to))
        if found is None:
            found = self._pairs[from_, to] = _pair(model, from_, to)
        return found

    def _object(self, cells: list[int], pair: _Pair, customer_id: str, cause: str, why: str) -> str:
        from_, to = _known(cells[C_FROM]), _known(cells[C_TO])
        as_of, sequence = cells[C_AS_OF], cells[C_SEQUENCE]
        made = change_id(self._namespace, customer_id, sequence, from_, to, as_of, cause)
        subject = _json(customer_id)
        since = "null" if from_ is None else f'"{rfc3339(cells[C_SINCE])}"'
        return (
            f'{{"specversion":"1.0","id":"{made}{self._source}{subject},"time":"{rfc3339(as_of)}",'
            f'"datacontenttype":"application/json","data":{{"customer_id":{subject},'
            f'"sequence":{sequence},{pair.text},"reason":"{REASONS[cells[C_REASON]]}",'
            f'"direction":"{pair.direction}","times_entered":{cells[C_ENTERED]},'
            f'"since":{since},"margin":{why}}}}}'
        )

    def _margins(self, raw: FloatArray, scaled: FloatArray, pairs: Sequence[_Pair]) -> list[str]:
        """Everything from the margin's figure on: margin, model, drivers."""
        nothing = (0.0,) * scaled.shape[1]
        before = np.array([pair.from_centre or nothing for pair in pairs])
        after = np.array([pair.to_centre or nothing for pair in pairs])
        parts = (scaled - before) * (scaled - before) - (scaled - after) * (scaled - after)
        # A stable sort: of equal ones the earlier feature comes first.
        order = np.argsort(-np.abs(parts), axis=1, kind="stable")[:, :N_DRIVERS]
        shown = np.take_along_axis(parts, order, axis=1)
        margins = np.array([math.fsum(row) for row in parts.tolist()])
        values = np.take_along_axis(raw, order, axis=1)
        written = _numbers(rounded(np.concatenate((margins, shown.ravel(), values.ravel()))))
        counts = np.count_nonzero(shown, axis=1)
        return self._with_drivers(pairs, order.tolist(), counts.tolist(), written)

    def _with_drivers(
        self,
        pairs: Sequence[_Pair],
        order: list[list[int]],
        counts: list[int],
        written: list[str],
    ) -> list[str]:
        """Put margins, contributions and values, which come in this order, where they belong."""
        model, names, n = f',"model":{self._version},"drivers":[', self._features, len(pairs)
        width = len(order[0])
        contributions, values = written[n : n + n * width], written[n + n * width :]
        found = []
        for i, (pair, features, count) in enumerate(zip(pairs, order, counts, strict=True)):
            if not pair.to_centre:
                found.append(f"null{model}]")
                continue
            drivers = [
                f'{names[j]}{contributions[at]},"value":{values[at]}{pair.averages[j]}'
                for at, j in enumerate(features[:count], i * width)
            ]
            found.append(f"{written[i]}{model}{','.join(drivers)}]")
        return found


def _json(value: object) -> str:
    return _ENCODER.encode(value).decode()


def _numbers(values: FloatArray) -> list[str]:
    """Each number as msgspec writes it: the shortest that is the same; null where not finite."""
    return _json(values.tolist())[1:-1].split(",")


def _round(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return round(value, DECIMALS)


def _known(segment: int) -> int | None:
    return None if segment == NO_SEGMENT else segment


def _ref(model: Model, segment_id: int | None) -> SegmentRef | None:
    if segment_id is None:
        return None
    segment: Segment | None = model.segment(segment_id)
    return SegmentRef(segment_id, segment.name if segment else f"segment {segment_id}")
