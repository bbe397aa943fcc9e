"""The values of a mapping, compiled to closures over one row.

A row is a list of strings (CSV) or a dict (JSON). Each closure takes the row and its line in
the file, and returns what it found, None where nothing is there, or raises `BadEventError`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from decimal import InvalidOperation
from functools import lru_cache
from typing import Any, Final, cast

from segstream.core.declaration import (
    DECIMALS,
    MOMENTS,
    PLACEHOLDER,
    WHOLE,
    Constant,
    Lookup,
    Value,
    item_values,
)
from segstream.core.mapping_checks import did_you_mean
from segstream.core.scalars import (
    as_comma_number,
    as_number,
    as_text,
    bad_field,
    in_zone,
    read_epoch,
    read_iso,
    whole,
)
from segstream.errors import BadEventError, ConfigError

Table = Mapping[str, Mapping[str, str]]
"""A lookup file's rows by their key."""
Getter = Callable[[Any, int], Any]

# The lines of one order share their second, so most times have been read a moment ago.
_TIMES_KEPT: Final = 1 << 14


@dataclass(frozen=True)
class Scope:
    """What names mean in one file.

    Attributes
    ----------
    columns
        Position of each column of a CSV file; None for JSON.
    lookups, tables
        Declared lookups and their rows, by name.
    file
        The file's name, for `{file}` and messages.
    where
        The mapping's name, for messages.
    """

    columns: Mapping[str, int] | None
    lookups: Mapping[str, Lookup]
    tables: Mapping[str, Table]
    zone: tzinfo | None
    decimal_comma: bool
    file: str
    where: str


def column(name: str, scope: Scope) -> Getter:
    """Compile the reading of a column, a JSON path or a lookup's column."""
    head, dot, rest = name.partition(".")
    if scope.columns is not None and name in scope.columns:
        at = scope.columns[name]
        return lambda row, _line: row[at] or None
    if dot and head in scope.lookups:
        return _joined(head, rest, scope)
    if scope.columns is not None:
        raise ConfigError(
            f"{scope.where}: expected column `{name}` in {scope.file}, got none of that name."
            f" {did_you_mean(name, list(scope.columns))}"
        )
    return _path(name.split(".")) if dot else _key(name)


def _key(name: str) -> Getter:
    def get(row: Any, _line: int) -> Any:
        raw = row.get(name)
        return None if raw == "" else raw

    return get


def _path(names: Sequence[str]) -> Getter:
    def get(row: Any, _line: int) -> Any:
        for name in names:
            if not isinstance(row, dict):
                return None
            row = row.get(name)
        return None if row == "" else row

    return get


def _joined(alias: str, name: str, scope: Scope) -> Getter:
    """Compile the reading of a lookup's column by the row's key."""
    lookup, table = scope.lookups[alias], scope.tables[alias]
    first = next(iter(table.values()), {name: ""})
    if name not in first:
        raise ConfigError(
            f"{scope.where}: expected column `{name}` in {lookup.file}, got none of that name."
            f" {did_you_mean(name, list(first))}"
        )
    # A lookup may read those declared before it, so a chain of them ends.
    names = list(scope.lookups)
    before = {other: scope.lookups[other] for other in names[: names.index(alias)]}
    key_of = column(lookup.on, replace(scope, lookups=before))
    label, optional = f"column `{lookup.on}`", lookup.optional

    def get(row: Any, line: int) -> str | None:
        key = key_of(row, line)
        if key is None:
            return None
        found = table.get(as_text(key, label))
        if found is not None:
            return found[name] or None
        if optional:
            return None
        raise BadEventError(
            "bad_value", f"expected a key of {lookup.file} in {label}, got {key!r:.80}"
        )

    return get


def _first_of(names: Sequence[str], scope: Scope) -> Getter:
    getters = [column(name, scope) for name in names]

    def get(row: Any, line: int) -> Any:
        for one in getters:
            raw = one(row, line)
            if raw is not None:
                return raw
        return None

    return get


def _template(text: str, scope: Scope) -> Getter:
    """Compile a template; it is empty where one of its columns is."""
    pieces = PLACEHOLDER.split(text)
    literals, names = pieces[::2], pieces[1::2]
    parts = [_place(name, scope) for name in names]
    labels = [f"column `{name}`" for name in names]
    rest = list(zip(parts, labels, literals[1:], strict=True))

    def get(row: Any, line: int) -> str | None:
        text = literals[0]
        for part, label, literal in rest:
            raw = part(row, line)
            if raw is None:
                return None
            text += (raw if type(raw) is str else as_text(raw, label)) + literal
        return text

    return get


def _place(name: str, scope: Scope) -> Getter:
    if name == "line":
        return lambda _row, line: line
    if name == "file":
        return lambda _row, _line: scope.file
    return column(name, scope)


def compile_value(target: str, value: Value, scope: Scope) -> Getter:
    """Compile how one field of an event, or of an item, is filled."""
    if value.value is not None:
        constant = _constant(target, value.value, scope)
        return lambda _row, _line: constant
    if value.list_path is not None:
        return _items(value, scope)
    if target in DECIMALS | WHOLE:
        return _number(target, value, scope)
    raw, label = _source(value, scope)
    if value.values is not None:
        return _translated(raw, label, target, value, scope)
    if target in MOMENTS:
        return _moment(raw, label, value.format, scope)
    return text_of(raw, label)


def _source(value: Value, scope: Scope) -> tuple[Getter, str]:
    """Compile where a value comes from, and how messages call it."""
    if value.column is not None:
        return column(value.column, scope), f"column `{value.column}`"
    if value.first_of is not None:
        return _first_of(value.first_of, scope), f"columns {value.first_of}"
    text = value.template or ""
    return _template(text, scope), f"template {text!r}"


def _constant(target: str, constant: Constant, scope: Scope) -> Any:
    """Give a constant the type of its field."""
    label = f"a constant for `{target}` of {scope.where}"
    try:
        if target in WHOLE:
            return whole(as_number(constant, label), label)
        if target in DECIMALS:
            return as_number(constant, label)
        if target in MOMENTS:
            return read_iso(constant, scope.zone) if isinstance(constant, str) else constant
        return as_text(constant, label)
    except (BadEventError, ValueError) as error:
        raise ConfigError(f"{scope.where}: {error}. Mend the constant.") from error


def text_of(raw: Getter, label: str) -> Getter:
    """Compile to text what may be a JSON number or boolean."""

    def get(row: Any, line: int) -> str | None:
        found = raw(row, line)
        return found if found is None or type(found) is str else as_text(found, label)

    return get


def _translated(raw: Getter, label: str, target: str, value: Value, scope: Scope) -> Getter:
    """Compile a translation; what is empty stays empty unless the table names ""."""
    table = {key: _constant(target, to, scope) for key, to in (value.values or {}).items()}
    empty = table.get("")
    has_default = value.default is not None
    default = _constant(target, value.default, scope) if value.default is not None else None

    def get(row: Any, line: int) -> Any:
        found = raw(row, line)
        if found is None:
            return empty
        text = as_text(found, label)
        if text in table:
            return table[text]
        if has_default:
            return default
        raise BadEventError(
            "bad_value", f"expected one of {', '.join(table)} in {label}, got {text!r:.80}"
        )

    return get


def _number(target: str, value: Value, scope: Scope) -> Getter:
    """Compile a number: its source, then factor, abs and cap in this order."""
    read = _arithmetic(value, scope)
    factor, absolute = value.factor, value.absolute
    above, becomes, is_whole = value.above, value.becomes, target in WHOLE
    if not is_whole and factor is None and not absolute and above is None:
        return read

    def get(row: Any, line: int) -> float | None:
        number = read(row, line)
        if number is None:
            return None
        if factor is not None:
            number *= factor
        if absolute:
            number = abs(number)
        if above is not None and number > above:
            number = becomes
        number += 0.0  # no negative zero
        return whole(number, f"`{target}`") if is_whole else cast("float", number)

    return get


def _arithmetic(value: Value, scope: Scope) -> Getter:
    if value.product is not None:
        return _combined([_plain_number(name, scope) for name in value.product], math.prod)
    if value.added is not None:
        return _combined([_plain_number(name, scope) for name in value.added], math.fsum)
    raw, label = _source(value, scope)
    if value.values is not None:
        return _translated(raw, label, "amount", value, scope)
    return numeric(raw, label, scope)


def _combined(parts: list[Getter], combine: Callable[[list[float]], float]) -> Getter:
    """Compile arithmetic over columns; nothing where one of them is empty."""

    def get(row: Any, line: int) -> float | None:
        numbers = []
        for part in parts:
            number = part(row, line)
            if number is None:
                return None
            numbers.append(number)
        return combine(numbers)

    return get


def _plain_number(name: str, scope: Scope) -> Getter:
    return numeric(column(name, scope), f"column `{name}`", scope)


def numeric(raw: Getter, label: str, scope: Scope) -> Getter:
    """Compile to a finite number what may be text."""
    read = as_comma_number if scope.decimal_comma else as_number

    def get(row: Any, line: int) -> float | None:
        found = raw(row, line)
        if found is None or type(found) is float:  # JSON has no NaN and no infinity
            return found
        return read(found, label)

    return get


def _moment(raw: Getter, label: str, form: str | None, scope: Scope) -> Getter:
    """Compile a time to epoch ms, UTC."""
    zone, expected = scope.zone, f"a time ({form or 'iso'})"
    epoch = {"epoch_s": 1000, "epoch_ms": 1}.get(form or "")

    @lru_cache(maxsize=_TIMES_KEPT)
    def read(text: str) -> int:
        if epoch is not None:
            return read_epoch(text, epoch)
        if form is None or form == "iso":
            return read_iso(text, zone)
        return in_zone(datetime.strptime(text, form), zone)  # noqa: DTZ007 - zone follows

    def get(row: Any, line: int) -> int | None:
        found = raw(row, line)
        if found is None:
            return None
        is_number = epoch is not None and type(found) in (int, float)
        if type(found) is not str and not is_number:
            raise bad_field(expected, label, found)
        try:
            return read(str(found))
        except (ValueError, OverflowError, InvalidOperation) as error:
            raise bad_field(f"{expected} ({error})", label, found) from error

    return get


def _items(value: Value, scope: Scope) -> Getter:
    """Compile a list of JSON objects to the items' fields."""
    path, fields = value.list_path or "", value.fields
    raw, label = column(path, scope), f"list `{path}`"
    inner = replace(scope, lookups={})
    declared = item_values(fields) if fields else {}
    getters = [(name, compile_value(name, one, inner)) for name, one in declared.items()]

    def get(row: Any, line: int) -> list[dict[str, Any]] | None:
        found = raw(row, line)
        if found is None:
            return None
        if not isinstance(found, list) or not all(type(one) is dict for one in found):
            raise bad_field("a list of objects", label, found)
        return [filled(getters, one, line) for one in found]

    return get


def filled(getters: Sequence[tuple[str, Getter]], row: Any, line: int) -> dict[str, Any]:
    """Return the fields that are not empty."""
    fields = {}
    for name, get in getters:
        found = get(row, line)
        if found is not None:
            fields[name] = found
    return fields
