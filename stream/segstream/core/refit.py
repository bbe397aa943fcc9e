"""The refit check: whether other centres would serve the panel better, and at what price.

    ask (a panel, scaled anew) ► consider (slow, beside the stream) ► Proposal ► gate, next day

`consider` is a pure function of what was asked, so it may run in another process, or again.
"""

from typing import Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from segstream.core.fitting import (
    Clustering,
    Quality,
    Scaling,
    assign,
    choose_again,
    fresh,
    quality_of,
    warm,
)
from segstream.core.identity import match
from segstream.core.spec import FloatArray, IntArray

Kind = Literal["", "warm", "fresh"]
# Of the living model's SSE: below, a refit is noise.
GAIN: Final = 0.01
# Each per cent of gain may move so many per cent of the customers. On two real years the refits
# that keep SSE within 1 % of a batch fit win 1.6 to 3 % and move a quarter to a third.
CHURN_PER_GAIN: Final = 25.0
# What a refit may move where nothing has changed (`benchmarks.noop`): nobody asks why.
UPKEEP: Final = 0.05


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a candidate must show before it may serve.

    Attributes
    ----------
    gain
        Share of the living model's SSE it must win, and a fresh fit over a warm one.
    churn
        Share of the panel it may move to another segment; where twenty-five times its gain is more,
        that.
    smallest
        Share of the panel its smallest segment must have.
    upkeep
        Share of the panel up to which half the gain is enough: such a refit renews a scaling that
        ages, and hardly anybody's segment.
    """

    gain: float = GAIN
    churn: float = 0.25
    smallest: float = 0.005
    upkeep: float = UPKEEP

    def is_upkeep(self, gain: float, moved: float) -> bool:
        """Whether a refit may serve only because it moves so few: then no cooldown follows."""
        return self.gain / 2 < gain <= self.gain and moved <= self.upkeep

    def objection(self, gain: float, moved: float, smallest: float, fewer: bool = False) -> str:
        """Return why a candidate may not serve; empty where it may.

        Parameters
        ----------
        fewer
            It has fewer segments, because the curve says so: it cannot win.
        """
        least = self.gain / 2 if moved <= self.upkeep else self.gain
        if gain <= least and not fewer:
            return (
                f"gain {gain:.2%} is not over {least:.2%} for moving {moved:.1%} of the customers"
            )
        if moved > (most := max(self.churn, CHURN_PER_GAIN * gain)):
            return f"it would move {moved:.1%} of the customers, over {most:.1%}"
        if smallest < self.smallest:
            return f"its smallest segment has {smallest:.2%} of the customers"
        return ""


class Frame(msgspec.Struct, frozen=True):
    """A scaling as plain values."""

    mean: tuple[float, ...]
    weight: tuple[float, ...]
    median: tuple[float, ...]
    notices: tuple[str, ...] = ()

    @classmethod
    def of(cls, scaling: Scaling) -> "Frame":
        """Take a scaling's values."""
        return cls(
            tuple(scaling.mean.tolist()),
            tuple(scaling.weight.tolist()),
            tuple(scaling.median.tolist()),
            scaling.notices,
        )

    @property
    def scaling(self) -> Scaling:
        """The scaling again."""
        return Scaling(
            np.array(self.mean), np.array(self.weight), np.array(self.median), self.notices
        )


class Asked(msgspec.Struct, frozen=True):
    """Everything a check needs.

    Attributes
    ----------
    frame
        The scaling of vectors and centres.
    vectors : shape (n, F), centres : shape (k, F), labels : shape (n,)
        The panel, the living centres, and the segment each member is served.
    trigger
        Why now: `schedule`, what a detector said, or `command`.
    k
        Segments wanted; the living number unless a person said otherwise.
    chooses_k
        Whether the elbow may change k.
    """

    frame: Frame
    vectors: bytes
    centres: bytes
    labels: bytes
    day: int
    trigger: str
    k: int
    chooses_k: bool
    starts: int
    seed: int
    gate: Gate
    commanded: bool = False

    def panel(self) -> FloatArray:
        """Shape (n, F)."""
        return self._rows(self.vectors)

    def living(self) -> Clustering:
        """What serves now."""
        labels = np.frombuffer(self.labels, dtype=np.int64)
        return served(self._rows(self.centres), labels, self.panel())

    def _rows(self, body: bytes) -> FloatArray:
        return np.frombuffer(body, dtype=np.float64).reshape(-1, len(self.frame.mean))


class Proposal(msgspec.Struct, frozen=True):
    """What a check found.

    Attributes
    ----------
    kind
        Which candidate is worth a look tomorrow; empty for none.
    gain_warm, gain_fresh
        Share of the living model's SSE that each wins.
    moved, smallest
        Share of the panel that the best candidate moves, and in its smallest segment.
    objection
        Why none was proposed.
    k
        Segments of the best candidate.
    """

    day: int
    trigger: str
    kind: Kind
    gain_warm: float
    gain_fresh: float
    moved: float
    smallest: float
    objection: str
    frame: Frame
    centres: tuple[tuple[float, ...], ...] = ()
    quality: Quality = Quality()
    curve: dict[int, float] = {}
    commanded: bool = False
    k: int = 0


class Living(msgspec.Struct, frozen=True):
    """The panel as the living model serves it.

    Attributes
    ----------
    labels : shape (n,), segment indices
    """

    scaling: Scaling
    centres: FloatArray
    labels: IntArray

    @classmethod
    def of(cls, scaling: Scaling, centres: FloatArray, transformed: FloatArray) -> "Living":
        """Assign as the stream does: in the generation's own scaling."""
        return cls(scaling, centres, assign(centres, scaling.apply(transformed)).labels)

    def seen_in(self, scaling: Scaling, transformed: FloatArray) -> Clustering:
        """Return the same segments in another scaling, with what they cost there.

        A scaling that has aged costs, too: what is nearest in it no longer is in the other.
        """
        centres = scaling.apply(self.scaling.undo(self.centres))
        return served(centres, self.labels, scaling.apply(transformed))


def served(centres: FloatArray, labels: IntArray, vectors: FloatArray) -> Clustering:
    """Measure centres under given labels."""
    return Clustering(centres, labels, float(((vectors - centres[labels]) ** 2).sum()))


def consider(asked: Asked) -> Proposal:
    """Fit warm and fresh, and weigh them; one thread, so that sums have one order."""
    with threadpool_limits(1):
        return _considered(asked)


def _considered(asked: Asked) -> Proposal:
    vectors = asked.panel()
    living = asked.living()
    fits: dict[Kind, Clustering] = {
        "warm": warm(vectors, living.centres),
        "fresh": fresh(vectors, asked.k, asked.starts, asked.seed),
    }
    gains = {name: gain_over(living.sse, fit.sse) for name, fit in fits.items()}
    order: list[Kind] = ["warm"]
    if fits["fresh"].sse < (1.0 - asked.gate.gain) * fits["warm"].sse:
        order.insert(0, "fresh")
    if asked.k != len(living.centres):
        order = ["fresh"]
    curve: dict[int, float] = {}
    if asked.chooses_k:
        k, curve = choose_again(vectors, len(living.centres), asked.starts, asked.seed)
        if k != len(living.centres) and k in curve:
            fits["fresh"], order = fresh(vectors, k, asked.starts, asked.seed), ["fresh"]
            gains["fresh"] = gain_over(living.sse * fair(curve, len(living.centres), k),
                                       fits["fresh"].sse)  # fmt: skip
    return _weighed(asked, living, fits, gains, order, curve)


def gain_over(living: float, candidate: float) -> float:
    """Share of the living SSE that a candidate wins."""
    return 1.0 - candidate / living if living else 0.0


def fair(curve: dict[int, float], k_old: int, k_new: int) -> float:
    """Factor on the living SSE for fewer segments: they cannot be as near.

    >>> fair({4: 10.0, 5: 8.0}, 5, 4), fair({4: 10.0, 5: 8.0}, 4, 5)
    (1.25, 1.0)
    """
    return curve[k_new] / curve[k_old] if k_new < k_old and k_old in curve else 1.0


def _weighed(
    asked: Asked,
    living: Clustering,
    fits: dict[Kind, Clustering],
    gains: dict[Kind, float],
    order: list[Kind],
    curve: dict[int, float],
) -> Proposal:
    """Propose the first candidate that passes; else say what is against the best."""
    weighed = []
    for kind in order:
        moved, smallest = price(living, fits[kind])
        fewer = len(fits[kind].centres) < len(living.centres)
        objection = asked.gate.objection(gains[kind], moved, smallest, fewer)
        weighed.append((kind, moved, smallest, "" if asked.commanded else objection))
    kind, moved, smallest, objection = next((w for w in weighed if not w[3]), weighed[0])
    passes = not objection
    fit = fits[kind]
    return Proposal(
        asked.day, asked.trigger, kind if passes else "", gains["warm"], gains["fresh"], moved,
        smallest, objection, asked.frame,
        tuple(map(tuple, fit.centres.tolist())) if passes else (),
        quality_of(asked.panel(), fit, asked.seed) if passes else Quality(),
        curve, asked.commanded, len(fit.centres),
    )  # fmt: skip


def price(living: Clustering, candidate: Clustering) -> tuple[float, float]:
    """Share of the members that change segment, and share of the smallest segment."""
    k_old, k_new = len(living.centres), len(candidate.centres)
    heirs = match(living.labels, candidate.labels, k_old, k_new)
    moved = heirs[candidate.labels] != living.labels
    sizes: npt.NDArray[np.int64] = np.bincount(candidate.labels, minlength=k_new)
    return float(moved.mean()), float(sizes.min() / len(candidate.labels))
