"""Public data sets that a producer can write out as feeds, one module each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segstream_producers.datasets.complete_journey import write_complete_journey


@dataclass(frozen=True)
class Dataset:
    """A feed that can be written.

    Attributes
    ----------
    mapping
        Name of the mapping that makes events of it.
    citation
        How to cite it, in full.
    write
        Writes it to a path, returns the number of lines.
    """

    name: str
    description: str
    citation: str
    mapping: str
    write: Callable[[Path], int]


DATASETS: Final = {
    one.name: one
    for one in (
        Dataset(
            name="complete-journey",
            description="Grocery baskets, coupons and households of one year, as JSON lines",
            citation="84.51° Complete Journey 2.0",
            mapping="complete-journey",
            write=write_complete_journey,
        ),
    )
}
"""Data sets by name."""
