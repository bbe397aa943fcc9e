"""The two retail feeds everything is measured on, parsed once and streamed many times."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from segstream.adapters.files import MAX_CHUNK_ENTRIES, FileSource
from segstream.adapters.mapping_files import named_mapping
from segstream.core.events import Event, Item, epoch_ms
from segstream.core.spec import IntArray
from segstream.ports import Chunk
from segstream_producers.datasets.complete_journey import write_complete_journey

ROOT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = ROOT / ".data"
CHUNK_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Feed:
    """A data set on disk and the mapping that makes events of it.

    Attributes
    ----------
    name
        In the names of benchmark cases.
    title
        For people.
    """

    name: str
    title: str
    mapping: str
    path: Path

    def present(self) -> bool:
        """Whether it is there; Complete Journey is written where it is not."""
        if self.name == COMPLETE_JOURNEY.name and not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_complete_journey(self.path)
        return self.path.exists()


COMPLETE_JOURNEY: Final = Feed(
    "complete_journey",
    "Complete Journey",
    "complete-journey",
    CACHE / "complete-journey.jsonl",
)
ONLINE_RETAIL: Final = Feed(
    "online_retail",
    "Online Retail",
    "online-retail",
    ROOT.parent / "shared" / "data" / "online_retail" / "online_retail.csv.gz",
)
FEEDS: Final = (COMPLETE_JOURNEY, ONLINE_RETAIL)


class Replay:
    """A `segstream.ports.Source` of chunks that are parsed already.

    Parameters
    ----------
    cuts
        Entry positions at which a chunk must end.
    """

    def __init__(self, identity: str, chunks: Sequence[Chunk], cuts: Sequence[int] = ()) -> None:
        self._identity = identity
        self.chunks = chunks
        self._starts = [chunk.position for chunk in chunks]
        self._cuts = sorted(cuts)
        self.total = self._starts[-1] + len(chunks[-1].payloads)

    @property
    def identity(self) -> str:
        """See `segstream.ports.Source.identity`."""
        return self._identity

    @property
    def times(self) -> IntArray:
        """Largest event time up to each entry, epoch ms; -1 before the first event."""
        parsed = (entry for chunk in self.chunks for entry in chunk.parsed)
        times = (epoch_ms(e.ts) if isinstance(e, Event) else -1 for e in parsed)
        return np.fromiter(accumulate(times, max), dtype=np.int64)

    def cut_at(self, moments_ms: Sequence[int]) -> "Replay":
        """Return the same source, with a chunk ending before the first event at each moment."""
        cuts = np.searchsorted(self.times, np.array(moments_ms, dtype=np.int64)).tolist()
        return Replay(self._identity, self.chunks, cuts)

    def read(self, position: int, max_bytes: int) -> Chunk | None:
        """Read to the end of the parsed chunk or to the next cut."""
        del max_bytes
        if position >= self.total:
            return None
        chunk = self.chunks[bisect_right(self._starts, position) - 1]
        first, last = position - chunk.position, len(chunk.payloads)
        following = bisect_right(self._cuts, position)
        if following < len(self._cuts):
            last = min(last, self._cuts[following] - chunk.position)
        part = slice(first, last)
        return Chunk(position, chunk.payloads[part], chunk.parsed[part], chunk.places[part])

    def digest_at(self, position: int) -> str:
        """See `segstream.ports.Source.digest_at`."""
        del position
        return self._identity

    def verify(self, position: int, digest: str) -> None:
        """See `segstream.ports.Source.verify`; what is in memory does not change."""

    def close(self) -> None:
        """See `segstream.ports.Source.close`."""


def parse(feed: Feed) -> Replay:
    """Read and map a whole feed."""
    source = FileSource([feed.path], named_mapping(feed.mapping))
    try:
        chunks: list[Chunk] = []
        position = 0
        while (chunk := source.read(position, CHUNK_BYTES)) is not None:
            chunks.append(chunk)
            position += len(chunk.payloads)
        return Replay(source.identity, chunks)
    finally:
        source.close()


def whole_orders(replay: Replay) -> Replay:
    """Return the same stream with lines that follow each other in one order as one event."""
    events = (e for chunk in replay.chunks for e in chunk.parsed if isinstance(e, Event))
    joined = [_one_event(list(run)) for _, run in groupby(events, key=_order)]
    chunks = []
    for start in range(0, len(joined), MAX_CHUNK_ENTRIES):
        part = joined[start : start + MAX_CHUNK_ENTRIES]
        chunks.append(Chunk(start, [b""] * len(part), part, [""] * len(part)))
    return Replay(f"{replay.identity}, whole orders", chunks)


def _order(event: Event) -> tuple[object, ...]:
    return event.customer_id, event.order_id or event.event_id, event.type, event.ts


def _one_event(run: list[Event]) -> Event:
    if len(run) == 1:
        return run[0]
    items = [
        Item(product_id=e.product_id, quantity=e.quantity, unit_price=e.unit_price, amount=e.amount)
        for e in run
    ]
    total = math.fsum(e.amount or 0.0 for e in run)
    return msgspec.structs.replace(
        run[0], items=items, amount=total, quantity=1.0, unit_price=None, product_id=None
    )
