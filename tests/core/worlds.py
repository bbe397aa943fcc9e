"""Whole situations for hypothesis to draw: spec, policy, and which models come when."""

from hypothesis import strategies as st
from tests.core.engine import DAY_MS, policy
from tests.core.strategies import models, specs

from segstream.core.model import Model
from segstream.core.spec import Spec


class Switcher:
    """Adopts each model of a list at the next day that opens; None leaves the model."""

    def __init__(self, coming: list[Model | None]) -> None:
        self.coming = list(coming)
        self.generation_minute = 0

    def __call__(self, minute: int) -> Model | None:
        model = self.coming.pop(0) if self.coming else None
        if model is None:
            return None
        fields = {name: getattr(model, name) for name in model.__struct_fields__}
        if model.revision == 0:
            self.generation_minute = minute
        opened = {"minute": minute, "generation_minute": self.generation_minute}
        return Model(**{**fields, **opened})


policies = st.builds(
    policy,
    margin=st.sampled_from([0.0, 0.2, 0.6]),
    dwell_ms=st.sampled_from([0, 0, DAY_MS // 2, 3 * DAY_MS]),
    min_events=st.sampled_from([1, 1, 3]),
    sweep_minutes=st.sampled_from([60, 60, 90, 1440]),
    forget_hours=st.sampled_from([800 * 24, 40]),
    panel_bits=st.sampled_from([0, 1, 2]),
    observe_events=st.sampled_from([0, 1]),
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Spec, Model | None, list[Model | None]]:
    """A spec, the model at the start if any, and the models of the days to come."""
    spec = draw(specs())
    first = draw(models(spec)) if draw(st.integers(0, 3)) else None
    coming: list[Model | None] = []
    latest = first
    for adopts in draw(st.lists(st.booleans(), max_size=4)):
        coming.append(draw(models(spec, latest)) if adopts else None)
        latest = coming[-1] or latest
    return spec, first, coming
