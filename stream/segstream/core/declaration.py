"""What a mapping file may say: its keys, as types.

Every way to fill a field is one of the keys of `Value`, every test on a row one of the keys of
`Condition`. `segstream.core.mapping` reads and checks a declaration.
"""

import re
from typing import Final, Literal

import msgspec

Constant = str | int | float | bool
DECIMALS: Final = frozenset({"amount", "quantity", "unit_price", "discount", "income"})
WHOLE: Final = frozenset({"birth_year", "children"})
MOMENTS: Final = frozenset({"ts", "joined_at"})
PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")
# What a template knows besides columns: the row's line in its file, and the file's name.
PLACE_WORDS: Final = ("line", "file")


class Condition(
    msgspec.Struct,
    forbid_unknown_fields=True,
    frozen=True,
    rename={"one_of": "in", "negated": "not"},
):
    """A test on one row; all keys given must hold.

    Attributes
    ----------
    column
        What is tested: a column, a path into JSON, or `lookup.column`.
    equals, one_of, starts_with
        Compared as text; `in` is the list form.
    empty
        True: nothing there, an empty string or null. False: something is there.
    above, at_least, below, at_most
        Compared as numbers; an empty column is never above or below anything.
    negated
        `not = { ... }`: another condition that must not hold.
    """

    column: str | None = None
    equals: str | int | bool | None = None
    one_of: list[str | int | bool] | None = None
    starts_with: str | None = None
    empty: bool | None = None
    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None
    negated: "Condition | None" = None


class Value(
    msgspec.Struct,
    forbid_unknown_fields=True,
    frozen=True,
    rename={"list_path": "list", "added": "sum", "absolute": "abs"},
):
    """How one field of an event is filled: one source, then what is done to it.

    Attributes
    ----------
    column, first_of, value, template, product, added, list_path
        The source, exactly one: a column; the first of several that is not empty; a constant;
        a template; numbers multiplied or (`sum`) added; (`list`) JSON objects for `items`.
    fields
        With `list`: how each object becomes an item.
    values, default
        A translation by the value's text. A value not in it becomes `default`, or without one
        the dead letter `bad_value`. The key "" stands for an empty column.
    factor, absolute
        Numbers: multiplied by `factor`; then (`abs`) without their sign.
    above, becomes
        Numbers: one larger than `above` counts as `becomes`.
    format
        Times: "iso" (also where absent), "epoch_s", "epoch_ms" or a strptime format.
    """

    column: str | None = None
    first_of: list[str] | None = None
    value: Constant | None = None
    template: str | None = None
    product: list[str] | None = None
    added: list[str] | None = None
    list_path: str | None = None
    fields: "ItemFields | None" = None
    values: dict[str, Constant] | None = None
    default: Constant | None = None
    factor: float | None = None
    absolute: bool = False
    above: float | None = None
    becomes: float | None = None
    format: str | None = None


Field = str | Value | None


class ItemFields(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One way to fill each field of `segstream.core.events.Item`."""

    product_id: Field = None
    category: Field = None
    quantity: Field = None
    unit_price: Field = None
    amount: Field = None
    discount: Field = None


class Fields(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One way to fill each field of `segstream.core.events.Event`."""

    event_id: Field = None
    customer_id: Field = None
    ts: Field = None
    type: Field = None
    order_id: Field = None
    amount: Field = None
    quantity: Field = None
    unit_price: Field = None
    product_id: Field = None
    category: Field = None
    channel: Field = None
    merchant_id: Field = None
    branch_id: Field = None
    coupon_id: Field = None
    discount: Field = None
    city: Field = None
    country: Field = None
    currency: Field = None
    items: Field = None
    income: Field = None
    birth_year: Field = None
    gender: Field = None
    children: Field = None
    joined_at: Field = None


class Rule(Fields, forbid_unknown_fields=True, frozen=True):
    """One event a row may become; its fields come before those of `[defaults]`."""

    when: Condition | list[Condition] | None = None


class Skip(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Rows that are left out on purpose, counted under `reason`."""

    reason: str
    when: Condition | list[Condition]


class Lookup(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A small CSV file beside the source; its columns are read as `name.column`.

    Attributes
    ----------
    file
        Its path, relative to the source's folder.
    key
        Its column to search, each value once.
    on
        The row's column to search for, or `other.column` of a lookup declared before.
    optional
        A key that is not found leaves the columns empty, instead of a dead letter.
    """

    file: str
    key: str
    on: str
    delimiter: str = ","
    optional: bool = False


class Declaration(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a mapping file says.

    Attributes
    ----------
    contract
        The rows are events of the contract already; nothing else may be declared.
    zone
        The time zone of times that carry none, e.g. "Europe/London".
    decimal_comma
        Numbers are written 1.234,56.
    ignore
        Columns that are left unread on purpose.
    expect
        Conditions every row must meet; one that does not is the dead letter `bad_value`.
    """

    description: str = ""
    format: Literal["json", "csv"] = "json"
    contract: bool = False
    delimiter: str = ","
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    zone: str | None = None
    decimal_comma: bool = False
    ignore: list[str] = []
    lookup: dict[str, Lookup] = {}
    skip: list[Skip] = []
    expect: list[Condition] = []
    defaults: Fields = Fields()
    event: list[Rule] = []


def as_value(field: str | Value, *, constant: bool = False) -> Value:
    """Spell out the short form: a template has braces, else it is a column."""
    if isinstance(field, Value):
        return field
    if constant:
        return Value(value=field)
    return Value(template=field) if "{" in field else Value(column=field)


def item_values(fields: ItemFields) -> dict[str, Value]:
    """Fields of an item and how each is filled."""
    return {
        name: as_value(field)
        for name in fields.__struct_fields__
        if (field := getattr(fields, name)) is not None
    }


def all_of(when: Condition | list[Condition] | None) -> list[Condition]:
    """Return the conditions of a `when`, which may be one, several or none."""
    if when is None:
        return []
    return [when] if isinstance(when, Condition) else when
