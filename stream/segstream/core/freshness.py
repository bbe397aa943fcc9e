"""How old what is known of each customer is."""

import numpy as np

from segstream.core import layout as at
from segstream.core.partition import Partition
from segstream.core.spec import IntArray


def evaluations(partition: Partition) -> tuple[IntArray, IntArray]:
    """Segment and last evaluation (epoch ms) of every living customer; shapes (n,)."""
    _, rows = partition.living()
    head = partition.head(rows)
    # `segstream.core.turns.last_turn_minute` of all rows at once.
    sweep, clock = partition.policy.sweep_minutes, partition.clock_minute
    own = (head[:, at.HASH] & 0x7FFFFFFFFFFFFFFF) % sweep
    minutes = clock - (clock - own) % sweep
    # A new customer has no turn behind it, only its event.
    turns = np.maximum(minutes * at.MINUTE_MS, head[:, at.FIRST_HOUR] * at.HOUR_MS)
    return head[:, at.SEGMENT], np.maximum(head[:, at.AS_OF], turns)
