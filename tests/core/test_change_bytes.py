"""What the encoder of changes writes by hand is what msgspec would write of the same change."""

import math

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.core.engine import model_of
from tests.core.visits import HIGH, LOW, SPEC

from segstream.core import layout as at
from segstream.core.changes import N_DRIVERS, Change, ChangeEncoder
from segstream.core.rounding import DECIMALS, rounded
from segstream.core.spec import FloatArray

# Figures of every size, halves of the last decimal and neighbours of them among them.
figures = st.one_of(
    st.floats(-1e12, 1e12),
    st.integers(-(2**40), 2**40).map(lambda n: n / 2**20),
    st.integers(-(10**9), 10**9).map(lambda n: (n + 0.5) / 10**DECIMALS),
)
raws = st.one_of(figures, st.just(math.nan))
segments = st.sampled_from([at.NO_SEGMENT, 1, 2])
MODEL = model_of(SPEC, [LOW, HIGH])
F = len(MODEL.segments[0].centre)


@given(arrays(np.float64, st.integers(1, 20), elements=figures))
def test_rounding_is_python_s(values: FloatArray) -> None:
    """Rounded at once, numbers have the bits that `round` gives each."""
    assert list(map(float.hex, rounded(values).tolist())) == [
        float.hex(round(value, DECIMALS)) for value in values.tolist()
    ]


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[int], list[float], list[float], str]:
    """A change of the kernel: its row, raw and scaled features, and whose it is."""
    row = [0] * at.N_CHANGE
    row[at.C_FROM], row[at.C_TO] = draw(segments), draw(segments)
    row[at.C_REASON] = draw(st.integers(0, len(at.REASONS) - 1))
    row[at.C_AS_OF], row[at.C_SINCE] = draw(st.tuples(*[st.integers(0, 4 * 10**12)] * 2))
    row[at.C_SEQUENCE], row[at.C_ENTERED] = draw(st.tuples(*[st.integers(1, 10**6)] * 2))
    raw = draw(st.lists(raws, min_size=F, max_size=F))
    scaled = draw(st.lists(st.floats(-1e6, 1e6), min_size=F, max_size=F))
    who = draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
    return row, raw, scaled, who


@given(st.lists(rows(), min_size=1, max_size=5))
def test_bytes_are_msgspec_s(made: list[tuple[list[int], list[float], list[float], str]]) -> None:
    """Bytes decode to a `Change` of which msgspec writes these bytes; figures are plain ones."""
    encoder = ChangeEncoder('a "shop"', SPEC.names)
    row, raw, scaled, who = (list(column) for column in zip(*made, strict=True))
    causes = [(str(one), "instant") for one in who]
    bodies = encoder.encode(np.array(row), np.array(raw), np.array(scaled), causes, MODEL)
    for body, one in zip(bodies, made, strict=True):
        change = msgspec.json.decode(body, type=Change)
        assert msgspec.json.encode(change) == body
        assert change.subject == change.data.customer_id == one[3]
        assert change.data.times_entered == one[0][at.C_ENTERED]
        assert_drivers(change, *one[:3])


def assert_drivers(change: Change, row: list[int], raw: list[float], scaled: list[float]) -> None:
    """Drivers and margin are those of a loop over the features."""
    if row[at.C_TO] == at.NO_SEGMENT:
        assert (change.data.margin, change.data.drivers) == (None, ())
        return
    ids = {s.id: s.centre for s in MODEL.segments}
    before = ids.get(row[at.C_FROM], (0.0,) * F)
    parts = [
        (x - a) * (x - a) - (x - b) * (x - b)
        for x, a, b in zip(scaled, before, ids[row[at.C_TO]], strict=True)
    ]
    order = sorted(range(F), key=lambda j: (-abs(parts[j]), j))[:N_DRIVERS]
    assert change.data.margin == round(math.fsum(parts), DECIMALS)
    assert [(d.feature, d.contribution, d.value) for d in change.data.drivers] == [
        (
            SPEC.names[j],
            round(parts[j], DECIMALS),
            None if math.isnan(raw[j]) else round(raw[j], DECIMALS),
        )
        for j in order
        if parts[j] != 0.0
    ]
