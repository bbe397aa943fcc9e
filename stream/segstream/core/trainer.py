"""The model's life, one step a day.

    close_day: collect the panel ► no model yet: one that a person made, or bootstrap when ready
                                 ► a command: roll back, promote, or check now
                                 ► a candidate of yesterday passes the gate: a new generation
                                 ► a check is due, or a detector calls one: ask for it
                                 ► one K-Means step: a revision

A check is asked for on one day, and its answer is needed when the next day closes: the shell has
a day of event time to compute it beside the stream (`segstream.core.refit.consider`).
"""

import math

import msgspec
import numpy as np

from segstream.core import refit
from segstream.core.brought import drawn
from segstream.core.choosing import after_check, after_refusal, calm, chooses
from segstream.core.clusterer import PopulationKMeans, river_centres, river_kmeans
from segstream.core.drift import calls, fresh_watch, observe
from segstream.core.fitting import assign, choose_k, fit_scaling, fresh, panel_vectors, quality_of
from segstream.core.generations import (
    Birth,
    new_generation,
    restored,
    revised,
    scaling_of,
    with_lineage,
)
from segstream.core.identity import continued, lineage, match, origin_of, original_ids
from segstream.core.importing import adopted
from segstream.core.layout import NOT_AN_EVENT, P_EVENT
from segstream.core.model import Model
from segstream.core.panel import Panel, collect_panel, thinned_bits
from segstream.core.partition import DayTotals, PanelRows
from segstream.core.playbook import Playbook
from segstream.core.refit import Asked, Frame, Living, Proposal
from segstream.core.spec import CompiledSpec, FloatArray, IntArray
from segstream.core.trainer_state import (
    DECISIONS_KEPT,
    Command,
    Decision,
    TrainerSettings,
    TrainerState,
    changed,
)
from segstream.errors import SourceError


class Trainer:
    """Pure: a state and a day's evidence in, a state and maybe a model out."""

    def __init__(self, spec: CompiledSpec, settings: TrainerSettings, playbook: Playbook) -> None:
        self._spec = spec
        self._settings = settings
        self._playbook = playbook

    def close_day(
        self, state: TrainerState, totals: DayTotals, rows: PanelRows, first_ms: int
    ) -> TrainerState:
        """Step to the next day.

        Parameters
        ----------
        state
            Where a check was asked for and `settle` was not called, it is computed here.
        first_ms
            Time of the first event ever, for the coverage of the longest window.

        Returns
        -------
        TrainerState
            With a new `model` where there is one to adopt at the next day's first instant.
        """
        if state.asked is not None:
            state = self.settle(state, refit.consider(state.asked))
        bits = thinned_bits(state.panel_bits, rows, self._settings.panel_size)
        state = changed(state, panel_bits=bits)
        panel, day = collect_panel(self._spec, rows, bits), totals.day
        if state.model is None:
            return self._bootstrap(state, day, panel, first_ms)
        return self._live(state, state.model, totals, rows, panel)

    def _live(
        self, state: TrainerState, model: Model, totals: DayTotals, rows: PanelRows, panel: Panel
    ) -> TrainerState:
        """A day of a model: another takes its place, or it is watched and moves a step."""
        day = totals.day
        state = self._commanded(state, model, day, panel)
        if state.model is model and state.candidate is not None:
            state = self._gate(state, model, state.candidate, day, panel)
        if state.model is not model:
            return state
        state = self._ask(self._observe(state, model, day, panel), model, day, panel)
        return self._step(state, model, totals, rows, panel)

    # ---- the first model ---------------------------------------------------------------

    def _bootstrap(
        self, state: TrainerState, day: int, panel: Panel, first_ms: int
    ) -> TrainerState:
        if state.commands and len(panel):
            command, state = state.commands[0], changed(state, commands=state.commands[1:])
            state, given = self._given(state, command, day, panel)
            if given is not None:
                state = changed(state, waiting="", first_day=day)
                return self._import(state, None, given, day, panel)
        waiting = self._waiting_for(day, panel, first_ms)
        if waiting:
            return changed(state, waiting=waiting)
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
        birth = Birth(
            day, "first", scaling, clustering, np.full(k, -1), settings.starts, settings.seed,
            quality_of(vectors, clustering, settings.seed), curve, state.panel_bits,
        )  # fmt: skip
        model, ids = new_generation(self._playbook, self._spec, None, birth, panel)
        state = changed(state, model=model, waiting="", first_day=day, checked_day=day)
        return self._begun(state, day, panel, ids)

    def _begun(self, state: TrainerState, day: int, panel: Panel, ids: IntArray) -> TrainerState:
        """Start watching under a new generation; the first window after the first model not yet."""
        filled = state.first_day + math.ceil(self._spec.longest_window_days)
        # While a drift is on, the lineage goes back to how the segments were before it.
        origin = origin_of(panel.hashes, ids) if state.k_due < 0 else state.origin
        return changed(
            state, refit_day=day, watch=fresh_watch(state.watch, max(day, filled)), origin=origin
        )

    def _waiting_for(self, day: int, panel: Panel, first_ms: int) -> str:
        if len(panel) < self._settings.min_panel:
            return f"{len(panel)} of {self._settings.min_panel} customers for a first model"
        covered = (day + 1) - first_ms / 86_400_000
        needed = self._spec.longest_window_days
        if self._settings.start == "covered" and covered < needed:
            return f"{covered:.0f} of {needed:g} days of events, to fill the longest window"
        if not fit_scaling(self._spec, panel.transformed).varies:
            return "a clustered feature that differs between customers"
        return ""

    # ---- commands ----------------------------------------------------------------------

    def _commanded(self, state: TrainerState, model: Model, day: int, panel: Panel) -> TrainerState:
        """Do the oldest command."""
        if not state.commands or not len(panel):
            return state
        command = state.commands[0]
        state = changed(state, commands=state.commands[1:])
        if command.kind == "rollback" and command.model is not None:
            again = restored(model, command.model, day, state.panel_bits)
            return self._roll_back(state, again, day, panel)
        if command.kind == "promote" and (command.model or command.brought) is not None:
            state, given = self._given(state, command, day, panel)
            return state if given is None else self._import(state, model, given, day, panel)
        if command.kind == "promote":
            refused = state.refused
            return self._promote(state, model, refused, day, panel) if refused else state
        k = command.k or len(model.segments)
        return self._asked(state, model, day, panel, "command", k, commanded=True)

    def _roll_back(self, state: TrainerState, model: Model, day: int, panel: Panel) -> TrainerState:
        ids = np.array([s.id for s in model.segments])
        labels = assign(model.centres, scaling_of(model).apply(panel.transformed)).labels
        decision = Decision(day, "rollback", "no", 0.0, 0.0, 0.0, version=model.version)
        state = changed(
            self._recorded(state, decision), model=model, checked_day=day, candidate=None
        )
        return self._begun(state, day, panel, ids[labels])

    def _given(
        self, state: TrainerState, command: Command, day: int, panel: Panel
    ) -> tuple[TrainerState, Model | None]:
        """Return the model that a person made, or makes of what a company brought.

        What cannot be made is a decision with an objection: nobody is there to be told.
        """
        if command.kind != "promote" or command.brought is None:
            return state, command.model if command.kind == "promote" else None
        try:
            seed = self._settings.seed
            return state, drawn(self._spec, command.brought, panel, day, seed)
        except SourceError as error:
            refused = Decision(day, "import", "no", 0.0, 0.0, 0.0, objection=str(error))
            return self._recorded(state, refused), None

    def _import(
        self, state: TrainerState, living: Model | None, given: Model, day: int, panel: Panel
    ) -> TrainerState:
        """Let a company's own model serve: as the first one, or as a new generation."""
        bits = state.panel_bits
        model, ids = adopted(self._playbook, self._spec, living, given, day, panel, bits)
        decision = Decision(day, "import", "no", 0.0, 0.0, 0.0, version=model.version)
        if living is not None:
            scaling = scaling_of(given)
            before = self._living(living, panel).seen_in(scaling, panel.transformed)
            after = assign(given.centres, scaling.apply(panel.transformed))
            moved, smallest = refit.price(before, after)
            descent = lineage(
                original_ids(state.origin, panel.hashes), ids, tuple(s.id for s in living.segments)
            )
            model = with_lineage(model, descent)
            decision = msgspec.structs.replace(
                decision, gain=refit.gain_over(before.sse, after.sse), moved=moved,
                smallest=smallest, lineage=descent,
            )  # fmt: skip
        state = changed(
            self._recorded(state, decision), model=model, checked_day=day, candidate=None,
            refused=None, k_due=-1,
        )  # fmt: skip
        return self._begun(state, day, panel, ids)

    # ---- a check -----------------------------------------------------------------------

    def _observe(self, state: TrainerState, model: Model, day: int, panel: Panel) -> TrainerState:
        if not len(panel):
            return state
        vectors = scaling_of(model).apply(panel.transformed)
        labels = assign(model.centres, vectors).labels
        distances = np.sqrt(((vectors - model.centres[labels]) ** 2).sum(axis=1))
        watch = observe(
            self._spec, self._settings.drift, state.watch, day, panel.transformed, labels,
            distances, len(model.segments),
        )  # fmt: skip
        return changed(state, watch=watch)

    def _ask(self, state: TrainerState, model: Model, day: int, panel: Panel) -> TrainerState:
        """Ask for a check where one is due or called for."""
        settings = self._settings
        busy = state.asked is not None or state.candidate is not None
        rests = day - state.refit_day < settings.cooldown_days
        if busy or rests or not settings.refit_days or len(panel) < len(model.segments):
            return state
        called = calls(settings.drift, state.watch, day)
        if called:
            watch = msgspec.structs.replace(state.watch, calls=(*state.watch.calls, day))
            state = changed(state, watch=watch)
        elif day - state.checked_day < settings.refit_days and not chooses(state, day):
            return state
        ids = np.array([s.id for s in model.segments])[self._living(model, panel).labels]
        state = changed(state, seen=origin_of(panel.hashes, ids))
        return self._asked(
            state, model, day, panel, called or "schedule", len(model.segments), commanded=False
        )

    def _asked(
        self, state: TrainerState, model: Model, day: int, panel: Panel, trigger: str, k: int,
        commanded: bool,
    ) -> TrainerState:  # fmt: skip
        settings = self._settings
        scaling = fit_scaling(self._spec, panel.transformed)
        if not scaling.varies:
            return changed(state, checked_day=day)
        vectors = scaling.apply(panel.transformed)
        needed, different = max(k, len(model.segments)), len(np.unique(vectors, axis=0))
        if different < needed:
            told = f"{needed} segments need as many customers that differ, and {different} do"
            refused = Decision(day, trigger, "no", 0.0, 0.0, 0.0, objection=told)
            return changed(self._recorded(state, refused), checked_day=day)
        living = self._living(model, panel).seen_in(scaling, panel.transformed)
        asked = Asked(
            Frame.of(scaling), vectors.tobytes(),
            living.centres.tobytes(), living.labels.tobytes(), day=day, trigger=trigger, k=k,
            chooses_k=not commanded and chooses(state, day), starts=settings.starts,
            seed=settings.seed, gate=settings.gate, commanded=commanded,
        )  # fmt: skip
        return changed(state, asked=asked, checked_day=day)

    @staticmethod
    def _living(model: Model, panel: Panel) -> Living:
        return Living.of(scaling_of(model), model.centres, panel.transformed)

    def settle(self, state: TrainerState, proposal: Proposal) -> TrainerState:
        """Take a check's answer."""
        p, asked = proposal, state.asked
        decision = Decision(
            p.day, p.trigger, "no", p.gain_warm, p.gain_fresh, p.moved, p.smallest,
            objection=p.objection,
        )  # fmt: skip
        state = self._recorded(state, decision)
        if state.k_due < 0 and calm(self._settings, decision) and state.seen.hashes:
            state = changed(state, origin=state.seen)
        window_days = self._spec.longest_window_days
        state = after_check(state, self._settings, window_days, asked, proposal)
        return changed(state, asked=None, candidate=proposal if proposal.kind else None)

    def _recorded(self, state: TrainerState, decision: Decision) -> TrainerState:
        return changed(state, decisions=(*state.decisions, decision)[-DECISIONS_KEPT:])

    # ---- a new generation --------------------------------------------------------------

    def _gate(
        self, state: TrainerState, model: Model, proposal: Proposal, day: int, panel: Panel
    ) -> TrainerState:
        """Score a candidate on a panel it has not seen, and let it serve or refuse it."""
        if len(panel) < len(proposal.centres):
            return state
        scaling = proposal.frame.scaling
        living = self._living(model, panel).seen_in(scaling, panel.transformed)
        candidate = assign(np.array(proposal.centres), scaling.apply(panel.transformed))
        k_old, k_new = len(living.centres), len(candidate.centres)
        gain = refit.gain_over(living.sse * refit.fair(proposal.curve, k_old, k_new), candidate.sse)
        moved, smallest = refit.price(living, candidate)
        objection = self._settings.gate.objection(gain, moved, smallest, k_new < k_old)
        decision = msgspec.structs.replace(
            state.decisions[-1], gain=gain, moved=moved, smallest=smallest,
            objection="" if proposal.commanded else objection,
        )  # fmt: skip
        state = changed(state, candidate=None, decisions=(*state.decisions[:-1], decision))
        if decision.objection:
            state = after_refusal(state, self._settings) if k_new != k_old else state
            return changed(state, refused=proposal)
        promoted = self._promote(state, model, proposal, day, panel)
        # A refit that is worth more must not wait for one that few customers noticed.
        upkeep = self._settings.gate.is_upkeep(gain, moved)
        return changed(promoted, refit_day=state.refit_day) if upkeep else promoted

    def _promote(
        self, state: TrainerState, model: Model, proposal: Proposal, day: int, panel: Panel
    ) -> TrainerState:
        """Let a candidate serve, with the ids of the segments it continues."""
        spec, scaling = self._spec, proposal.frame.scaling
        candidate = assign(np.array(proposal.centres), scaling.apply(panel.transformed))
        before = original_ids(state.origin, panel.hashes)
        old = continued(before, self._living(model, panel).labels, [x.id for x in model.segments])
        known = old >= 0
        heirs = match(
            old[known], candidate.labels[known], len(model.segments), len(candidate.centres)
        )
        birth = Birth(
            day, "recluster", scaling, candidate, heirs, self._settings.starts,
            self._settings.seed, proposal.quality, proposal.curve or model.fit.curve,
            state.panel_bits,
        )  # fmt: skip
        successor, ids = new_generation(self._playbook, spec, model, birth, panel)
        descent = lineage(before, ids, tuple(s.id for s in model.segments))
        successor = with_lineage(successor, descent)
        decisions = tuple(
            msgspec.structs.replace(
                d, taken=proposal.kind, version=successor.version, lineage=descent
            )
            if d.day == proposal.day and not d.version
            else d
            for d in state.decisions
        )
        state = changed(state, model=successor, candidate=None, refused=None, decisions=decisions)
        return self._begun(state, day, panel, ids)

    # ---- a revision --------------------------------------------------------------------

    def _step(
        self, state: TrainerState, model: Model, totals: DayTotals, rows: PanelRows, panel: Panel
    ) -> TrainerState:
        if self._settings.learner == "none" or not sum(totals.counts):
            return state
        centres = self._moved_centres(model, totals, rows)
        renames = state.checked_day == totals.day
        revision = revised(
            self._playbook, self._spec, model, centres, panel, totals.day, state.panel_bits, renames
        )
        return changed(state, model=revision)

    def _moved_centres(self, model: Model, totals: DayTotals, rows: PanelRows) -> FloatArray:
        if self._settings.learner == "river":
            return self._river_centres(model, rows)
        learner = PopulationKMeans.from_centres(model.centres, self._settings.rate)
        learner.add_totals(np.array(totals.counts), np.array(totals.sums))
        learner.step()
        return learner.to_array()

    def _river_centres(self, model: Model, rows: PanelRows) -> FloatArray:
        """Let river's K-Means learn from the day's vectors at events, in their order."""
        traffic = rows.raw[rows.keys[:, P_EVENT] != NOT_AN_EVENT]
        river = river_kmeans(model.centres)
        vectors = scaling_of(model).apply(panel_vectors(self._spec, traffic))
        for vector in vectors.tolist():
            river.learn_one(dict(enumerate(vector)))  # type: ignore[no-untyped-call]
        return river_centres(river, len(model.features))
