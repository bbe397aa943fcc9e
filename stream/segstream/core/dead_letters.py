"""When too many entries are dead letters: a bad deploy must not route a whole feed there."""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt

from segstream.core.events import DEAD_LETTER_CODES
from segstream.errors import TooManyDeadLettersError

WINDOW: Final = 10_000
# Of fewer entries a share says nothing.
LEAST: Final = 100
_COUNT_BYTES: Final = 4


Code = Annotated[
    str, msgspec.Meta(examples=list(DEAD_LETTER_CODES), description="Later versions may add more.")
]


class DeadLetterHeaders(msgspec.Struct, frozen=True):
    """Headers of a dead letter in Kafka; its key and value are the original bytes.

    Attributes
    ----------
    place
        `partition:offset` of the original in the transactions topic.
    """

    code: Code
    message: str
    place: str


class DeadLetterWatch:
    """Share of dead letters among the last `WINDOW` entries.

    Parameters
    ----------
    max_share
        0 to 1; above it `check` raises.
    flags
        What `flags` said before a restart.
    """

    def __init__(self, max_share: float, flags: bytes = b"") -> None:
        self._max_share = max_share
        count = int.from_bytes(flags[:_COUNT_BYTES], "big")
        bits = np.unpackbits(np.frombuffer(flags[_COUNT_BYTES:], dtype=np.uint8))[:count]
        self._last = bits.astype(bool) if len(bits) else np.zeros(count, dtype=bool)

    @property
    def flags(self) -> bytes:
        """How many entries are remembered, then one bit each; no bits while all were good."""
        bits = np.packbits(self._last).tobytes() if self._last.any() else b""
        return len(self._last).to_bytes(_COUNT_BYTES, "big") + bits

    def check(self, dead: Sequence[int], entries: int) -> None:
        """Note a batch of entries, `dead` being the indices of the bad ones.

        Raises
        ------
        TooManyDeadLettersError
            The batch crosses the limit; it must not be committed.

        Examples
        --------
        >>> DeadLetterWatch(0.1).check([3], 1000)
        """
        flags = np.zeros(entries, dtype=bool)
        flags[list(dead)] = True
        seen = np.concatenate((self._last, flags))
        worst = _worst_share(seen)
        if worst > self._max_share:
            raise TooManyDeadLettersError(
                f"dead letters: expected at most {self._max_share:.0%} of the last {WINDOW:,} "
                f"entries, got {worst:.0%}; the batch that crossed the limit is not committed. "
                "Run `segstream doctor` to see what is wrong with the feed or its mapping; "
                "if it is right, raise dead_letters.max_share"
            )
        self._last = seen[-WINDOW:]


def _worst_share(seen: npt.NDArray[np.bool_]) -> float:
    """Return the largest share of any full window; of all where there are fewer."""
    if len(seen) < LEAST or not seen.any():
        return 0.0
    if len(seen) <= WINDOW:
        return float(seen.mean())
    sums = np.cumsum(np.concatenate(([0], seen)), dtype=np.int64)
    return float(np.max(sums[WINDOW:] - sums[:-WINDOW])) / WINDOW
