"""How often a partition makes a batch: at once when idle, fewer and larger ones when busy.

A batch costs a Kafka transaction and a Redis transaction, together about a millisecond of the
worker's CPU and more of the broker's, however few events it has. So a batch waits for more events
until some time has passed since the one before. A partition that was quiet for so long waits for
nothing.
"""

from collections.abc import Callable
from typing import Final

BATCHES_A_SECOND: Final = 200
"""Of one worker, over all its partitions: a fifth of a core at 1 ms each."""
LEAST_S: Final = 0.02
"""Between two batches of a partition that is alone: below this nobody sees a difference."""


class Tempo:
    """One partition's tempo.

    Parameters
    ----------
    owned
        How many partitions share the worker.
    """

    def __init__(self, owned: Callable[[], int]) -> None:
        self._owned = owned
        self._began_s = float("-inf")

    def began(self, now_s: float) -> None:
        """Note the begin of a batch."""
        self._began_s = now_s

    def pause_s(self, now_s: float) -> float:
        """How long the next batch should wait for more events.

        >>> tempo = Tempo(lambda: 6)
        >>> tempo.began(1.0)
        >>> round(tempo.pause_s(1.01), 3), tempo.pause_s(2.0)
        (0.02, 0.0)
        """
        apart_s = max(LEAST_S, self._owned() / BATCHES_A_SECOND)
        return max(0.0, self._began_s + apart_s - now_s)
