"""Segment changes as CloudEvents: deterministic ids, reasons and drivers."""

import datetime as dt
import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Annotated, Final, Literal

import msgspec

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
# More decimals are noise to a reader.
DECIMALS: Final = 6


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
_DAY_MS: Final = 86_400_000


@lru_cache(maxsize=1024)
def _date(day: int) -> str:
    return str(_EPOCH + dt.timedelta(days=day))


def rfc3339(time_ms: int) -> str:
    """UTC time in milliseconds.

    >>> rfc3339(0)
    '1970-01-01T00:00:00.000Z'
    """
    day, rest_ms = divmod(time_ms, _DAY_MS)
    seconds, ms = divmod(rest_ms, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_date(day)}T{hour:02d}:{minute:02d}:{second:02d}.{ms:03d}Z"


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
    from_centre, to_centre
        Scaled units; both empty where there is no target to compare with.
    from_average, to_average
        Real units, rounded.
    """

    from_: SegmentRef | None
    to: SegmentRef | None
    direction: Direction
    from_centre: tuple[float, ...]
    to_centre: tuple[float, ...]
    from_average: tuple[float | None, ...]
    to_average: tuple[float | None, ...]


def _pair(model: Model, from_: int | None, to: int | None) -> _Pair:
    former = None if from_ is None else model.segment(from_)
    target = None if to is None else model.segment(to)
    refs = (_ref(model, from_), _ref(model, to), direction(model, from_, to))
    if target is None:
        return _Pair(*refs, (), (), (), ())
    centre = former.centre if former else (0.0,) * len(target.centre)
    average = former.average if former else model.population
    return _Pair(*refs, centre, target.centre, _rounded(average), _rounded(target.average))


class ChangeEncoder:
    """Change rows of the kernel to bytes.

    Parameters
    ----------
    namespace
        Name of the customer base; part of every id and of the CloudEvents `source`.
    """

    def __init__(self, namespace: str, features: tuple[str, ...]) -> None:
        self._namespace = namespace
        self._source = f"/segstream/{namespace}"
        self._features = features
        self._model: Model | None = None
        self._version = ""
        self._pairs: dict[tuple[int | None, int | None], _Pair] = {}

    def encode(
        self,
        row: IntArray,
        raw: FloatArray,
        scaled: FloatArray,
        customer_id: str,
        cause: str,
        model: Model,
    ) -> bytes:
        """One JSON object without a line break.

        Parameters
        ----------
        row : shape (N_CHANGE,)
        raw, scaled : shape (F,)
        cause
            Event id, "instant" or model version.
        """
        cells: list[int] = row.tolist()
        from_, to = _known(cells[C_FROM]), _known(cells[C_TO])
        as_of, sequence = cells[C_AS_OF], cells[C_SEQUENCE]
        pair = self._pair(from_, to, model)
        margin, drivers = self._drivers(raw, scaled, pair)
        data = ChangeData(
            customer_id=customer_id,
            sequence=sequence,
            from_=pair.from_,
            to=pair.to,
            reason=REASONS[cells[C_REASON]],
            direction=pair.direction,
            times_entered=cells[C_ENTERED],
            since=rfc3339(cells[C_SINCE]) if from_ is not None else None,
            margin=margin,
            model=self._version,
            drivers=drivers,
        )
        change = Change(
            specversion="1.0",
            id=change_id(self._namespace, customer_id, sequence, from_, to, as_of, cause),
            source=self._source,
            type=CHANGE_TYPE,
            subject=customer_id,
            time=rfc3339(as_of),
            datacontenttype="application/json",
            data=data,
        )
        return _ENCODER.encode(change)

    def _pair(self, from_: int | None, to: int | None, model: Model) -> _Pair:
        """Look a pair up; they are few, and made anew for another model."""
        if model is not self._model:
            self._model, self._version, self._pairs = model, model.version, {}
        found = self._pairs.get((from_, to))
        if found is None:
            found = self._pairs[from_, to] = _pair(model, from_, to)
        return found

    def _drivers(
        self, raw: FloatArray, scaled: FloatArray, pair: _Pair
    ) -> tuple[float | None, tuple[Driver, ...]]:
        if not pair.to_centre:
            return None, ()
        # Lists: for a handful of features numpy's calls cost more than the sums.
        parts = [
            (x - a) * (x - a) - (x - b) * (x - b)
            for x, a, b in zip(scaled.tolist(), pair.from_centre, pair.to_centre, strict=True)
        ]
        # A stable sort: of equal ones the earlier feature comes first.
        order = sorted(range(len(parts)), key=list(map(abs, parts)).__getitem__, reverse=True)
        values = raw.tolist()
        drivers = tuple(
            Driver(
                self._features[j],
                round(parts[j], DECIMALS),
                _round(values[j]),
                pair.from_average[j],
                pair.to_average[j],
            )
            for j in order[:N_DRIVERS]
            if parts[j] != 0.0
        )
        return _round(math.fsum(parts)), drivers


def _rounded(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
    return tuple(map(_round, values))


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
