"""River as it is used out of the box, on the same stream: one scaler, one K-Means, every event.

Its start is better than its own: when the engine makes its first model, the centres are fitted
on every customer's latest vector, in the scaler's units of that moment.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from river import preprocessing

from benchmarks.agreement import Agreement, agree
from benchmarks.feeds import Replay
from benchmarks.figures import batch_of, clustered
from benchmarks.streaming import DAY_MS, Streamed
from segstream.core import layout as at
from segstream.core.changes import ChangeEncoder
from segstream.core.clusterer import river_centres, river_kmeans
from segstream.core.columns import ColumnBuilder
from segstream.core.fitting import fresh
from segstream.core.partition import Partition
from segstream.core.spec import FloatArray, IntArray
from segstream.core.vectors import nearest_rows, transform_rows
from segstream.report.stability import UNDONE_DAYS, YEAR_DAYS
from segstream.settings import policy_of
from segstream.view import View

HALFLIFE: Final = 0.5
"""River's default: the share of the way one vector pulls its centre."""


@dataclass(frozen=True, slots=True)
class RiverFigures:
    """What river's labels give; it knows no time, so nobody ever drops by silence."""

    halflife: float
    nearest: Agreement
    published: Agreement
    off_nearest: float
    largest: float
    changes_per_year: float
    changed_events: float
    undone_share: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Every customer's vector at each of its events, in the order of the stream.

    Attributes
    ----------
    slot : shape (n,)
    time_ms : shape (n,), to the hour
    vectors : shape (n, F), transformed clustered features
    """

    slot: IntArray
    time_ms: IntArray
    vectors: FloatArray


def traffic_of(replay: Replay, view: View) -> Traffic:
    """Take the vectors out of the engine's own kernel; they do not depend on the model."""
    settings, model = view.settings, view.model
    partition = Partition(
        view.spec,
        policy_of(settings)._replace(observe_events=1, sweep_minutes=1440),
        ColumnBuilder(view.spec, None, round(settings.clock.max_jump_days * DAY_MS)),
        ChangeEncoder(settings.namespace, view.spec.spec.names),
        b"",
    )
    if model is None:
        raise RuntimeError("expected a model at the end of the stream, got none")
    partition.adopt(model)
    keys, raw = [], []
    position = 0
    while (chunk := replay.read(position, 0)) is not None:
        position += len(chunk.payloads)
        partition.stage(chunk.parsed)
        while not partition.run():
            partition.open_day()
        rows = partition.take().panel
        events = rows.keys[:, at.P_EVENT] != at.NOT_AN_EVENT
        keys.append(rows.keys[events])
        raw.append(rows.raw[events])
    every = np.concatenate(keys)
    transformed = transform_rows(view.spec.arrays, np.ascontiguousarray(np.concatenate(raw)))
    return Traffic(
        every[:, at.P_SLOT],
        every[:, at.P_HOUR] * at.HOUR_MS,
        np.ascontiguousarray(transformed[:, view.spec.clustered]),
    )


def run_river(traffic: Traffic, streamed: Streamed, halflife: float = HALFLIFE) -> RiverFigures:
    """Learn and label event by event."""
    view = streamed.view
    first_ms = view.models[0].minute * at.MINUTE_MS
    k = len(view.models[-1].segments)
    scaler: Any = preprocessing.StandardScaler()
    start = int(np.searchsorted(traffic.time_ms, first_ms))
    for x in _mappings(traffic.vectors[:start]):
        scaler.learn_one(x)
    latest = {slot: i for i, slot in enumerate(traffic.slot[:start].tolist())}
    seeds = _scaled(scaler, traffic.vectors[sorted(latest.values())])
    kmeans: Any = river_kmeans(fresh(seeds, k, 10, view.settings.model.seed).centres, halflife)
    labels = []
    for x in _mappings(traffic.vectors[start:]):
        scaler.learn_one(x)
        scaled = scaler.transform_one(x)
        kmeans.learn_one(scaled)
        labels.append(kmeans.predict_one(scaled))
    labelled = Traffic(traffic.slot[start:], traffic.time_ms[start:], traffic.vectors[:0])
    return _figures(labelled, np.array(labels, dtype=np.int64), view, scaler, kmeans, halflife)


def _figures(
    traffic: Traffic,
    labels: IntArray,
    view: View,
    scaler: Any,
    kmeans: Any,
    halflife: float,
) -> RiverFigures:
    transformed, _ = clustered(view)
    batch = batch_of(view, kmeans.n_clusters)
    centres = river_centres(kmeans, transformed.shape[1])
    nearest, _ = nearest_rows(centres, _scaled(scaler, transformed))
    slots = view.customers["slot"].to_numpy(dtype=np.int64)
    last = np.full(int(max(slots.max(), traffic.slot.max())) + 1, -1, dtype=np.int64)
    last[traffic.slot] = labels
    published = np.where(last[slots] >= 0, last[slots], nearest)
    in_batch = batch.scale(_unscaled(scaler, centres))
    changed, back = moves_and_returns(traffic.slot, traffic.time_ms, labels)
    years = _customer_years(traffic, view)
    judged = changed & (traffic.time_ms + UNDONE_DAYS * DAY_MS <= view.partition.clock_ms)
    return RiverFigures(
        halflife=halflife,
        nearest=agree(batch, in_batch, nearest),
        published=agree(batch, in_batch, published),
        off_nearest=float((published != nearest).mean()),
        largest=float(np.bincount(published).max() / len(published)),
        changes_per_year=float(changed.sum() / years),
        changed_events=float(changed.mean()),
        undone_share=float(back[judged].mean()) if judged.any() else 0.0,
    )


def moves_and_returns(
    slot: IntArray, time_ms: IntArray, labels: IntArray
) -> tuple["np.typing.NDArray[np.bool_]", "np.typing.NDArray[np.bool_]"]:
    """Which events change their customer's label, and which of these are undone in 28 days."""
    changed = np.zeros(len(slot), dtype=bool)
    back = np.zeros(len(slot), dtype=bool)
    now: dict[int, int] = {}
    left: dict[tuple[int, int], list[int]] = {}
    for i, (who, to) in enumerate(zip(slot.tolist(), labels.tolist(), strict=True)):
        before = now.get(who, to)
        now[who] = to
        if before == to:
            continue
        changed[i] = True
        for earlier in left.pop((who, to), []):
            back[earlier] = time_ms[i] - time_ms[earlier] <= UNDONE_DAYS * DAY_MS
        left.setdefault((who, before), []).append(i)
    return changed, back


def _customer_years(traffic: Traffic, view: View) -> float:
    _, first = np.unique(traffic.slot, return_index=True)
    days = (view.partition.clock_ms - traffic.time_ms[first]).sum() / DAY_MS
    return float(days / YEAR_DAYS)


def _mappings(vectors: FloatArray) -> "list[dict[int, float]]":
    return [dict(enumerate(row)) for row in vectors.tolist()]


def _scaled(scaler: Any, vectors: FloatArray) -> FloatArray:
    """River's own scaling of rows; what never varied in the traffic becomes 0."""
    rows = [scaler.transform_one(x) for x in _mappings(vectors)]
    return np.array([[x[j] for j in range(vectors.shape[1])] for x in rows])


def _unscaled(scaler: Any, scaled: FloatArray) -> FloatArray:
    width = scaled.shape[1]
    mean = np.array([scaler.means[j] for j in range(width)])
    variance: FloatArray = np.array([scaler.vars[j] for j in range(width)])
    unscaled: FloatArray = scaled * np.sqrt(variance) + mean
    return unscaled
