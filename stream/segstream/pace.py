"""The pace of a replay: a partition waits at the end of a day for the trainer's answer.

A live feed has a day to make the next model; a replay would be at its end before the first one.
So where a day is history, a batch ends with it, its evidence is published, and the partition goes
on when the trainer has closed that day: it adopts the model at the first instant of the next, as
the embedded engine does. A trainer that makes no progress is waited for once, then no more until
it does.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from segstream.core import layout as at

LOG: Final = logging.getLogger("segstream.worker")
# A day that ended so long ago is history; one that ends now is live, and nobody waits.
HISTORY_MS: Final = 3_600_000
_DAY_MS: Final = at.DAY_MINUTES * at.MINUTE_MS


class Answers(Protocol):
    """How far the trainer is."""

    day: int


@dataclass(slots=True)
class Patience:
    """One worker's patience with the trainer, shared by its partitions.

    Attributes
    ----------
    wait_s
        How long the trainer may make no progress.
    """

    answers: Answers
    wait_s: float
    _given_up: int | None = None

    @property
    def lost(self) -> bool:
        """Whether the trainer has made no progress since it was given up."""
        if self._given_up is not None and self.answers.day != self._given_up:
            self._given_up = None
            LOG.warning("trainer: makes progress again; days of history wait for it")
        return self._given_up is not None

    def give_up(self) -> None:
        """Wait no more until there is progress."""
        self._given_up = self.answers.day
        LOG.warning(
            "trainer: no progress for %g s; going on without its models until there is, so they "
            "come late. Is `segstream trainer` running?", self.wait_s,
        )  # fmt: skip


@dataclass(slots=True)
class Pace:
    """One partition's pace.

    Parameters
    ----------
    clocks_ms
        Clocks of all partitions: the trainer closes a day when each has passed it, so a slow one
        that moves is progress too.
    away
        Whether a server is away: then nothing can be heard of the trainer, and it is not blamed.
    """

    patience: Patience
    clocks_ms: Callable[[], Iterable[int]]
    away: Callable[[], bool] = lambda: False
    _seen: tuple[int, ...] = field(default=())
    _since_s: float = 0.0

    def waits_at(self, day: int, now_ms: int) -> bool:
        """Whether the end of a day is one to wait at."""
        return not self.patience.lost and now_ms - (day + 1) * _DAY_MS > HISTORY_MS

    def waits(self, day: int, now_ms: int, now_s: float) -> bool:
        """Whether a partition that has closed a day still waits for the answer."""
        if self.patience.answers.day >= day or not self.waits_at(day, now_ms):
            return False
        end_ms = (day + 1) * _DAY_MS
        clocks = sorted(min(clock, end_ms) for clock in self.clocks_ms())
        seen = (day, self.patience.answers.day, *clocks)
        if seen != self._seen or self.away():
            self._seen, self._since_s = seen, now_s
        if now_s - self._since_s <= self.patience.wait_s:
            return True
        self.patience.give_up()
        return False
