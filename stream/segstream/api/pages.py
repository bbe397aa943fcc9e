"""What is answered about all customers and the models: the types behind the OpenAPI document."""

from dataclasses import dataclass

import msgspec

from segstream.api.answers import Known
from segstream.core.drift import Level
from segstream.core.history import HistoryRow
from segstream.core.identity import Descent
from segstream.core.trainer_state import Decision
from segstream.core.tree import Merge
from segstream.report.facts import Summary


class SizeOnDay(msgspec.Struct, frozen=True):
    """Members of a segment at the end of a UTC day."""

    day: str
    segment_id: int
    customers: int


class Freshness(msgspec.Struct, frozen=True):
    """Mean age of a customer's last evaluation, in seconds of the clock; null id for none."""

    segment_id: int | None
    seconds: float


class WaitingOnDay(msgspec.Struct, frozen=True):
    """Customers without a segment at the end of a UTC day, before the first model."""

    day: str
    customers: int


@dataclass(frozen=True, kw_only=True)
class Overview(Summary):
    """The run's summary, sizes by day and freshness by segment.

    Attributes
    ----------
    looked_back
        Customers whom `aftermath`, `silence` and `sentences` are about: all, or a sample.
    names, colours
        By segment id, retired segments included.
    """

    looked_back: int
    sizes: list[SizeOnDay]
    waiting_sizes: list[WaitingOnDay]
    freshness: list[Freshness]
    names: dict[str, str]
    colours: dict[str, str]


class Point(msgspec.Struct, frozen=True):
    """A customer on the map: principal components, and raw values in the order of `features`."""

    customer_id: str
    segment_id: int | None
    pc: tuple[float, float, float]
    values: list[Known]


class Centre(msgspec.Struct, frozen=True):
    """A segment's centre on the map."""

    segment_id: int
    pc: tuple[float, float, float]


class Map(msgspec.Struct, frozen=True):
    """Customers by the principal components of their scaled features.

    Attributes
    ----------
    explained
        Share of the variance of each component.
    """

    features: list[str]
    explained: tuple[float, float, float]
    points: list[Point]
    centres: list[Centre]


class ModelRow(HistoryRow, frozen=True):
    """A model or a refused candidate; `from_day` is its day as a date."""

    from_day: str = ""


class Models(msgspec.Struct, frozen=True):
    """Generations and refused candidates by time, and the commands that wait."""

    living: str | None
    models: list[ModelRow]
    commands: list[str]


class Quality(msgspec.Struct, frozen=True):
    """How good the fit was; `curve` is the within-cluster sum of squares for each k tried."""

    k: int
    starts: int
    seed: int
    customers: int
    wcss: float
    silhouette: Known
    davies_bouldin: Known
    prediction_strength: Known
    curve: dict[str, float]


class ModelSegment(msgspec.Struct, frozen=True):
    """A segment as a model has it.

    Attributes
    ----------
    became
        What its lineage says: survived, split, merged, new or retired; null at the beginning.
    lineage
        The same in words.
    """

    id: int
    name: str
    named_by_owner: bool
    description: str
    strategy: str
    actions: list[str]
    customers: int
    share: float
    averages: dict[str, Known]
    centre: list[float]
    became: str | None
    parents: list[int]
    lineage: str


class RetiredSegment(msgspec.Struct, frozen=True):
    """A segment of an earlier generation; `now` where this generation retired it."""

    id: int
    name: str
    now: bool
    lineage: str


class Silhouettes(msgspec.Struct, frozen=True):
    """Silhouettes of sampled customers by the model's nearest segment, descending."""

    segment_id: int
    values: list[float]


class DriftDay(msgspec.Struct, frozen=True):
    """What the detectors saw on a UTC day; `psi` by feature, and `segments` for their shares."""

    day: str
    level: Level
    psi: dict[str, float]
    distance: float
    why: str


class DecisionRow(Decision, frozen=True):
    """A refit check, and its day as a date."""

    date: str = ""


class ModelPage(msgspec.Struct, frozen=True):
    """A model with everything that led to it; `tree` merges its segments, the nearest first."""

    version: str
    serves: bool
    from_: str = msgspec.field(name="from")
    reason: str
    generation_from: str
    restores: int | None
    trigger: str | None
    gain: Known
    moved: Known
    quality: Quality
    notices: list[str]
    features: list[dict[str, str]]
    population: dict[str, Known]
    segments: list[ModelSegment]
    retired: list[RetiredSegment]
    lineage: list[Descent]
    silhouettes: list[Silhouettes]
    tree: list[Merge]
    drift: list[DriftDay]
    decisions: list[DecisionRow]
