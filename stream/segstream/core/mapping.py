"""A declared mapping: any feed's rows become events, by configuration alone.

The declaration is TOML (`segstream.core.declaration` lists its keys). `load_mapping` reads and
checks it; `segstream.core.fields` compiles its values and conditions; `segstream.core.rows`
applies them to rows.

    format = "csv"
    zone = "UTC"

    [[skip]]                                  # counted by reason, no dead letters
    reason = "no_customer"
    when = { column = "CustomerID", empty = true }

    [defaults]                                # shared by all [[event]] rules
    event_id = "{InvoiceNo}:{line}"           # a template: it has braces
    customer_id = "CustomerID"                # a column, or a path into JSON
    ts = { column = "InvoiceDate", format = "%d/%m/%Y %H:%M" }
    amount = { product = ["Quantity", "UnitPrice"] }

    [[event]]                                 # each rule that applies makes one event
    type = "purchase"                         # `type` alone is a constant as it stands
    when = { column = "Quantity", at_least = 0 }
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from segstream.core.declaration import (
    PLACE_WORDS,
    PLACEHOLDER,
    Condition,
    Declaration,
    Field,
    Fields,
    ItemFields,
    Rule,
    Value,
    all_of,
    as_value,
    item_values,
)
from segstream.core.mapping_checks import check_declaration, key_hint
from segstream.errors import ConfigError


@dataclass(frozen=True)
class Mapping:
    """A checked declaration.

    Attributes
    ----------
    text
        The TOML it was read from: part of a source's identity.
    where
        The file it was read from, for messages.
    rules
        Per `[[event]]` rule its fields, `[defaults]` included.
    """

    declared: Declaration
    text: str
    where: str
    rules: tuple[dict[str, Value], ...]


def load_mapping(text: str, where: str) -> Mapping:
    """Read a mapping's TOML.

    Raises
    ------
    ConfigError
        Names the key and how to mend it.

    Examples
    --------
    >>> load_mapping("contract = true", "plain.toml").rules
    ()
    """
    try:
        declared = msgspec.toml.decode(text, type=Declaration)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: expected a mapping, got: {error}.{key_hint(error)}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{where}: expected TOML, got: {error}. Mend that line.") from error
    rules = tuple(_merged(declared.defaults, rule) for rule in declared.event)
    check_declaration(declared, rules, where)
    return Mapping(declared, text, where, rules)


def used_columns(mapping: Mapping) -> list[str]:
    r"""Columns and paths of the row that the mapping reads, in order of mention.

    >>> text = '[[event]]\nevent_id="{a}-{line}"\ncustomer_id="b"\nts="c"\ntype="visit"'
    >>> used_columns(load_mapping(text, "x.toml"))
    ['a', 'b', 'c']
    """
    declared = mapping.declared
    names = [lookup.on for lookup in declared.lookup.values()]
    for when in [skip.when for skip in declared.skip] + [rule.when for rule in declared.event]:
        names += [name for one in all_of(when) for name in condition_columns(one)]
    names += [name for one in declared.expect for name in condition_columns(one)]
    names += [name for rule in mapping.rules for value in rule.values() for name in reads(value)]
    own = [name for name in names if name.partition(".")[0] not in declared.lookup]
    return list(dict.fromkeys(own))


def condition_columns(condition: Condition) -> list[str]:
    """Columns a condition reads."""
    inner = condition_columns(condition.negated) if condition.negated else []
    return ([condition.column] if condition.column else []) + inner


def reads(value: Value) -> list[str]:
    """Columns a value reads; those inside a list are paths behind the list's own."""
    found = [value.column] if value.column else []
    found += [*(value.first_of or []), *(value.product or []), *(value.added or [])]
    found += [n for n in PLACEHOLDER.findall(value.template or "") if n not in PLACE_WORDS]
    if value.list_path and value.fields:
        inner = [name for item in item_values(value.fields).values() for name in reads(item)]
        found += [f"{value.list_path}.{name}" for name in inner]
    return found


def unused_columns(mapping: Mapping, columns: list[str]) -> list[str]:
    """Columns of a file that the mapping neither reads nor lists under `ignore`.

    Parameters
    ----------
    columns
        The header of a CSV file, or the paths of JSON rows (`segstream.core.rows.json_paths`).
    """
    if mapping.declared.contract:
        known = [name for name in Fields.__struct_fields__ if name != "items"]
        known += [f"items.{name}" for name in ItemFields.__struct_fields__]
    else:
        known = used_columns(mapping) + mapping.declared.ignore
    if mapping.declared.format == "csv":
        return [name for name in columns if name not in known]
    return [name for name in columns if not any(_within(name, other) for other in known)]


def _within(path: str, known: str) -> bool:
    return path == known or path.startswith(known + ".")


def _merged(defaults: Fields, rule: Rule) -> dict[str, Value]:
    """Return a rule's fields: its own before the defaults."""
    fields: dict[str, Value] = {}
    for name in Fields.__struct_fields__:
        own: Any = getattr(rule, name)
        field: Field = getattr(defaults, name) if own is None else own
        if field is not None:
            fields[name] = as_value(field, constant=name == "type")
    return fields


IDENTITY: Final = load_mapping("contract = true", "plain")
"""Rows that are events of the contract already."""
