"""A model: the segments, what they look like, and the frozen scaling behind them."""

from typing import Final, Literal

import msgspec
import numpy as np

from segstream.core.identity import Descent
from segstream.core.layout import ModelArrays
from segstream.core.spec import CompiledSpec, FloatArray

ModelReason = Literal["first", "model", "recluster", "rollback"]


class Segment(msgspec.Struct, frozen=True):
    """One segment of a model.

    Attributes
    ----------
    id
        Never reused for another segment.
    centre
        Shape (F,), scaled units of the model; what customers are compared with.
    average
        Shape (F,), real units: means over the panel's members; NaN (null) where nobody has it.
    customers
        Panel members nearest to the centre.
    share
        Of the panel, 0 to 1.
    action
        The strategy: one sentence of the playbook.
    actions
        Next best actions of the playbook, the first first.
    named_by_owner
        Whether a person gave the name: then the playbook never replaces it.
    """

    id: int
    name: str
    description: str
    action: str
    centre: tuple[float, ...]
    average: tuple[float | None, ...]
    customers: int
    share: float
    actions: tuple[str, ...] = ()
    named_by_owner: bool = False

    @property
    def strategy(self) -> str:
        """What to aim at: `action` under the playbook's word for it."""
        return self.action


class Fit(msgspec.Struct, frozen=True):
    """How good the fit was, computed on the model that is served.

    Attributes
    ----------
    k, starts, seed
        What was fitted.
    wcss
        Within-cluster sum of squares over the panel, scaled units.
    silhouette, davies_bouldin, prediction_strength
        Of the panel when the generation was fitted; see `segstream.core.fitting.Quality`.
    curve
        WCSS for each k tried, for the elbow.
    """

    k: int
    starts: int
    seed: int
    panel: int
    wcss: float
    silhouette: float | None
    davies_bouldin: float | None
    curve: dict[int, float] = {}
    prediction_strength: float | None = None


class Model(msgspec.Struct, frozen=True):
    """Everything needed to put a vector into a segment and to say why.

    Attributes
    ----------
    number
        Counts every model of the namespace, from 1.
    generation, revision
        A generation keeps its scaling; a revision only moves its centres.
    created_ms
        Event time at which it was made.
    minute, generation_minute
        Instants (minutes since 1970) at which model and generation were adopted.
    generation_reason
        Why its generation changes segments.
    mean, weight, median
        Shape (F,): scaled = (transformed - mean) * weight; the median fills what is missing.
    population
        Shape (F,), real units: means over the whole panel.
    retired
        Segments of earlier generations, for names in old changes.
    panel_bits
        Leading zero bits of a panel member's hash.
    lineage
        What became of the former generation's segments.
    restores
        Generation whose segments a rollback gives back; -1 for none.
    """

    number: int
    generation: int
    revision: int
    created_ms: int
    minute: int
    generation_minute: int
    generation_reason: ModelReason
    spec_digest: str
    features: tuple[str, ...]
    mean: tuple[float, ...]
    weight: tuple[float, ...]
    median: tuple[float, ...]
    population: tuple[float | None, ...]
    segments: tuple[Segment, ...]
    retired: tuple[Segment, ...]
    next_id: int
    fit: Fit
    value_feature: int
    panel_bits: int = 0
    notices: tuple[str, ...] = ()
    lineage: tuple[Descent, ...] = ()
    restores: int = -1

    @property
    def version(self) -> str:
        """Generation and revision, for people and for the cause of a change."""
        return f"{self.generation}.{self.revision}"

    @property
    def centres(self) -> FloatArray:
        """Shape (k, F), scaled units, row order = segment index."""
        return np.array([s.centre for s in self.segments], dtype=np.float64)

    def segment(self, segment_id: int) -> Segment | None:
        """Return a segment, living or retired."""
        for segment in (*self.segments, *self.retired):
            if segment.id == segment_id:
                return segment
        return None

    def value(self, segment_id: int) -> float:
        """Mean spend of a segment's members, the order that `direction` speaks of."""
        segment = self.segment(segment_id)
        return (segment.average[self.value_feature] or 0.0) if segment else 0.0


REASON_CODES: Final[dict[ModelReason, int]] = {
    "first": 0,
    "model": 3,
    "recluster": 4,
    "rollback": 5,
}


def model_arrays(model: Model | None, n_features: int) -> ModelArrays:
    """Return the model as the kernel reads it; no segments before the first model."""
    if model is None:
        none = np.zeros(n_features, dtype=np.float64)
        return ModelArrays(
            np.zeros(0, dtype=np.int64),
            np.zeros((0, n_features), dtype=np.float64),
            none, none, none,
            np.array([0, 0, 0, 0, 0, -1], dtype=np.int64),
        )  # fmt: skip
    version = (
        model.number,
        model.minute,
        model.generation,
        model.generation_minute,
        REASON_CODES[model.generation_reason],
        model.restores,
    )
    return ModelArrays(
        np.array([s.id for s in model.segments], dtype=np.int64),
        model.centres,
        np.array(model.mean),
        np.array(model.weight),
        np.array(model.median),
        np.array(version, dtype=np.int64),
    )


def check_model(model: Model, spec: CompiledSpec) -> None:
    """Refuse a model that was fitted for another feature spec.

    Raises
    ------
    ConfigError
    """
    from segstream.errors import ConfigError

    if model.spec_digest != spec.spec.digest:
        raise ConfigError(
            f"model {model.version}: expected feature spec {spec.spec.digest}, got "
            f"{model.spec_digest} ({', '.join(model.features)}); use the spec it was fitted with"
        )
