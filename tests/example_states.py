"""The example settings, each streamed over its data set once for all tests."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from tests.cli.commands import Place, segstream
from tests.once import Once

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
_RETAIL: Final = "online_retail/online_retail.csv.gz"

Streamed = Callable[[str], Place]


class Example(NamedTuple):
    """What an example streams; paths below the shared data."""

    mapping: str
    source: str
    products: str | None = None
    lines: int | None = None


EXAMPLE_OF: Final = {
    "coupons": Example("coupons-ecommerce", "coupons_ecommerce/transactions.csv"),
    "total-value": Example(
        "total-value", "total_value/Transactions.csv", "total_value/Products.csv"
    ),
    "online-retail": Example("online-retail", _RETAIL, _RETAIL, lines=150_000),
}


@pytest.fixture(scope="session")
def streamed(once: Once, shared_data: Callable[[str], Path]) -> Streamed:
    """Stream an example by its name: a state and an output to look at, not to change."""

    def stream(name: str) -> Place:
        mapping, source, products, lines = EXAMPLE_OF[name]

        def make(folder: Path) -> None:
            whole = shared_data(source)
            read = whole if lines is None else _head_of(whole, folder / "part.csv", lines)
            named = ("--products", shared_data(products)) if products else ()
            ended = segstream(
                "run", "--source", read, "--mapping", mapping, *Place(folder).options,
                "--config", EXAMPLES / f"{name}.toml", "--json", *named,
            )  # fmt: skip
            assert ended.code == 0, ended.err

        return Place(once(f"example-{name}", make))

    return stream


def _head_of(whole: Path, part: Path, lines: int) -> Path:
    with gzip.open(whole, "rt", encoding="utf-8") as read:
        part.write_text("".join(next(read) for _ in range(lines)), "utf-8")
    return part
