"""Drift detectors: whether the population still looks as it did when the model was made.

They look once a day and decide nothing about the model: they call the refit check early and say
why. Whether a refit is worth it is for the check itself.

Sources: A. Bifet and R. Gavaldà, "Learning from time-changing data with adaptive windowing"
(SDM 2007), by river; B. Yurdakul, "Statistical properties of population stability index" (2018):
for two samples of one population PSI is about chi-squared with bins - 1 degrees of freedom times
(1/n + 1/m), so what is remarkable depends on how many customers there are.

river and scipy are imported where they are used: commands that only look are spared the second that
their import takes.
"""

from typing import Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from segstream.core.spec import CompiledSpec, FloatArray, IntArray

Level = Literal["calm", "warn", "act"]
BINS: Final = 10
WINDOW_DAYS: Final = 7
# A share of nobody would make PSI infinite: count half a customer instead.
_HALF_CUSTOMER: Final = 0.5
HISTORY_DAYS: Final = 730


class DriftSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When detectors speak.

    Attributes
    ----------
    min_panel
        Members below which they stay silent.
    adwin_delta
        ADWIN's bound on a false alarm, on the panel's mean distance, one value a day.
    psi_warn, psi_act
        Population stability index of a feature, or of the segments' shares, over the last 7 days;
        never below what chance gives a panel of this size once in a hundred (warn) or a thousand
        (act) times.
    rest_days
        Days after a call without another.
    calls_per_month
        The alarm budget: calls within 30 days.
    """

    min_panel: int = 200
    adwin_delta: float = 0.002
    psi_warn: float = 0.1
    psi_act: float = 0.25
    rest_days: int = 14
    calls_per_month: int = 2


class Reference(msgspec.Struct, frozen=True):
    """The population when watching began.

    Attributes
    ----------
    edges
        Per feature, upper bounds of its bins but the last, transformed units.
    shares
        Per feature, share of the members in each bin; the last bin holds those without a value.
    segments
        Share of each segment, row order.
    """

    day: int
    members: int
    edges: tuple[tuple[float, ...], ...]
    shares: tuple[tuple[float, ...], ...]
    segments: tuple[float, ...]


class Observation(msgspec.Struct, frozen=True):
    """One day's statistics.

    Attributes
    ----------
    distance
        Mean distance of the panel to its nearest centres, scaled units.
    psi
        Per feature, over the last 7 days against the reference; 0 where it is not watched.
    segments_psi
        The same of the segments' shares.
    why
        The strongest reason for the level, for people.
    """

    day: int
    members: int
    distance: float
    psi: tuple[float, ...] = ()
    segments_psi: float = 0.0
    level: Level = "calm"
    why: str = ""


class Watch(msgspec.Struct, frozen=True):
    """What the detectors remember.

    Attributes
    ----------
    since
        First day of the values that ADWIN sees.
    recent
        Shares per feature (then of the segments) of the last 7 days.
    calls
        Days on which the check was called early.
    """

    since: int = -1
    reference: Reference | None = None
    recent: tuple[tuple[tuple[float, ...], ...], ...] = ()
    history: tuple[Observation, ...] = ()
    calls: tuple[int, ...] = ()


def fresh_watch(watch: Watch, day: int) -> Watch:
    """Begin anew with the next day, under a new generation; the history stays."""
    return Watch(since=day + 1, history=watch.history, calls=watch.calls)


def watched(spec: CompiledSpec) -> npt.NDArray[np.bool_]:
    """Clustered features but lifetime ones: those grow with time alone; shape (F,)."""
    lifetime = [
        f.kind in ("tenure", "age") or (f.kind in ("count", "sum") and f.window_days is None)
        for f in spec.spec.features
    ]
    seen: npt.NDArray[np.bool_] = spec.clustered & ~np.array(lifetime)
    return seen


def observe(
    spec: CompiledSpec,
    settings: DriftSettings,
    watch: Watch,
    day: int,
    transformed: FloatArray,
    labels: IntArray,
    distances: FloatArray,
    k: int,
) -> Watch:
    """Add a day's panel.

    Parameters
    ----------
    transformed : shape (n, F)
    labels, distances : shape (n,)
        Nearest segment and distance to it, scaled units, under the living model.
    """
    if day < watch.since or len(labels) < settings.min_panel:
        return watch
    reference = watch.reference or _reference(day, transformed, labels, k)
    shares = _shares(reference, transformed, labels, k)
    recent = (*watch.recent, shares)[-WINDOW_DAYS:]
    observation = Observation(day, len(labels), float(distances.mean()))
    history = (*watch.history, observation)[-HISTORY_DAYS:]
    watch = msgspec.structs.replace(watch, reference=reference, recent=recent, history=history)
    judged = _judged(spec, settings, watch, observation)
    return msgspec.structs.replace(watch, history=(*history[:-1], judged))


def calls(settings: DriftSettings, watch: Watch, day: int) -> str:
    """Return why the check is called today; empty where it is not."""
    last = watch.history[-1] if watch.history else None
    if last is None or last.day != day or last.level != "act":
        return ""
    lately = [called for called in watch.calls if day - called < 30]
    rested = not lately or day - lately[-1] >= settings.rest_days
    return last.why if rested and len(lately) < settings.calls_per_month else ""


def _reference(day: int, transformed: FloatArray, labels: IntArray, k: int) -> Reference:
    edges = tuple(_edges(column) for column in transformed.T)
    bare = Reference(day, len(labels), edges, (), ())
    shares = _shares(bare, transformed, labels, k)
    return Reference(day, len(labels), edges, shares[:-1], shares[-1])


def _edges(column: FloatArray) -> tuple[float, ...]:
    """Deciles, each once: of a feature with few values every value is a bin."""
    known = column[~np.isnan(column)]
    if not len(known):
        return ()
    deciles = np.quantile(known, np.arange(1, BINS) / BINS, method="inverted_cdf")
    return tuple(np.unique(deciles).tolist())


def _shares(
    reference: Reference, transformed: FloatArray, labels: IntArray, k: int
) -> tuple[tuple[float, ...], ...]:
    """Share of each bin per feature, and of each segment at the end."""
    found = [
        _binned(column, edges) for column, edges in zip(transformed.T, reference.edges, strict=True)
    ]
    found.append(tuple((np.bincount(labels, minlength=k) / len(labels)).tolist()))
    return tuple(found)


def _binned(column: FloatArray, edges: tuple[float, ...]) -> tuple[float, ...]:
    missing = np.isnan(column)
    bins = np.searchsorted(edges, column[~missing], side="left")
    counts = np.bincount(bins, minlength=len(edges) + 1)
    return tuple((np.append(counts, missing.sum()) / len(column)).tolist())


def psi(expected: FloatArray, actual: FloatArray, members: int) -> float:
    """Population stability index of two rows of shares.

    >>> psi(np.array([0.5, 0.5]), np.array([0.5, 0.5]), 100)
    0.0
    """
    used = (expected > 0) | (actual > 0)
    least = _HALF_CUSTOMER / members
    e, a = np.maximum(expected[used], least), np.maximum(actual[used], least)
    return float(((a - e) * np.log(a / e)).sum())


def critical_psi(bins: int, n: int, m: int, confidence: float) -> float:
    """Return what two samples of one population exceed with probability 1 - confidence."""
    from scipy.stats import chi2

    return float(chi2.ppf(confidence, max(1, bins - 1)) * (1 / n + 1 / m))


def _judged(
    spec: CompiledSpec, settings: DriftSettings, watch: Watch, today: Observation
) -> Observation:
    """Compute PSI and ask ADWIN."""
    reference = watch.reference
    if reference is None:
        raise AssertionError("a day is judged against a reference")
    rows = [*reference.shares, reference.segments]
    means = [np.mean([day[j] for day in watch.recent], axis=0) for j in range(len(rows))]
    values = [psi(np.array(e), a, today.members) for e, a in zip(rows, means, strict=True)]
    eyes = [*watched(spec).tolist(), True]
    values = [v if seen else 0.0 for v, seen in zip(values, eyes, strict=True)]
    level, why = _loudest(spec, settings, values, rows, today.members, reference.members)
    shift = _adwin(settings, watch)
    if shift:
        level, why = "act", shift
    return msgspec.structs.replace(
        today, psi=tuple(values[:-1]), segments_psi=values[-1], level=level, why=why
    )


def _loudest(
    spec: CompiledSpec,
    settings: DriftSettings,
    values: list[float],
    rows: list[tuple[float, ...]],
    n: int,
    m: int,
) -> tuple[Level, str]:
    """Return the highest level of any PSI, and which it was."""
    bins = [sum(share > 0 for share in row) for row in rows]
    excess = [
        value / max(settings.psi_act, critical_psi(b, n, m, 0.999))
        for value, b in zip(values, bins, strict=True)
    ]
    j = int(np.argmax(excess))
    what = "segment shares" if j == len(values) - 1 else spec.spec.features[j].name
    why = f"{what}: PSI {values[j]:.2f} over {WINDOW_DAYS} days"
    if excess[j] >= 1.0:
        return "act", why
    warned = any(
        value >= max(settings.psi_warn, critical_psi(b, n, m, 0.99))
        for value, b in zip(values, bins, strict=True)
    )
    return ("warn", why) if warned else ("calm", "")


def _adwin(settings: DriftSettings, watch: Watch) -> str:
    """Ask a new ADWIN about all days since the generation began: state that is plain values."""
    from river.drift import ADWIN

    detector = ADWIN(delta=settings.adwin_delta, clock=1)  # type: ignore[no-untyped-call]
    days = [o for o in watch.history if o.day >= watch.since]
    shifted = False
    for observation in days:
        detector.update(observation.distance)  # type: ignore[no-untyped-call]
        shifted = detector.drift_detected
    if not shifted:
        return ""
    return f"mean distance to the centres shifted to {detector.estimation:.2f} (ADWIN)"
