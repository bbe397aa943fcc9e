"""The way in for everyone who has a batch notebook: a pandas frame in, frames out."""

import tempfile
from collections.abc import Hashable
from collections.abc import Mapping as Fields
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import pandas as pd

from segstream.adapters.files import FileSource
from segstream.adapters.mapping_files import named_mapping
from segstream.adapters.memory import MemorySink, MemorySource, MemoryStore
from segstream.core.events import Event, Parsed
from segstream.core.mapping import Mapping
from segstream.engine import Engine
from segstream.errors import BadEventError, ConfigError
from segstream.settings import Settings, check_settings
from segstream.view import View

_ENCODER: Final = msgspec.json.Encoder()
# How a frame's cells become fields of the contract; every other field is text.
_TIMES: Final = frozenset(("ts", "joined_at"))
_WHOLE: Final = _TIMES | {"birth_year", "children"}
_NUMBERS: Final = frozenset(("amount", "quantity", "unit_price", "discount", "income", "items"))


@dataclass(frozen=True, slots=True)
class Result:
    """What a stream over a frame gives.

    Attributes
    ----------
    customers
        One row per customer: features in real units, scaled vector, segment, since.
    segments
        One row per segment: name, customers, share, averages.
    changes
        One row per segment change, with reason, margin and drivers.
    model
        One row per segment and feature: centre (scaled units) and average (real units).
    dead_letters
        One row per event that broke the contract.
    memberships
        One row per stay of a customer in a segment: from, to.
    """

    customers: pd.DataFrame
    segments: pd.DataFrame
    changes: pd.DataFrame
    model: pd.DataFrame
    dead_letters: pd.DataFrame
    memberships: pd.DataFrame


def run(
    frame: pd.DataFrame,
    mapping: Fields[str, str] | str,
    k: int | Literal["auto"] = "auto",
    settings: Settings | None = None,
) -> Result:
    """Stream a frame of transactions in time order and return where everybody ended.

    Parameters
    ----------
    frame
        One row per event or order line.
    mapping
        Contract field to column name, at least `customer_id` and `ts`, and `amount` for
        purchases; or the name or path of a declared mapping. Without `type` every row is a
        purchase, without `event_id` the row's number is its id; naive times are UTC.
    k
        Number of segments, or `auto`.

    Raises
    ------
    ConfigError
        A column the mapping names is absent.

    Examples
    --------
    >>> sales = pd.DataFrame({"who": ["a", "b"], "when": ["2024-01-01", "2024-01-02"],
    ...                       "paid": [10.0, 20.0]})
    >>> result = run(sales, mapping={"customer_id": "who", "ts": "when", "amount": "paid"})
    >>> len(result.customers)
    2
    """
    settings = settings or Settings()
    settings = msgspec.structs.replace(settings, model=msgspec.structs.replace(settings.model, k=k))
    check_settings(settings, "settings")
    store, sink = MemoryStore(), MemorySink()
    engine = Engine(settings, store, sink)
    if isinstance(mapping, str):
        _run_mapped(engine, frame, mapping)
    else:
        engine.run(_frame_source(frame, mapping))
    lines = [body for _, body in sink.changes]
    view = View(settings, engine.partition, engine.trainer_state, store.models(), b"", lines)
    return Result(
        view.customers.drop(columns="slot"),
        view.segments,
        view.changes,
        _model_frame(view),
        pd.DataFrame([msgspec.json.decode(line) for line in sink.dead_letters]),
        view.memberships,
    )


def _run_mapped(engine: Engine, frame: pd.DataFrame, name: str) -> None:
    mapping = named_mapping(name)
    with tempfile.TemporaryDirectory(prefix="segstream-") as folder:
        source = FileSource([_written(frame, mapping, Path(folder))], mapping)
        try:
            engine.run(source)
        finally:
            source.close()


def _written(frame: pd.DataFrame, mapping: Mapping, folder: Path) -> Path:
    """Write a frame as the file that the mapping declares."""
    # Whole numbers that a missing value made floats lose their `.0`.
    frame = frame.convert_dtypes()
    if mapping.declared.format == "csv":
        path = folder / "frame.csv"
        declared = mapping.declared
        frame.to_csv(path, index=False, sep=declared.delimiter, encoding=declared.encoding)
        return path
    path = folder / "frame.jsonl"
    rows = (_present(row) for row in frame.to_dict(orient="records"))
    path.write_bytes(b"".join(_ENCODER.encode(row) + b"\n" for row in rows))
    return path


def _frame_source(frame: pd.DataFrame, mapping: Fields[str, str]) -> MemorySource:
    _check_columns(frame, mapping)
    named = frame[list(mapping.values())].set_axis(list(mapping), axis=1).reset_index(drop=True)
    given = named.to_dict(orient="records")
    for name in _TIMES & set(mapping):
        named[name] = _epoch_ms(named[name])
    order = named["ts"].sort_values(kind="stable", na_position="last").index.tolist()
    rows = named.to_dict(orient="records")
    payloads = [_ENCODER.encode({k: str(v) for k, v in given[i].items()}) for i in order]
    parsed = [_event(given[i], rows[i], i) for i in order]
    return MemorySource(payloads, parsed, "frame")


def _check_columns(frame: pd.DataFrame, mapping: Fields[str, str]) -> None:
    wrong = {
        "no such column": sorted(set(mapping.values()) - set(frame.columns)),
        "no such field": sorted(set(mapping) - set(Event.__struct_fields__)),
        "missing": sorted({"customer_id", "ts"} - set(mapping)),
    }
    if any(wrong.values()):
        got = "; ".join(f"{what}: {', '.join(names)}" for what, names in wrong.items() if names)
        raise ConfigError(
            "mapping: expected contract fields to columns of the frame "
            f"({', '.join(map(str, frame.columns))}), got {got}"
        )


def _epoch_ms(column: pd.Series) -> pd.Series:
    """Epoch ms; numbers are that already, naive times are UTC, what is neither is missing."""
    if pd.api.types.is_numeric_dtype(column):
        return column.astype("Float64").round().astype("Int64")
    times = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    return times.dt.as_unit("ms").astype("int64").astype("Int64").where(times.notna())


def _present(row: Fields[Hashable, Any]) -> dict[str, object]:
    """Fields that have a value; a list or mapping is one."""
    return {
        str(name): value
        for name, value in row.items()
        if not (pd.api.types.is_scalar(value) and pd.isna(value))
    }


def _event(given: Fields[Hashable, Any], row: Fields[Hashable, Any], number: int) -> Parsed:
    fields = _present(row)
    if "ts" not in fields and "ts" in _present(given):
        return BadEventError(
            "bad_field",
            f"expected `ts` as ISO 8601 or epoch milliseconds, got {given['ts']!r}; "
            "convert the column with pandas.to_datetime",
        )
    for name, value in fields.items():
        if name in _WHOLE:
            fields[name] = _whole(value)
        elif name not in _NUMBERS:
            fields[name] = _text(value)
    fields.setdefault("event_id", f"row {number}")
    fields.setdefault("type", "purchase")
    try:
        return msgspec.convert(fields, Event)
    except msgspec.ValidationError as error:
        return BadEventError("bad_field", f"expected the event contract, got {error}")


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value: object) -> str:
    """Write an id; whole numbers that a missing value made floats lose their `.0`."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _model_frame(view: View) -> pd.DataFrame:
    columns = ["segment_id", "segment", "feature", "centre", "average"]
    if view.model is None:
        return pd.DataFrame(columns=columns)
    rows = [
        (s.id, s.name, name, s.centre[j], s.average[j])
        for s in view.model.segments
        for j, name in enumerate(view.model.features)
    ]
    return pd.DataFrame(rows, columns=columns)
