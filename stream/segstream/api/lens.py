"""A model as one customer is looked at: scaled and compared by the kernel's own functions."""

from functools import cached_property

import numpy as np

from segstream.core import layout as at
from segstream.core.model import Model, model_arrays
from segstream.core.spec import CompiledSpec, FloatArray
from segstream.core.vectors import scale, squared_distance


class Lens:
    """Spec and model; the model may be None, and then there are no segments."""

    def __init__(self, spec: CompiledSpec, model: Model | None) -> None:
        self.spec, self.model = spec, model
        self.arrays = model_arrays(model, spec.n_features)

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
        scaled = np.zeros(self.spec.n_features, dtype=np.float64)
        scale(self.spec.arrays, self.arrays, np.ascontiguousarray(raw), scaled)
        return scaled

    def ranked(self, scaled: FloatArray) -> list[tuple[int, float]]:
        """Segment ids with squared distances, nearest first; of equals the first in the model.

        The sum is the one that `segstream.core.vectors.nearest` compares, so the first is its
        answer.
        """
        centres = self.arrays.centres
        found = [
            (segment, float(squared_distance(scaled, centres[i])))
            for i, segment in enumerate(self.arrays.ids.tolist())
        ]
        return sorted(found, key=lambda pair: pair[1])
