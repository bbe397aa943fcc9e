"""What a mapping's types cannot refuse: missing fields, contradictions, unknown names."""

import re
from difflib import get_close_matches
from typing import Final, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from segstream.core.declaration import (
    DECIMALS,
    MOMENTS,
    WHOLE,
    Condition,
    Declaration,
    Lookup,
    Rule,
    Skip,
    Value,
    all_of,
    item_values,
)
from segstream.core.events import EventType
from segstream.errors import ConfigError

# Rule numbers are int8 in a file's index; what is skipped takes the negative half.
MAX_RULES: Final = 100
REQUIRED: Final = ("event_id", "customer_id", "ts", "type")
SOURCES: Final = ("column", "first_of", "value", "template", "product", "added", "list_path")


def did_you_mean(name: str, known: list[str]) -> str:
    """Return a remedy: the nearest of the known names, and all of them (the first forty).

    >>> did_you_mean("Custmer", ["Customer", "Date"])
    'Did you mean `Customer`? There are: Customer, Date.'
    """
    near = get_close_matches(name, known, n=1) or [
        other for other in known if other.strip().lower() == name.strip().lower()
    ]
    shown = ", ".join(known[:40]) + (", ..." if len(known) > 40 else "")
    return (f"Did you mean `{near[0]}`? " if near else "") + f"There are: {shown}."


def key_hint(error: msgspec.ValidationError) -> str:
    """Return the nearest known key where a key is not known."""
    unknown = re.search(r"unknown field `([^`]+)`", str(error))
    if not unknown:
        return " Mend that key."
    owners: tuple[type[msgspec.Struct], ...] = (Declaration, Rule, Value, Condition, Skip, Lookup)
    keys = sorted({key for owner in owners for key in owner.__struct_encode_fields__})
    near = get_close_matches(unknown[1], keys, n=1)
    return f" Did you mean `{near[0]}`?" if near else f" The keys are: {', '.join(keys)}."


def check_declaration(
    declared: Declaration, rules: tuple[dict[str, Value], ...], where: str
) -> None:
    """Refuse what TOML types cannot: missing fields, contradictions, unknown zones."""
    if declared.contract:
        _check_contract(declared, where)
        return
    if not rules:
        raise ConfigError(
            f"{where}: expected at least one [[event]] rule, got none. Add one, or"
            " `contract = true` where rows are events already."
        )
    if max(len(rules), len(declared.skip)) > MAX_RULES:
        raise ConfigError(f"{where}: expected at most {MAX_RULES} rules, got more. Join some.")
    _check_format(declared, where)
    for at, rule in enumerate(rules):
        for name in REQUIRED:
            if name not in rule:
                raise ConfigError(
                    f"{where}: expected `{name}` in [[event]] {at + 1}, got none."
                    f" Set it there or under [defaults]."
                )
        for name, value in rule.items():
            _check_value(name, value, f"{where}: `{name}` of [[event]] {at + 1}", declared)
    _check_conditions(declared, where)
    _check_event_ids(declared, rules, where)


def _check_contract(declared: Declaration, where: str) -> None:
    plain = Declaration(description=declared.description, contract=True)
    if declared != plain:
        raise ConfigError(
            f"{where}: expected nothing beside `contract = true`, got more. Remove the rest, or"
            " `contract`."
        )


def _check_format(declared: Declaration, where: str) -> None:
    for delimiter in (declared.delimiter, *(one.delimiter for one in declared.lookup.values())):
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
            raise ConfigError(
                f"{where}: expected `delimiter` to be one ASCII character, got {delimiter!r}."
                ' Write e.g. delimiter = ";".'
            )
    if declared.zone is not None:
        try:
            ZoneInfo(declared.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError(
                f"{where}: expected a time zone name in `zone`, got {declared.zone!r}. Write e.g."
                ' zone = "Europe/London".'
            ) from error


def _check_value(name: str, value: Value, where: str, declared: Declaration) -> None:
    """Refuse a value with no source, two sources, or options that do not fit its field."""
    given = [s for s in SOURCES if getattr(value, s) not in (None, [], "")]
    if len(given) != 1:
        raise ConfigError(
            f"{where}: expected one of column, first_of, value, template, product, sum, list; got"
            f" {len(given)}. Keep one."
        )
    numeric = name in DECIMALS | WHOLE
    arithmetic = value.product or value.added or value.factor is not None or value.absolute
    if not numeric and (arithmetic or value.above is not None):
        raise ConfigError(f"{where}: arithmetic needs a numeric field, this is none. Remove it.")
    if value.format is not None and name not in MOMENTS:
        raise ConfigError(f"{where}: `format` is for times, this is none. Remove it.")
    if (value.above is None) != (value.becomes is None):
        raise ConfigError(f"{where}: expected `above` and `becomes` together. Add the other.")
    if value.default is not None and value.values is None:
        raise ConfigError(f"{where}: `default` needs a `values` table. Add one.")
    if (name == "items") != (value.list_path is not None):
        raise ConfigError(
            f"{where}: expected `items`, and only `items`, to be filled from a `list`. Write e.g."
            ' items = { list = "products", fields = { product_id = "sku", amount = "total" } }.'
        )
    if name == "items":
        _check_items(value, where, declared)
    if name == "type":
        _check_types(value, where)


def _check_items(value: Value, where: str, declared: Declaration) -> None:
    if declared.format != "json" or value.fields is None:
        raise ConfigError(f'{where}: a `list` needs format = "json" and `fields`. Add them.')
    for name, inner in item_values(value.fields).items():
        _check_value(name, inner, f"{where}, its `{name}`", declared)


def _check_types(value: Value, where: str) -> None:
    """Refuse a constant event type that does not exist."""
    known = list(get_args(EventType))
    constants = [value.value, value.default, *(value.values or {}).values()]
    for constant in constants:
        if constant is not None and constant not in known:
            raise ConfigError(
                f"{where}: expected an event type, got {constant!r}."
                f" {did_you_mean(str(constant), known)}"
            )


def _check_conditions(declared: Declaration, where: str) -> None:
    """Refuse a condition that tests nothing."""
    whens = [skip.when for skip in declared.skip] + [rule.when for rule in declared.event]
    for one in [one for when in whens for one in all_of(when)] + declared.expect:
        inner = one
        while inner.negated is not None and inner == Condition(negated=inner.negated):
            inner = inner.negated
        if inner.column is None or inner == Condition(column=inner.column):
            raise ConfigError(
                f"{where}: expected a condition with `column` and a test, got {inner}. Write e.g."
                ' { column = "status", equals = "paid" }.'
            )


def _check_event_ids(
    declared: Declaration, rules: tuple[dict[str, Value], ...], where: str
) -> None:
    """Refuse two rules that always fire together and give their events one id."""
    always = [r["event_id"] for r, own in zip(rules, declared.event, strict=True) if not own.when]
    if any(first == second for at, first in enumerate(always) for second in always[:at]):
        raise ConfigError(
            f"{where}: expected an `event_id` of its own for each [[event]] without `when`, got"
            ' the same twice. Add a suffix, e.g. event_id = "{id}:visit".'
        )
