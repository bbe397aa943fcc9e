"""Models as people and programs read them: tables, sentences, JSON."""

from collections.abc import Sequence

from rich.table import Table

from segstream.core import layout as at
from segstream.core.comparing import Compared
from segstream.core.history import HistoryRow
from segstream.core.model import Model
from segstream.core.portrait import quantity
from segstream.core.spec import CompiledSpec
from segstream.core.trainer_state import Decision
from segstream.model_words import command_words, decision_of, iso_day
from segstream.ports import Standing


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _figure(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


# ---- list ------------------------------------------------------------------------------


def list_table(rows: Sequence[HistoryRow], models: Sequence[Model]) -> Table:
    """One line per model or refused candidate."""
    table = Table(box=None, pad_edge=False)
    for name in ("version", "from", "reason"):
        table.add_column(name, no_wrap=True)
    for name in ("segments", "customers", "wcss", "silhouette"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("trigger", overflow="fold")
    for name in ("gain", "moved"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        serves = bool(models) and row.last == models[-1].version
        version = f"{row.version} to {row.last}" if row.last != row.version else row.version
        table.add_row(
            f"[bold]{version}[/]" if serves else version or "-",
            iso_day(row.day),
            row.reason,
            "" if row.segments is None else str(row.segments),
            "" if row.customers is None else f"{row.customers:,}",
            _figure(row.wcss, 0),
            _figure(row.silhouette, 2),
            row.trigger,
            _percent(row.gain),
            _percent(row.moved),
        )
    return table


def standing_words(models: Sequence[Model], standing: Standing) -> list[str]:
    """What serves, what was checked last, what waits."""
    trainer = standing.trainer
    lines = [f"{models[-1].version} serves." if models else f"No model yet: {trainer.waiting}."]
    checks = [d for d in trainer.decisions if d.trigger not in ("rollback", "import")]
    if checks:
        last = checks[-1]
        best = max(last.gain_warm, last.gain_fresh)
        lines.append(
            f"{len(checks)} checks so far; the last on {iso_day(last.day)} won {best:.1%}"
            f"{f': {last.objection}' if last.objection else ''}."
        )
    if trainer.refused is not None:
        lines.append(
            f"The candidate of {iso_day(trainer.refused.day)} was refused; "
            "`segstream models promote` lets it serve."
        )
    if trainer.candidate is not None:
        lines.append(f"A candidate is scored when {iso_day(standing.open_day)} (UTC) closes.")
    for number, command in enumerate(trainer.commands):
        day = iso_day(standing.open_day + number)
        lines.append(f"Waiting: {command_words(command)}, when {day} (UTC) closes.")
    return lines


def refused_words(rows: Sequence[HistoryRow]) -> list[str]:
    """Why candidates do not serve."""
    return [f"Refused on {iso_day(row.day)}: {row.objection}." for row in rows if row.objection]


# ---- show ------------------------------------------------------------------------------


def model_words(model: Model, serves: bool, decisions: Sequence[Decision]) -> list[str]:
    """What a model is, and how good it was when it was fitted."""
    decision = decision_of(model, decisions)
    fit = model.fit
    what = f"restores generation {model.restores}" if model.restores >= 0 else ""
    trigger = f"trigger: {decision.trigger}" if decision else ""
    of_generation = "; ".join(filter(None, (what, trigger)))
    day = iso_day(model.minute // at.DAY_MINUTES)
    begun = iso_day(model.generation_minute // at.DAY_MINUTES)
    since = f"generation {model.generation} ({model.generation_reason}) since {begun}"
    scores = (
        ("silhouette", fit.silhouette), ("Davies-Bouldin", fit.davies_bouldin),
        ("prediction strength", fit.prediction_strength),
    )  # fmt: skip
    told = ", ".join(f"{name} {_or_unknown(score)}" for name, score in scores)
    lines = [
        f"[bold]{model.version}[/]{' serves' if serves else ''}, from {day} (UTC)",
        f"{since}: {of_generation}" if of_generation else since,
        f"quality: {told}; WCSS {fit.wcss:,.0f} of {fit.panel:,} customers",
    ]
    return [*lines, *(f"notice: {notice}" for notice in model.notices)]


def _or_unknown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def segments_table(model: Model, spec: CompiledSpec) -> Table:
    """Features down, segments across: averages in real units."""
    table = Table(box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    for segment in model.segments:
        table.add_column(f"{segment.id} {segment.name}", justify="right", overflow="fold")
    table.add_column("all customers", justify="right", overflow="fold")
    table.add_row(
        "share", *(f"{s.share:.1%}" for s in model.segments), f"{model.fit.panel:,} customers"
    )
    for j, feature in enumerate(spec.spec.features):
        row = [quantity(s.average[j], feature.unit) for s in model.segments]
        table.add_row(spec.describe(feature), *row, quantity(model.population[j], feature.unit))
    return table


# ---- diff ------------------------------------------------------------------------------


def diff_table(then: Model, now: Model, compared: Sequence[Compared], spec: CompiledSpec) -> Table:
    """One line per segment of either model."""
    features = {f.name: f for f in spec.spec.features}
    table = Table(box=None, pad_edge=False)
    table.add_column("id", justify="right")
    table.add_column("became", overflow="fold")
    table.add_column("name", overflow="fold")
    table.add_column(then.version, justify="right", no_wrap=True)
    table.add_column(now.version, justify="right", no_wrap=True)
    table.add_column("what changed most", overflow="fold")
    for c in compared:
        renamed = c.name_then and c.name_now and c.name_then != c.name_now
        name = f"{c.name_then} → {c.name_now}" if renamed else c.name_now or c.name_then or ""
        shifts = "; ".join(
            f"{spec.describe(features[s.feature])} {quantity(s.then, features[s.feature].unit)} → "
            f"{quantity(s.now, features[s.feature].unit)}"
            for s in c.shifts
        )
        table.add_row(
            str(c.segment), _became(c), name, _percent(c.share_then), _percent(c.share_now), shifts
        )
    return table


def _became(compared: Compared) -> str:
    others = " and ".join(map(str, compared.parents))
    if compared.became in ("survived", "returned") or not others:
        return compared.became
    return f"{compared.became} {'into' if compared.became == 'retired' else 'from'} {others}"
