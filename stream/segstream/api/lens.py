"""A model as one customer is looked at: scaled and compared by the kernel's own functions."""

from functools import cached_property
from operator import itemgetter

import numpy as np

from segstream.core import layout as at
from segstream.core.compiled import allocating
from segstream.core.layout import ModelArrays
from segstream.core.model import Model, model_arrays
from segstream.core.spec import CompiledSpec, FloatArray, SpecArrays
from segstream.core.vectors import scale, squared_distance


class Lens:
    """Spec and model; the model may be None, and then there are no segments."""

    def __init__(self, spec: CompiledSpec, model: Model | None) -> None:
        self.spec, self.model = spec, model
        self.arrays = model_arrays(model, spec.n_features)
        # Loads the compiled functions now: nobody's request waits for them.
        self.ranked(self.scale(np.zeros(spec.n_features)))

    @cached_property
    def names(self) -> dict[int, str]:
        """Name of every segment, living or retired."""
        model = self.model
        return {s.id: s.name for s in (*model.retired, *model.segments)} if model else {}

    def name(self, segment_id: int) -> str | None:
        """Name of a segment; None for none."""
        if segment_id == at.NO_SEGMENT:
            return None
        return self.names.get(segment_id, f"segment {segment_id}")

    def scale(self, raw: FloatArray) -> FloatArray:
        """Scale a raw vector, shape (F,)."""
        return scaled_vector(self.spec.arrays, self.arrays, np.ascontiguousarray(raw))

    def ranked(self, scaled: FloatArray) -> list[tuple[int, float]]:
        """Segment ids with squared distances, nearest first; of equals the first in the model.

        The sum is the one that `segstream.core.vectors.nearest` compares, so the first is its
        answer.
        """
        found = squared_distances(self.arrays.centres, scaled).tolist()
        return sorted(zip(self._ids, found, strict=True), key=itemgetter(1))

    @cached_property
    def _ids(self) -> list[int]:
        return [int(segment) for segment in self.arrays.ids.tolist()]

    @cached_property
    def words(self) -> list[tuple[str, str, str]]:
        """Name, label and unit of every feature."""
        features = self.spec.spec.features
        return [(f.name, self.spec.describe(f), f.unit) for f in features]

    @cached_property
    def clustered(self) -> frozenset[str]:
        """Names of the features that decide the segment."""
        return frozenset(f.name for f in self.spec.spec.features if f.use == "cluster")


@allocating
def scaled_vector(spec: SpecArrays, model: ModelArrays, raw: FloatArray) -> FloatArray:
    """The model's view of a raw vector, shape (F,)."""
    scaled = np.zeros(len(raw), dtype=np.float64)
    scale(spec, model, raw, scaled)
    return scaled


@allocating
def squared_distances(centres: FloatArray, scaled: FloatArray) -> FloatArray:
    """Squared distance of a vector to every centre, shape (k,)."""
    found = np.empty(len(centres), dtype=np.float64)
    for i in range(len(centres)):
        found[i] = squared_distance(scaled, centres[i])
    return found
