"""Data sets that are not ours to ship: files a user has, each with the mapping that reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segstream.errors import SourceError


@dataclass(frozen=True, slots=True)
class Tables:
    """A data set somebody has on disk.

    Attributes
    ----------
    mapping
        Name of the mapping that makes events of it.
    files
        What its main file is called, the likeliest first; lookups are beside it.
    """

    mapping: str
    description: str
    files: tuple[str, ...]


TABLES: Final = {
    one.mapping: one
    for one in (
        Tables("browse-sample", "views, carts and purchases", ("2019-Oct-sample.csv", "*.csv")),
        Tables("coupons-ecommerce", "coupons claimed, and redeemed later", ("transactions.csv",)),
        Tables(
            "marketing-profile", "one profile per customer",
            ("customer_segmentation.csv", "smartcart_customers.csv", "marketing_campaign.csv"),
        ),
        Tables(
            "online-retail", "order lines of a UK web shop",
            ("online-retail.csv.gz", "online_retail.csv.gz", "online-retail.csv"),
        ),
        Tables("total-value", "purchases with quantity and price", ("Transactions.csv",)),
    )
}  # fmt: skip
"""By the name of their mapping."""


def find_tables(name: str, where: Path) -> Path:
    """Path of a data set's main file, in a folder or named itself.

    Raises
    ------
    SourceError
        It is not there.
    """
    if where.is_file():
        return where
    tables = TABLES[name]
    for pattern in tables.files:
        for path in sorted(where.glob(pattern)):
            return path
    raise SourceError(
        f"{name}: expected {' or '.join(tables.files)} in {where}, found neither it nor such a"
        " file; give its folder or the file itself with --from"
    )
