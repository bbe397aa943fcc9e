"""How fast events go out."""

from typing import Final

# Small enough that a rate is even to the eye, large enough that sleeping is not the work.
SLICE_S: Final = 0.02
FREE_SLICE: Final = 2_000
# A stall longer than this is not made up for by a burst.
_PATIENCE_S: Final = 1.0


class Pacer:
    """A schedule of so many events a second, or none.

    Parameters
    ----------
    rate
        Events per second; None is as fast as possible.
    now_s
        Seconds of any steady clock.

    Examples
    --------
    >>> pacer = Pacer(100.0, now_s=0.0)
    >>> pacer.wait_s(sent=50, now_s=0.2)
    0.3
    """

    def __init__(self, rate: float | None, now_s: float) -> None:
        self._rate = rate
        self._begun_s = now_s

    @property
    def slice(self) -> int:
        """Events to send between two looks at the clock."""
        return FREE_SLICE if self._rate is None else max(1, int(self._rate * SLICE_S))

    def wait_s(self, sent: int, now_s: float) -> float:
        """Seconds to wait before the next event, >= 0.

        Parameters
        ----------
        sent
            Events sent so far.
        """
        if self._rate is None:
            return 0.0
        due_s = self._begun_s + sent / self._rate
        if now_s - due_s > _PATIENCE_S:
            self._begun_s += now_s - due_s
        return max(0.0, due_s - now_s)


class Replayer:
    """A schedule by the events' own times, so many times faster.

    Parameters
    ----------
    speed
        Seconds of event time per second, > 0.
    first_ms
        Event time at which the replay starts, epoch ms.
    now_s
        Seconds of any steady clock.

    Examples
    --------
    >>> Replayer(3600.0, first_ms=0, now_s=5.0).reached_ms(7.0)
    7200000
    """

    def __init__(self, speed: float, first_ms: int, now_s: float) -> None:
        self._speed, self._first_ms, self._begun_s = speed, first_ms, now_s

    def reached_ms(self, now_s: float) -> int:
        """Event time up to which events are due, epoch ms."""
        return self._first_ms + int((now_s - self._begun_s) * self._speed * 1_000)

    def wait_s(self, event_ms: int, now_s: float) -> float:
        """Seconds until an event is due, >= 0."""
        due_s = self._begun_s + (event_ms - self._first_ms) / 1_000 / self._speed
        return max(0.0, due_s - now_s)


def parse_speed(text: str) -> float:
    """Read a speed like `3600x`; the x may be left out.

    Raises
    ------
    ValueError
        It is not a number above zero.

    Examples
    --------
    >>> parse_speed("60x")
    60.0
    """
    speed = float(text.removesuffix("x"))
    if not 0 < speed < float("inf"):
        raise ValueError(text)
    return speed
