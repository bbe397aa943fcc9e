"""What long commands have in common: a progress bar and a stop by signal."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)


def progress_bar(console: Console) -> Progress:
    """Return a bar whose tasks have a field `state`; it is gone at the end."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(20), TaskProgressColumn(),
        MofNCompleteColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Give out whether a stop was asked for; a second Ctrl-C ends at once."""
    asked = False
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.getsignal(one) for one in signals}

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        nonlocal asked
        asked = True
        signal.signal(number, signal.default_int_handler)

    for one in signals:
        signal.signal(one, ask)
    try:
        yield lambda: asked
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
