"""The model's life, one step a day: bootstrap, daily step, refit.

close_day: collect the panel ► no model yet: bootstrap when ready
                             ► refit due and worth it: a new generation
                             ► else: one K-Means step, a revision
"""

from typing import Final, Literal

import msgspec
import numpy as np
from scipy.optimize import linear_sum_assignment

from segstream.core import layout as at
from segstream.core.clusterer import PopulationKMeans, river_centres, river_kmeans
from segstream.core.fitting import (
    Clustering,
    Scaling,
    assign,
    choose_k,
    fit_scaling,
    fresh,
    panel_vectors,
    scores,
    warm,
)
from segstream.core.model import Fit, Model, ModelReason, Segment
from segstream.core.partition import DayTotals, PanelRows
from segstream.core.playbook import describe, keep_or_name, value_feature
from segstream.core.spec import CompiledSpec, FloatArray, IntArray

# A refit keeps a segment's id where most of either side's customers are in both.
SURVIVAL_SHARE: Final = 0.5


class TrainerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How models are made.

    Attributes
    ----------
    k
        Number of segments, or `auto` for the elbow rule.
    rate
        Share of the way centres move to the day's means.
    learner
        `population`, `river` (river.cluster.KMeans on the panel's vectors at events) or `none`
        (centres stay as fitted).
    refit_days
        Days between checks whether a refit is worth it; 0 for never.
    gain
        Share of the living model's SSE a refit must win.
    cooldown_days
        Days after a refit without another.
    min_panel
        Customers before the first model.
    panel_size
        The panel is thinned by customer hash when it grows beyond.
    start
        `covered` waits until the longest clustered window is covered by events; `early` does not.
    """

    k: int | Literal["auto"] = 5
    starts: int = 10
    seed: int = 7
    rate: float = 0.2
    learner: Literal["population", "river", "none"] = "population"
    refit_days: int = 7
    gain: float = 0.01
    cooldown_days: int = 14
    min_panel: int = 100
    panel_size: int = 20_000
    start: Literal["covered", "early"] = "covered"


class Decision(msgspec.Struct, frozen=True):
    """One refit check, taken or refused, with its figures.

    Attributes
    ----------
    gain_warm, gain_fresh
        Share of the living model's SSE that each candidate wins.
    moved
        Share of the panel whose nearest segment has another id under the new model.
    """

    day: int
    taken: Literal["no", "warm", "fresh"]
    gain_warm: float
    gain_fresh: float
    moved: float


class TrainerState(msgspec.Struct, frozen=True):
    """What the trainer remembers between days."""

    model: Model | None = None
    checked_day: int = -1
    refit_day: int = -1
    panel_bits: int = 0
    waiting: str = "no events yet"
    decisions: tuple[Decision, ...] = ()


class Panel(msgspec.Struct, frozen=True):
    """One vector per member, in the order of their hashes.

    Attributes
    ----------
    raw, transformed : shape (n, F)
    """

    raw: FloatArray
    transformed: FloatArray


def collect_panel(spec: CompiledSpec, rows: PanelRows, panel_bits: int) -> Panel:
    """Take the day's last vector of each member."""
    turns = rows.keys[:, at.P_EVENT] == at.NOT_AN_EVENT
    hashes, raw = rows.keys[turns, at.P_HASH], rows.raw[turns]
    # The unsigned order of hashes; of several of one member the last.
    order = np.lexsort((np.arange(len(hashes)), hashes.view(np.uint64)))
    hashes, raw = hashes[order], raw[order]
    last = np.ones(len(hashes), dtype=bool)
    last[:-1] = hashes[1:] != hashes[:-1]
    if panel_bits:
        last &= hashes.view(np.uint64) < np.uint64(1 << (64 - panel_bits))
    raw = np.ascontiguousarray(raw[last])
    return Panel(raw, panel_vectors(spec, raw))


class Trainer:
    """Pure: a state and a day's evidence in, a state and maybe a model out."""

    def __init__(self, spec: CompiledSpec, settings: TrainerSettings) -> None:
        self._spec = spec
        self._settings = settings

    def close_day(
        self, state: TrainerState, totals: DayTotals, rows: PanelRows, first_ms: int
    ) -> TrainerState:
        """Step to the next day.

        Parameters
        ----------
        first_ms
            Time of the first event ever, for the coverage of the longest window.

        Returns
        -------
        TrainerState
            With a new `model` where there is one to adopt at the next day's first instant.
        """
        bits = self._thin(state.panel_bits, rows)
        state = msgspec.structs.replace(state, panel_bits=bits)
        panel = collect_panel(self._spec, rows, bits)
        day = totals.day
        model = state.model
        if model is None:
            return self._bootstrap(state, day, panel, first_ms)
        if self._refit_due(state, day) and len(panel.raw) >= len(model.segments):
            state, refitted = self._refit(state, model, day, panel)
            if refitted:
                return state
        return self._step(state, model, totals, rows, panel)

    def _thin(self, bits: int, rows: PanelRows) -> int:
        turns = rows.keys[:, at.P_EVENT] == at.NOT_AN_EVENT
        hashes = rows.keys[turns, at.P_HASH].view(np.uint64)
        while bits < 40:
            limit = np.uint64((1 << (64 - bits)) - 1)
            if np.count_nonzero(hashes <= limit) <= self._settings.panel_size:
                break
            bits += 1
        return bits

    # ---- the first model ---------------------------------------------------------------

    def _bootstrap(
        self, state: TrainerState, day: int, panel: Panel, first_ms: int
    ) -> TrainerState:
        waiting = self._waiting_for(day, panel, first_ms)
        if waiting:
            return msgspec.structs.replace(state, waiting=waiting)
        model = self._first_model(day, panel, state.panel_bits)
        return msgspec.structs.replace(
            state, model=model, checked_day=day, refit_day=day, waiting=""
        )

    def _waiting_for(self, day: int, panel: Panel, first_ms: int) -> str:
        if len(panel.raw) < self._settings.min_panel:
            return f"{len(panel.raw)} of {self._settings.min_panel} customers for a first model"
        covered = (day + 1) - first_ms / 86_400_000
        needed = self._spec.longest_window_days
        if self._settings.start == "covered" and covered < needed:
            return f"{covered:.0f} of {needed:g} days of events, to fill the longest window"
        if not fit_scaling(self._spec, panel.transformed).varies:
            return "a clustered feature that differs between customers"
        return ""

    def _first_model(self, day: int, panel: Panel, bits: int) -> Model:
        settings = self._settings
        scaling = fit_scaling(self._spec, panel.transformed)
        vectors = scaling.apply(panel.transformed)
        k, curve = (
            choose_k(vectors, settings.starts, settings.seed)
            if settings.k == "auto"
            else (settings.k, {})
        )
        k = min(k, len(np.unique(vectors, axis=0)))
        clustering = fresh(vectors, k, settings.starts, settings.seed)
        return self._generation(
            None, "first", day, panel, scaling, clustering, curve, np.full(k, -1), bits
        )

    # ---- a new generation --------------------------------------------------------------

    def _refit_due(self, state: TrainerState, day: int) -> bool:
        settings = self._settings
        due = settings.refit_days > 0 and day - state.checked_day >= settings.refit_days
        return due and day - state.refit_day >= settings.cooldown_days

    def _refit(
        self, state: TrainerState, model: Model, day: int, panel: Panel
    ) -> tuple[TrainerState, bool]:
        settings = self._settings
        scaling = fit_scaling(self._spec, panel.transformed)
        vectors = scaling.apply(panel.transformed)
        if not scaling.varies:
            return msgspec.structs.replace(state, checked_day=day), False
        old = scaling_of(model)
        living = assign(scaling.apply(old.undo(model.centres)), vectors)
        candidates = {
            "warm": warm(vectors, living.centres),
            "fresh": fresh(vectors, len(model.segments), settings.starts, settings.seed),
        }
        gains = {n: 1.0 - c.sse / living.sse if living.sse else 0.0 for n, c in candidates.items()}
        better = candidates["fresh"].sse < (1.0 - settings.gain) * candidates["warm"].sse
        name: Literal["warm", "fresh"] = "fresh" if better else "warm"
        taken = gains[name] > settings.gain
        heirs = match(living.labels, candidates[name].labels, len(model.segments))
        ids = np.array([s.id for s in model.segments])
        moved = heirs[candidates[name].labels] != living.labels
        decision = Decision(
            day, name if taken else "no", gains["warm"], gains["fresh"], float(moved.mean())
        )
        state = msgspec.structs.replace(
            state, checked_day=day, decisions=(*state.decisions, decision)
        )
        if not taken:
            return state, False
        inherited = np.where(heirs >= 0, ids[heirs], -1)
        successor = self._generation(
            model, "recluster", day, panel, scaling, candidates[name], model.fit.curve, inherited,
            state.panel_bits,
        )  # fmt: skip
        return msgspec.structs.replace(state, model=successor, refit_day=day), True

    def _generation(
        self,
        before: Model | None,
        reason: ModelReason,
        day: int,
        panel: Panel,
        scaling: Scaling,
        clustering: Clustering,
        curve: dict[int, float],
        inherited: IntArray,
        bits: int,
    ) -> Model:
        """Make the first model of a generation; `inherited` has the ids of survivors, else -1."""
        spec, settings = self._spec, self._settings
        k = len(clustering.centres)
        population = _means(panel.raw)
        averages = np.array([_means(panel.raw[clustering.labels == i]) for i in range(k)])
        order = np.argsort(-averages[:, value_feature(spec)], kind="stable")
        next_id = before.next_id if before else 1
        survivors = {s.id: s for s in before.segments} if before else {}
        pinned = [survivors.get(int(inherited[i])) for i in order.tolist()]
        names = keep_or_name(
            spec,
            averages[order],
            population,
            [None if s is None else (s.name, s.action) for s in pinned],
        )
        segments = []
        for i, (name, description, action) in zip(order.tolist(), names, strict=True):
            segment_id = int(inherited[i])
            if segment_id not in survivors:
                segment_id, next_id = next_id, next_id + 1
            count = int((clustering.labels == i).sum())
            segments.append(
                Segment(
                    segment_id, name, description, action,
                    tuple(clustering.centres[i].tolist()), nullable(averages[i]),
                    count, count / len(panel.raw),
                )
            )  # fmt: skip
        vectors = scaling.apply(panel.transformed)
        silhouette, davies_bouldin = scores(vectors, clustering.labels, settings.seed)
        minute = (day + 1) * at.DAY_MINUTES
        kept_ids = {s.id for s in segments}
        gone = [s for s in before.segments if s.id not in kept_ids] if before else []
        return Model(
            number=before.number + 1 if before else 1,
            generation=before.generation + 1 if before else 1,
            revision=0,
            created_ms=minute * at.MINUTE_MS,
            minute=minute,
            generation_minute=minute,
            generation_reason=reason,
            spec_digest=spec.spec.digest,
            features=spec.spec.names,
            mean=tuple(scaling.mean.tolist()),
            weight=tuple(scaling.weight.tolist()),
            median=tuple(scaling.median.tolist()),
            population=nullable(population),
            segments=tuple(segments),
            retired=(*before.retired, *gone) if before else (),
            next_id=next_id,
            fit=Fit(
                k, settings.starts, settings.seed, len(panel.raw), clustering.sse, silhouette,
                davies_bouldin, curve,
            ),
            value_feature=value_feature(spec),
            panel_bits=bits,
            notices=scaling.notices,
        )  # fmt: skip

    # ---- a revision --------------------------------------------------------------------

    def _step(
        self,
        state: TrainerState,
        model: Model,
        totals: DayTotals,
        rows: PanelRows,
        panel: Panel,
    ) -> TrainerState:
        if self._settings.learner == "none" or not sum(totals.counts):
            return state
        centres = self._moved_centres(model, totals, rows)
        revised = revise(
            self._spec, model, centres, panel, totals.day, state.panel_bits,
            checks_names=state.checked_day == totals.day,
        )  # fmt: skip
        return msgspec.structs.replace(state, model=revised)

    def _moved_centres(self, model: Model, totals: DayTotals, rows: PanelRows) -> FloatArray:
        if self._settings.learner == "river":
            return self._river_centres(model, rows)
        learner = PopulationKMeans.from_centres(model.centres, self._settings.rate)
        learner.add_totals(np.array(totals.counts), np.array(totals.sums))
        learner.step()
        return learner.to_array()

    def _river_centres(self, model: Model, rows: PanelRows) -> FloatArray:
        """Let river's K-Means learn from the day's vectors at events, in their order."""
        traffic = rows.raw[rows.keys[:, at.P_EVENT] != at.NOT_AN_EVENT]
        scaling = scaling_of(model)
        river = river_kmeans(model.centres)
        for vector in scaling.apply(panel_vectors(self._spec, traffic)).tolist():
            river.learn_one(dict(enumerate(vector)))  # type: ignore[no-untyped-call]
        return river_centres(river, len(model.features))


def scaling_of(model: Model) -> Scaling:
    """Return the scaling that a model's generation froze."""
    return Scaling(np.array(model.mean), np.array(model.weight), np.array(model.median), ())


def match(old: IntArray, new: IntArray, k: int) -> IntArray:
    """Which old segment each new one continues, by customer overlap (Hungarian).

    Parameters
    ----------
    old, new : shape (n,), segment indices of the same panel members

    Returns
    -------
    array, shape (k,)
        Old index of each new segment, or -1 where neither side keeps most of its customers.

    Examples
    --------
    >>> match(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]), 2)
    array([1, 0])
    """
    overlap = np.zeros((k, k), dtype=np.int64)
    np.add.at(overlap, (new, old), 1)
    rows, columns = linear_sum_assignment(-overlap)
    heirs = np.full(k, -1, dtype=np.int64)
    for row, column in zip(rows, columns, strict=True):
        shared = overlap[row, column]
        smaller = max(1, min(overlap[row].sum(), overlap[:, column].sum()))
        if shared / smaller >= SURVIVAL_SHARE:
            heirs[row] = column
    return heirs


def revise(
    spec: CompiledSpec,
    model: Model,
    centres: FloatArray,
    panel: Panel,
    day: int,
    bits: int,
    checks_names: bool,
) -> Model:
    """Return the same generation with moved centres and fresh averages.

    Parameters
    ----------
    checks_names
        Whether a name that is no longer true is replaced.
    """
    scaling = scaling_of(model)
    clustering = assign(centres, scaling.apply(panel.transformed))
    population = _means(panel.raw)
    members = [panel.raw[clustering.labels == i] for i in range(len(model.segments))]
    averages = np.array(
        [
            _means(rows) if len(rows) else np.array(segment.average, dtype=np.float64)
            for rows, segment in zip(members, model.segments, strict=True)
        ]
    )
    pinned = [(s.name, s.action) for s in model.segments]
    names = (
        keep_or_name(spec, averages, population, pinned)
        if checks_names
        else [
            (n, describe(spec, a, population), act)
            for (n, act), a in zip(pinned, averages, strict=True)
        ]
    )
    segments = tuple(
        msgspec.structs.replace(
            segment,
            name=names[i][0],
            description=names[i][1],
            action=names[i][2],
            centre=tuple(centres[i].tolist()),
            average=nullable(averages[i]),
            customers=len(members[i]),
            share=len(members[i]) / max(1, len(panel.raw)),
        )
        for i, segment in enumerate(model.segments)
    )
    minute = (day + 1) * at.DAY_MINUTES
    return msgspec.structs.replace(
        model,
        number=model.number + 1,
        revision=model.revision + 1,
        created_ms=minute * at.MINUTE_MS,
        minute=minute,
        segments=segments,
        population=nullable(population),
        fit=msgspec.structs.replace(model.fit, wcss=clustering.sse, panel=len(panel.raw)),
        panel_bits=bits,
    )


def _means(raw: FloatArray) -> FloatArray:
    """Column means without what is missing; NaN where nobody has a value."""
    known = ~np.isnan(raw)
    counts = known.sum(axis=0)
    sums = np.where(known, raw, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def nullable(values: FloatArray) -> tuple[float | None, ...]:
    """Return NaN as None, which JSON can carry."""
    return tuple(None if np.isnan(v) else v for v in values.tolist())
