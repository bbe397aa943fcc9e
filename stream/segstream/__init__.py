"""Segstream keeps every customer in the right segment, all the time.

`run` streams a pandas frame; the command line does the same with files, stdin and Kafka.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segstream.frames import Result, run

__all__ = ["Result", "run"]


def __getattr__(name: str) -> Any:
    # Importing the package must not import pandas, river and the kernels.
    if name in __all__:
        from segstream import frames

        return getattr(frames, name)
    raise AttributeError(f"module 'segstream' has no attribute {name!r}")
