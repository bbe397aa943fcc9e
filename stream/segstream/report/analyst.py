"""The folded part of the page: how the segments were made, for those who want to check."""

import msgspec

from segstream.core.spec import Feature
from segstream.report.analyst_figures import (
    component_titles,
    elbow_figure,
    map_figure,
    silhouette_figure,
)
from segstream.report.facts import Facts, Summary
from segstream.report.markup import dot, figure, note, table, text
from segstream.report.model_facts import ModelFacts
from segstream.report.tree_figures import nearest_text, tree_figure
from segstream.report.wording import k_text
from segstream.report.words import Words, number, percent


def analyst_part(facts: Facts, words: Words) -> str:
    """Return the fold; empty before the first model."""
    model, maps = facts.summary.model, facts.tables.maps
    if model is None:
        return ""
    parts = [f"<h3>The model</h3><p>{text(model.says)}</p>", _model(facts.summary, model)]
    if maps is not None:
        tables = facts.tables
        across, up = component_titles(maps.explained)
        titles = (across, up)
        parts += [
            f"<h3>Map of the {text(words.customers)}</h3>",
            note(f"Each dot a {words.customer}, on the two directions in which they differ most."),
            figure("map", map_figure(maps.points, titles, tables.names, tables.colours)),
            "<h3>Elbow</h3>",
            figure("elbow", elbow_figure(maps.elbow, model.k)) if len(maps.elbow) else "",
            "<h3>Silhouette by segment</h3>",
            _silhouette(facts),
            *_tree(facts),
        ]
    parts += ["<h3>Averages by segment</h3>", _averages(facts, words)]
    parts += ["<h3>Feature spec</h3>", _features(facts), "<h3>Refit checks</h3>", _decisions(facts)]
    return f"<details><summary>For analysts</summary>{''.join(parts)}</details>"


def _silhouette(facts: Facts) -> str:
    maps, tables = facts.tables.maps, facts.tables
    if maps is None or maps.silhouettes.empty:
        return note("There is one segment, so nothing to compare it with.")
    return figure("silhouette", silhouette_figure(maps.silhouettes, tables.names, tables.colours))


def _tree(facts: Facts) -> list[str]:
    maps, tables = facts.tables.maps, facts.tables
    if maps is None or not maps.tree:
        return []
    return [
        "<h3>Tree of the segments</h3>",
        note(nearest_text(maps.tree, tables.names)),
        figure("tree", tree_figure(maps.tree, tables.names, tables.colours)),
    ]


def _model(summary: Summary, m: ModelFacts) -> str:
    rows = [
        ("number of segments", k_text(summary)),
        ("starts, seed", f"{m.starts}, {m.seed}"),
        ("version", f"{m.version} (generation.revision) of {m.created}; {m.models:,} so far"),
        ("within-cluster sum of squares", f"{m.wcss:,.1f} over {m.customers:,}, scaled units"),
        ("silhouette", _score(m.silhouette)),
        ("Davies-Bouldin", _score(m.davies_bouldin)),
        ("prediction strength", _score(m.prediction_strength)),
        ("not in the nearest segment", f"{percent(m.off_nearest)} (held back by the margin)"),
        ("refits", f"{m.refits} out of {m.refit_checks} checks"),
        *(("notice", n) for n in m.notices),
    ]
    return table(("", ""), [(text(k), text(v)) for k, v in rows])


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _averages(facts: Facts, words: Words) -> str:
    features = facts.tables.features
    head = ["segment", *(f.label or f.name.replace("_", " ") for f in features)]
    rows = [
        [
            f'<span class="whole">{dot(s.colour, s.name)}</span>',
            *(text(words.value(s.averages[f.name], f.unit)) for f in features),
        ]
        for s in facts.summary.segments
    ]
    return table(head, rows, numbers=range(1, len(head)))


def _features(facts: Facts) -> str:
    rows = [
        (f"<code>{text(f.name)}</code>", text(f.kind), text(_of(f)), text(_window(f)),
         text(_shape(f)), "yes" if f.use == "cluster" else "shown only")
        for f in facts.tables.features
    ]  # fmt: skip
    return table(("feature", "kind", "of", "window", "transform", "shapes segments"), rows)


def _of(feature: Feature) -> str:
    measure = feature.measure or feature.attribute or ""
    return f"{measure} per {feature.per}" if feature.per else measure


def _window(feature: Feature) -> str:
    return "lifetime" if feature.window_days is None else f"{number(feature.window_days)} days"


def _shape(feature: Feature) -> str:
    """Transform, and every other number that is not the default."""
    numbers = [
        f"{field.name} {getattr(feature, field.name):g}"
        for field in msgspec.structs.fields(feature)
        if isinstance(field.default, float) and getattr(feature, field.name) != field.default
    ]
    return ", ".join([feature.transform, *numbers])


def _decisions(facts: Facts) -> str:
    frame = facts.tables.decisions
    if frame.empty:
        return note("None yet.")
    rows = [[text(cell) for cell in row] for row in frame.itertuples(index=False)]
    return table([str(c) for c in frame.columns], rows, (3, 4, 5, 6), "tall") + note(
        "Each week, or when a detector calls, the panel is fitted anew, from the living centres "
        "and from new starts. A fit that is enough better serves from the next day on, if it still "
        "is then and moves no more customers than its gain is worth. Would move: the share in "
        "another segment then."
    )
