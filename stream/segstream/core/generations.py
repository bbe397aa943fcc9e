"""Making models: a new generation, its next revision, an earlier one restored."""

from collections.abc import Sequence

import msgspec
import numpy as np

from segstream.core import layout as at
from segstream.core.fitting import Clustering, Quality, Scaling, assign
from segstream.core.identity import Descent
from segstream.core.model import Fit, Model, ModelReason, Segment
from segstream.core.panel import Panel, means, nullable
from segstream.core.playbook import Label, Playbook, describe_anew, name_segments
from segstream.core.portrait import Figures, quintiles_of, value_feature
from segstream.core.spec import CompiledSpec, FloatArray, IntArray


def scaling_of(model: Model) -> Scaling:
    """Return the scaling that a model's generation froze."""
    return Scaling(np.array(model.mean), np.array(model.weight), np.array(model.median), ())


def portrayed(
    playbook: Playbook,
    spec: CompiledSpec,
    clustering: Clustering,
    raw: FloatArray,
    pinned: Sequence[Segment],
    renames: bool,
) -> tuple[Segment, ...]:
    """Segments of a clustering, with their figures in real units, and names.

    Parameters
    ----------
    raw : shape (n, F), the clustering's members in real units
    pinned
        One per centre: who it continues; without a name where it is new.
    renames
        Whether a name that is no longer true is replaced.
    """
    population = means(raw)
    members = [raw[clustering.labels == i] for i in range(len(clustering.centres))]
    averages = np.array(
        [
            means(rows) if len(rows) else np.array(segment.average, dtype=np.float64)
            for rows, segment in zip(members, pinned, strict=True)
        ]
    )
    figures = Figures(averages, population, quintiles_of(raw))
    had = [Label(s.name, s.description, s.action, s.actions) for s in pinned]
    labels = (
        name_segments(
            playbook,
            spec,
            figures,
            [label if label.name else None for label in had],
            [i for i, s in enumerate(pinned) if s.named_by_owner],
        )
        if renames
        else describe_anew(playbook, spec, figures, had)
    )
    return tuple(
        msgspec.structs.replace(
            segment,
            name=label.name,
            description=label.description,
            action=label.strategy,
            actions=label.actions,
            centre=tuple(centre),
            average=nullable(average),
            customers=len(rows),
            share=len(rows) / max(1, len(raw)),
        )
        for segment, label, centre, average, rows in zip(
            pinned, labels, clustering.centres.tolist(), averages, members, strict=True
        )
    )


def unnamed(segment_id: int, n_features: int) -> Segment:
    """Return a segment that is only an id so far."""
    return Segment(segment_id, "", "", "", (), (None,) * n_features, 0, 0.0)


class Birth(msgspec.Struct, frozen=True):
    """What a new generation is made of.

    Attributes
    ----------
    heirs : shape (k,)
        Row of the former model's segment that each centre continues, else -1.
    owned
        A segment per centre where a person gave names; empty where the playbook gives them.
    """

    day: int
    reason: ModelReason
    scaling: Scaling
    clustering: Clustering
    heirs: IntArray
    starts: int
    seed: int
    quality: Quality
    curve: dict[int, float]
    panel_bits: int
    owned: tuple[Segment, ...] = ()


def new_generation(
    playbook: Playbook, spec: CompiledSpec, before: Model | None, birth: Birth, panel: Panel
) -> tuple[Model, IntArray]:
    """Make the first model of a generation.

    Returns
    -------
    model
        Segments in the order of their customers' mean spend, the highest first.
    labels : shape (n,)
        Segment id of each panel member.
    """
    order, clustering = _by_value(spec, birth.clustering, panel.raw)
    living = before.segments if before else ()
    next_id = before.next_id if before else 1
    pinned = []
    for row in order.tolist():
        heir = int(birth.heirs[row])
        segment = living[heir] if heir >= 0 else unnamed(next_id, spec.n_features)
        next_id += heir < 0
        pinned.append(_owned(segment, birth.owned[row]) if birth.owned else segment)
    segments = portrayed(playbook, spec, clustering, panel.raw, pinned, renames=True)
    kept = {s.id for s in segments}
    gone = tuple(s for s in living if s.id not in kept)
    quality = birth.quality
    minute = (birth.day + 1) * at.DAY_MINUTES
    model = Model(
        number=before.number + 1 if before else 1,
        generation=before.generation + 1 if before else 1,
        revision=0,
        created_ms=minute * at.MINUTE_MS,
        minute=minute,
        generation_minute=minute,
        generation_reason=birth.reason,
        spec_digest=spec.spec.digest,
        features=spec.spec.names,
        mean=tuple(birth.scaling.mean.tolist()),
        weight=tuple(birth.scaling.weight.tolist()),
        median=tuple(birth.scaling.median.tolist()),
        population=nullable(means(panel.raw)),
        segments=segments,
        retired=(*before.retired, *gone) if before else (),
        next_id=next_id,
        fit=Fit(
            len(segments), birth.starts, birth.seed, len(panel), clustering.sse,
            quality.silhouette, quality.davies_bouldin, birth.curve, quality.prediction_strength,
        ),
        value_feature=value_feature(spec),
        panel_bits=birth.panel_bits,
        notices=birth.scaling.notices,
    )  # fmt: skip
    return model, np.array([s.id for s in segments])[clustering.labels]


def _owned(segment: Segment, given: Segment) -> Segment:
    """Keep the id, and take what a person says of it."""
    return msgspec.structs.replace(
        segment, name=given.name, action=given.action, actions=given.actions,
        average=given.average, named_by_owner=True,
    )  # fmt: skip


def _by_value(
    spec: CompiledSpec, clustering: Clustering, raw: FloatArray
) -> tuple[IntArray, Clustering]:
    """Sort segments by their members' mean spend; an empty one comes last."""
    k = len(clustering.centres)
    spend = np.array([means(raw[clustering.labels == i])[value_feature(spec)] for i in range(k)])
    order = np.argsort(-np.nan_to_num(spend, nan=-np.inf), kind="stable")
    place = np.empty(k, dtype=np.int64)
    place[order] = np.arange(k)
    return order, Clustering(
        np.ascontiguousarray(clustering.centres[order]), place[clustering.labels], clustering.sse
    )


def with_lineage(model: Model, lineage: tuple[Descent, ...]) -> Model:
    """Note where the segments come from."""
    return msgspec.structs.replace(model, lineage=lineage)


def revised(
    playbook: Playbook, spec: CompiledSpec, model: Model, centres: FloatArray, panel: Panel,
    day: int, bits: int, renames: bool,
) -> Model:  # fmt: skip
    """Return the same generation with moved centres and fresh averages."""
    clustering = assign(centres, scaling_of(model).apply(panel.transformed))
    minute = (day + 1) * at.DAY_MINUTES
    return msgspec.structs.replace(
        model,
        number=model.number + 1,
        revision=model.revision + 1,
        created_ms=minute * at.MINUTE_MS,
        minute=minute,
        segments=portrayed(playbook, spec, clustering, panel.raw, model.segments, renames),
        population=nullable(means(panel.raw)),
        fit=msgspec.structs.replace(model.fit, wcss=clustering.sse, panel=len(panel)),
        panel_bits=bits,
    )


def restored(living: Model, target: Model, day: int, bits: int) -> Model:
    """Make the target serve again, as a new generation; ids stay what they were.

    Raises
    ------
    ConfigError
        The target was made with another feature spec.
    """
    from segstream.errors import ConfigError

    if target.spec_digest != living.spec_digest:
        raise ConfigError(
            f"rollback: expected a model of feature spec {living.spec_digest}, got "
            f"{target.version} of {target.spec_digest}; choose a later one"
        )
    kept = {s.id for s in target.segments}
    gone = {s.id: s for s in (*living.retired, *target.retired, *living.segments)}
    minute = (day + 1) * at.DAY_MINUTES
    return msgspec.structs.replace(
        target,
        number=living.number + 1,
        generation=living.generation + 1,
        revision=0,
        created_ms=minute * at.MINUTE_MS,
        minute=minute,
        generation_minute=minute,
        generation_reason="rollback",
        retired=tuple(s for i, s in gone.items() if i not in kept),
        next_id=max(living.next_id, target.next_id),
        panel_bits=bits,
        lineage=(),
        restores=target.generation,
    )
