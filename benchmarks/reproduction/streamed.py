"""Features of events: a feed through its mapping and the engine, to the end."""

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from benchmarks.feeds import Replay
from benchmarks.streaming import stream
from segstream.core.fitting import fit_scaling
from segstream.core.spec import FloatArray
from segstream.core.vectors import transform_rows
from segstream.settings import Settings, load_settings

# A panel nobody reaches: the engine keeps features and makes no model, which is fitted here.
NO_MODEL: Final = 10**9


@dataclass(frozen=True, slots=True)
class Features:
    """Where everybody stands at the end of a feed, clustered features only.

    Attributes
    ----------
    customers
        Ids; numbers are in the order of numbers.
    raw : shape (n, F), real units
    scaled : shape (n, F), as a generation of Segstream would scale them
    """

    customers: list[str]
    raw: FloatArray
    scaled: FloatArray


def features_of(replay: Replay, settings: str) -> Features:
    """Stream a feed with a settings file's text and take the features of its end."""
    loaded = load_settings(settings, "settings of the reproduction")
    view = stream(replay, _without_model(loaded)).view
    ids, raw, _ = view.vectors
    order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), ids[i]))
    transformed = transform_rows(view.spec.arrays, np.ascontiguousarray(raw[order]))
    scaled = fit_scaling(view.spec, transformed).apply(transformed)
    chosen = view.spec.clustered
    return Features(
        customers=[ids[i] for i in order],
        raw=np.ascontiguousarray(raw[order][:, chosen]),
        scaled=np.ascontiguousarray(scaled[:, chosen]),
    )


def _without_model(settings: Settings) -> Settings:
    model = msgspec.structs.replace(settings.model, min_panel=NO_MODEL)
    return msgspec.structs.replace(settings, model=model)
