"""Purchases as bytes: packed block by block, without some customers, several merged into one."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from segstream.core.purchases import (
    LINE_COLUMNS,
    LINE_TEXTS,
    NONE,
    ORDER_COLUMNS,
    ORDER_TEXTS,
    TRAIT_COLUMNS,
    TRAIT_TEXTS,
    Purchases,
    Table,
    Texts,
    last_told,
)
from segstream.core.spec import IntArray

_NO_ROWS: Final = np.zeros(0, dtype=np.int64)


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """An integer column in the smallest type that holds it; one value where all are equal."""

    kind: str
    length: int
    body: bytes


class Block(msgspec.Struct, frozen=True, array_like=True):
    """`Purchases` of one batch, packed."""

    texts: dict[str, list[str]]
    orders: dict[str, Packed]
    lines: dict[str, Packed]
    traits: dict[str, Packed]


def encode_block(rows: Purchases | None) -> bytes:
    """Return rows as bytes; none where there are none."""
    if rows is None:
        return b""
    packed = [{n: _pack(c) for n, c in t.items()} for t in (rows.orders, rows.lines, rows.traits)]
    return msgspec.msgpack.encode(Block(rows.texts, *packed))


def decode_block(body: bytes) -> Purchases:
    """Read the rows of one block."""
    block = msgspec.msgpack.decode(body, type=Block)
    orders, lines, traits = (
        {n: _unpack(c) for n, c in t.items()} for t in (block.orders, block.lines, block.traits)
    )
    return Purchases(orders, lines, traits, block.texts)


def _pack(column: IntArray) -> Packed:
    if not len(column):
        return Packed("b", 0, b"")
    low, high = int(column.min()), int(column.max())
    kind = np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high))
    if kind.kind == "f":  # of a negative and a huge one numpy makes a float
        kind = np.dtype(np.int64)
    kept = column[:1] if low == high else column
    return Packed(kind.char, len(column), kept.astype(kind).tobytes())


def _unpack(packed: Packed) -> IntArray:
    values = np.frombuffer(packed.body, dtype=packed.kind).astype(np.int64)
    if len(values) == packed.length:
        return values
    return np.repeat(values, packed.length)


def without_slots(body: bytes, gone: IntArray) -> bytes | None:
    """Return a block without some customers' rows; None where it has none of them."""
    rows = decode_block(body)
    orders, traits = (~np.isin(t["slot"], gone) for t in (rows.orders, rows.traits))
    if orders.all() and traits.all():
        return None
    return encode_block(_compact(_chosen(rows, orders, traits)))


def _chosen(rows: Purchases, orders: Any, traits: Any) -> Purchases:
    moved = np.cumsum(orders) - 1
    kept = orders[rows.lines["at"]]
    lines = {name: column[kept] for name, column in rows.lines.items()}
    lines["at"] = moved[lines["at"]]
    return Purchases(
        {name: column[orders] for name, column in rows.orders.items()},
        lines,
        {name: column[traits] for name, column in rows.traits.items()},
        rows.texts,
    )


def _compact(rows: Purchases) -> Purchases | None:
    """Drop texts that no row mentions: they may be of somebody who was erased."""
    if not len(rows.orders["slot"]) and not len(rows.traits["slot"]):
        return None
    merger = Merger()
    merger.add(rows)
    return merger.merged()


# ---- blocks read together ------------------------------------------------------------------


class Merger:
    """Adds blocks up under one set of texts."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, int]] = {}
        self._tables: tuple[list[Table], ...] = ([], [], [])
        self._orders = 0

    @property
    def products(self) -> int:
        """Different products so far."""
        return len(self._known.get("product", ()))

    def add(self, rows: Purchases) -> None:
        """Add the rows of one block."""
        orders = self._recoded(rows.orders, ORDER_TEXTS, rows.texts)
        lines = self._recoded(rows.lines, LINE_TEXTS, rows.texts)
        lines["at"] = lines["at"] + self._orders
        self._orders += len(orders["slot"])
        traits = dict(rows.traits)
        traits["value"] = self._trait_values(rows)
        for tables, table in zip(self._tables, (orders, lines, traits), strict=True):
            tables.append(table)

    def _recoded(self, table: Table, names: Sequence[str], texts: Texts) -> Table:
        recoded = {name: self._recode(name, table[name], texts) for name in names}
        return table | recoded

    def _recode(self, name: str, codes: IntArray, texts: Texts) -> IntArray:
        local = texts.get(name, [])
        known = self._known.setdefault(name, {})
        to = np.full(len(local) + 1, NONE, dtype=np.int64)  # NONE picks the last
        for code in np.unique(codes[codes != NONE]).tolist():
            to[code] = known.setdefault(local[code], len(known))
        return to[codes]

    def _trait_values(self, rows: Purchases) -> IntArray:
        values = rows.traits["value"].copy()
        for trait, name in enumerate(TRAIT_TEXTS):
            at = rows.traits["trait"] == trait
            values[at] = self._recode(name, values[at], rows.texts)
        return values

    def merged(self) -> Purchases:
        """All rows so far, in the order in which they came."""
        names = (ORDER_COLUMNS, LINE_COLUMNS, TRAIT_COLUMNS)
        orders, lines, traits = (
            {n: np.concatenate([_NO_ROWS, *(t[n] for t in found)]) for n in columns}
            for columns, found in zip(names, self._tables, strict=True)
        )
        texts = {n: list(known) for n, known in self._known.items() if known}
        return Purchases(orders, lines, traits, texts)


def since(rows: Purchases, first_day: int) -> Purchases:
    """Return rows without the orders of earlier days."""
    recent = rows.orders["day"] >= first_day
    if recent.all():
        return rows
    return _chosen(rows, recent, np.ones(len(rows.traits["slot"]), dtype=bool))


def merged_block(bodies: Iterable[bytes], first_day: int = 0) -> bytes:
    """Make one block of many: without orders of earlier days, each trait once."""
    merger = Merger()
    for body in bodies:
        merger.add(since(decode_block(body), first_day))
    rows = merger.merged()
    return encode_block(
        _compact(Purchases(rows.orders, rows.lines, last_told(rows.traits), rows.texts))
    )


def moved(rows: Purchases, by: int) -> Purchases:
    """Return rows with other slots, so that those of several partitions are different."""
    orders = rows.orders | {"slot": rows.orders["slot"] + by}
    traits = rows.traits | {"slot": rows.traits["slot"] + by}
    return Purchases(orders, rows.lines, traits, rows.texts)
