"""What `segstream.worker.PartitionWorker` is given: its log, its publisher, the models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from segstream.adapters.redis_store import LogOutbox, RedisStore
from segstream.core.events import Parsed
from segstream.core.model import Model
from segstream.metering import PartitionMeter
from segstream.pace import Pace
from segstream.tempo import Tempo

AGAIN_S: Final = 5.0
"""Until what may have been lost by a broker that was killed is published again."""


class Record(Protocol):
    """What the worker reads of a Kafka record."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


class Publisher(Protocol):
    """Publishes a partition's batches, each whole."""

    async def start(self) -> None:
        """Fence every earlier publisher of the partition."""
        ...

    async def stop(self) -> None:
        """Release it."""
        ...

    async def publish(self, n: int, offset: int, minute: int, outbox: LogOutbox) -> None:
        """Publish batch n with the offset behind it, all or nothing."""
        ...


class Log(Protocol):
    """One partition of the source topic."""

    async def committed(self) -> tuple[int | None, int]:
        """The group's offset and the number of the batch published with it; 0 for none."""
        ...

    async def bounds(self) -> tuple[int, int, str]:
        """Log start, log end and topic id."""
        ...

    def seek(self, offset: int) -> None:
        """Read from here on; drop what was polled."""
        ...

    async def take(self, max_bytes: int, wait_s: float) -> Sequence[Record]:
        """Records in order; none when nothing came in time."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """How much was read and not taken."""
        ...

    @property
    def caught_up(self) -> bool:
        """Whether everything up to the log's end was taken."""
        ...


class Models(Protocol):
    """The models topic, as far as it was read, or one model that stays."""

    fixed: Model | None

    def at(self, minute: int) -> Model | None:
        """The model to use from an instant on; None before the first."""
        ...

    def get(self, number: int) -> Model:
        """Return a model by its number."""
        ...

    async def read(self, number: int) -> None:
        """Wait until a model is there that another worker has read already."""
        ...

    async def news(self, patience_s: float) -> None:
        """Wait until something comes, or so long."""
        ...


@dataclass(slots=True)
class Tasks:
    """What a partition's worker is given.

    Attributes
    ----------
    target_ms
        Where the clock may go without an event, once caught up.
    generation
        The consumer group's generation now.
    owner
        Checks that a key's partition is this one; raises `SourceError`.
    erase_key
        Key of the HMAC that remembers erased ids; the same on every worker.
    meter
        Measures the batches.
    """

    store: RedisStore
    publisher: Publisher
    log: Log
    models: Models
    pace: Pace
    tempo: Tempo
    target_ms: Callable[[], int]
    generation: Callable[[], int]
    owner: Callable[[bytes], None]
    erase_key: bytes
    meter: PartitionMeter


@dataclass(slots=True)
class Told:
    """Evidence that was published last, to be published once more.

    A broker that is killed between its answer to a commit and the markers in the log may forget
    them. What the transaction wrote, and all that others wrote behind it, then cannot be read until
    the same producer commits something there again; and the trainer, whom everybody waits for,
    would read nothing more.
    """

    evidence: tuple[bytes, ...] = ()
    _since_s: float = 0.0

    def note(self, evidence: tuple[bytes, ...], now_s: float) -> None:
        """Note what is published now."""
        if evidence:
            self.evidence, self._since_s = evidence, now_s

    def due(self, now_s: float) -> bool:
        """Whether it is time to publish it again."""
        return bool(self.evidence) and now_s - self._since_s > AGAIN_S

    def again(self, now_s: float, waits: bool) -> None:
        """Note that this was done; where somebody still waits for an answer, not for good."""
        self._since_s = now_s
        if not waits:
            self.evidence = ()


@dataclass(slots=True)
class Piece:
    """What one batch applies.

    Attributes
    ----------
    until
        Minute up to which instants are completed after the last record; -1 for none.
    one_day
        Whether it ends where the open day closes; no record is of a later day then.
    evidence
        What it tells the trainer already.
    """

    records: Sequence[Record] = ()
    parsed: Sequence[Parsed] = ()
    until: int = -1
    one_day: bool = False
    evidence: list[bytes] = field(default_factory=list)
