"""Python's garbage collector, in a process that holds a customer base and must not pause."""

import gc
from typing import Final

# New objects between two looks: a batch makes thousands, none of them in a cycle.
_COLLECT_AFTER: Final = 50_000


def keep_what_is_loaded() -> None:
    """Take what is there out of the collector's walks.

    What is loaded stays; a full collection would walk all of it again while everybody waits.
    """
    gc.collect()
    gc.freeze()


def look_less_often() -> None:
    """Let the collector look less often: for a process that is nobody else's."""
    gc.set_threshold(_COLLECT_AFTER)
