"""Bytes become rows, rows become events.

::

    blocks of bytes ─ RowSplitter ─► payloads ─ plan ─► (row, rule, time)   for the index
                                         └───── parse ─► Event | BadEventError | None

A row of a feed may make several events, one per rule that applies; `plan` says which, and when
they happened, so that a file can be sorted before any event is built.
"""

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from segstream.core.conditions import Test, compile_all
from segstream.core.declaration import Value, all_of
from segstream.core.decoding import UNREADABLE, Row, decode_rows
from segstream.core.events import (
    Event,
    Moment,
    Parsed,
    epoch_ms,
    epochs_ms,
    parse_json_lines,
)
from segstream.core.fields import Getter, Scope, Table, compile_value, filled
from segstream.core.mapping import Mapping
from segstream.core.spec import IntArray
from segstream.errors import BadEventError, ConfigError

NO_TIME: Final = int(np.iinfo(np.int64).min)
"""The time of a row whose time cannot be read: it keeps its place in the file."""
WHOLE_ROW: Final = -128
"""The rule number of a row that no rule can be tried on; -1 - k is the k-th skip."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which events a run of rows makes, and when they happened; three equal lengths.

    Attributes
    ----------
    rows
        Ordinal of the row within the run, never decreasing.
    rules
        Number of the rule; negative: see `WHOLE_ROW`.
    times
        Epoch ms or `NO_TIME`.
    """

    rows: Sequence[int]
    rules: Sequence[int]
    times: Sequence[int] | IntArray


class RowReader(Protocol):
    """A mapping compiled for one file."""

    def plan(self, payloads: Sequence[bytes], lines: Sequence[int]) -> Plan:
        """Say which events these rows make; never raises for bad rows."""
        ...

    def parse(
        self, payloads: Sequence[bytes], lines: Sequence[int], rules: Sequence[int]
    ) -> list[Parsed]:
        """Make the event of each row by the rule that `plan` gave; None for a skip."""
        ...

    @property
    def skip_reasons(self) -> tuple[str, ...]:
        """Reason of the k-th skip."""
        ...


class _Stamp(msgspec.Struct, gc=False):
    ts: Moment


_STAMPS: Final = msgspec.json.Decoder(_Stamp)


class ContractRows:
    """Rows that are events of the contract already."""

    skip_reasons: tuple[str, ...] = ()

    def plan(self, payloads: Sequence[bytes], lines: Sequence[int]) -> Plan:
        """One event per row."""
        del lines
        n = len(payloads)
        try:
            stamps = _STAMPS.decode_lines(b"\n".join(payloads))
        except UNREADABLE:
            stamps = []
        if len(stamps) == n:
            return Plan(range(n), [0] * n, epochs_ms([one.ts for one in stamps]))
        return Plan(range(n), [0] * n, [_stamp(payload) for payload in payloads])

    def parse(
        self, payloads: Sequence[bytes], lines: Sequence[int], rules: Sequence[int]
    ) -> list[Parsed]:
        """`segstream.core.events.parse_json_lines`."""
        del lines, rules
        return parse_json_lines(payloads)


def _stamp(payload: bytes) -> int:
    try:
        return epoch_ms(_STAMPS.decode(payload).ts)
    except UNREADABLE:
        return NO_TIME


@dataclass(frozen=True)
class _CompiledRule:
    applies: Test | None
    time: Getter
    constants: dict[str, Any]
    getters: list[tuple[str, Getter]]


class MappedRows:
    """A declared mapping compiled for one file's header.

    Parameters
    ----------
    header
        Column names of a CSV file; None for JSON.
    tables
        Rows of each declared lookup by key.
    file
        The file's name, for `{file}` and messages.

    Raises
    ------
    ConfigError
        The mapping names a column the file does not have.
    """

    def __init__(
        self,
        mapping: Mapping,
        header: Sequence[str] | None,
        tables: MappingOf[str, Table],
        file: str,
    ) -> None:
        declared = mapping.declared
        self._declared = declared
        self._width = len(header) if header is not None else 0
        scope = _scope(mapping, header, tables, file)
        self.skip_reasons: tuple[str, ...] = tuple(skip.reason for skip in declared.skip)
        self._skips = [compile_all(all_of(skip.when), scope) for skip in declared.skip]
        self._expected = [(compile_all([one], scope), one) for one in declared.expect]
        self._rules = [
            _compile_rule(rule, compile_all(all_of(own.when), scope), scope)
            for rule, own in zip(mapping.rules, declared.event, strict=True)
        ]

    def plan(self, payloads: Sequence[bytes], lines: Sequence[int]) -> Plan:
        """Say which events these rows make; never raises for bad rows."""
        rows: list[int] = []
        rules: list[int] = []
        times: list[int] = []
        decoded = decode_rows(payloads, self._declared, self._width)
        for at, (row, line) in enumerate(zip(decoded, lines, strict=True)):
            for rule in self._route(row, line):
                rows.append(at)
                rules.append(rule)
                times.append(self._time(row, line, rule))
        return Plan(rows, rules, times)

    def parse(
        self, payloads: Sequence[bytes], lines: Sequence[int], rules: Sequence[int]
    ) -> list[Parsed]:
        """Make the event of each row by the rule that `plan` gave; None for a skip."""
        decoded = decode_rows(payloads, self._declared, self._width)
        make = self._make
        return [
            make(row, line, rule) for row, line, rule in zip(decoded, lines, rules, strict=True)
        ]

    def _route(self, row: Row | BadEventError, line: int) -> tuple[int, ...]:
        try:
            return self._rules_of(row, line)
        except BadEventError:
            return (WHOLE_ROW,)

    def _rules_of(self, row: Row | BadEventError, line: int) -> tuple[int, ...]:
        """Numbers of the rules that apply, or of the skip."""
        if isinstance(row, BadEventError):
            raise row
        for at, skip in enumerate(self._skips):
            if skip is None or skip(row, line):
                return (-1 - at,)
        for test, condition in self._expected:
            if test is not None and not test(row, line):
                raise BadEventError(
                    "bad_value", f"expected {_spelled(condition)}, got {shortened(row)}"
                )
        found = tuple(
            at
            for at, rule in enumerate(self._rules)
            if rule.applies is None or rule.applies(row, line)
        )
        if not found:
            raise BadEventError(
                "bad_value", f"expected a row that an [[event]] rule covers, got {shortened(row)}"
            )
        return found

    def _time(self, row: Row | BadEventError, line: int, rule: int) -> int:
        if isinstance(row, BadEventError):
            return NO_TIME
        try:
            found: int | None = self._rules[max(rule, 0)].time(row, line)
        except BadEventError:
            return NO_TIME
        # Beyond the contract's range it is a dead letter, and would not fit the index.
        return NO_TIME if found is None or abs(found) >= 1 << 60 else found

    def _make(self, row: Row | BadEventError, line: int, rule: int) -> Parsed:
        if WHOLE_ROW < rule < 0:
            return None
        if isinstance(row, BadEventError):
            return row
        try:
            if rule == WHOLE_ROW:
                self._rules_of(row, line)
            compiled = self._rules[rule]
            return as_event(compiled.constants | filled(compiled.getters, row, line))
        except BadEventError as error:
            return error


def as_event(fields: dict[str, Any]) -> Event:
    """Check fields against the contract.

    Raises
    ------
    BadEventError
        A field is missing, of the wrong type or outside its range.
    """
    try:
        return msgspec.convert(fields, Event)
    except msgspec.ValidationError as error:
        raise BadEventError("bad_field", f"expected the event contract, got {error}") from error


def _spelled(condition: msgspec.Struct) -> str:
    given = {k: v for k, v in msgspec.to_builtins(condition).items() if v is not None}
    return msgspec.json.encode(given).decode()


def shortened(row: Row) -> str:
    """Return a row for a message, at most 120 characters."""
    shown = repr(row)
    return shown if len(shown) <= 120 else shown[:117] + "..."


def compile_mapping(
    mapping: Mapping,
    header: Sequence[str] | None = None,
    tables: MappingOf[str, Table] | None = None,
    file: str = "-",
) -> RowReader:
    """Compile a mapping for one file; see `MappedRows`."""
    if mapping.declared.contract:
        return ContractRows()
    return MappedRows(mapping, header, tables or {}, file)


def parse_row(reader: RowReader, payload: bytes, line: int) -> list[Parsed]:
    """Return all events one row makes."""
    rules = reader.plan([payload], [line]).rules
    return reader.parse([payload] * len(rules), [line] * len(rules), rules)


def _scope(
    mapping: Mapping, header: Sequence[str] | None, tables: MappingOf[str, Table], file: str
) -> Scope:
    declared = mapping.declared
    columns = None
    if declared.format == "csv":
        names = list(header or ())
        doubled = [name for name in names if names.count(name) > 1 and name]
        if doubled:
            raise ConfigError(
                f"{mapping.where}: expected each column of {file} once, got `{doubled[0]}` twice."
                " Rename one in the file's first row."
            )
        columns = {name: at for at, name in enumerate(names)}
    return Scope(
        columns=columns,
        lookups=declared.lookup,
        tables=tables,
        zone=ZoneInfo(declared.zone) if declared.zone else None,
        decimal_comma=declared.decimal_comma,
        file=file,
        where=mapping.where,
    )


def _compile_rule(rule: dict[str, Value], applies: Test | None, scope: Scope) -> _CompiledRule:
    getters = {name: compile_value(name, value, scope) for name, value in rule.items()}
    fixed = [name for name, value in rule.items() if value.value is not None]
    return _CompiledRule(
        applies=applies,
        time=getters["ts"],
        constants={name: getters[name]([], 0) for name in fixed},
        getters=[(name, getter) for name, getter in getters.items() if name not in fixed],
    )
