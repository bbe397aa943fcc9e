"""A company's own segments as a model: from customers with labels, or from centres.

    labels  ► mean of the labelled customers' scaled vectors ┐
    centres ► real units ► the spec's transforms ► scaled    ┴► outline ► model ► adopted

The scaling is fitted on all living customers. Names are the company's and stay.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import msgspec
import numpy as np

from segstream.core.fitting import Quality, Scaling, assign, panel_vectors, quality_of
from segstream.core.generations import Birth, new_generation, scaling_of, unnamed
from segstream.core.identity import match
from segstream.core.model import Model
from segstream.core.panel import Panel
from segstream.core.playbook import PLAIN_STRATEGY, Playbook
from segstream.core.spec import CompiledSpec, FloatArray, IntArray
from segstream.errors import SourceError

# A mean of one customer is that customer, not a segment.
LEAST_LABELLED: Final = 2
LONGEST_NAME: Final = 80


class Label(NamedTuple):
    """A customer and the segment a company has it in; `place` is for messages."""

    place: str
    customer_id: str
    segment: str


class Centre(NamedTuple):
    """A segment and its centre: feature to text in real units; an empty one is not known."""

    place: str
    segment: str
    values: Mapping[str, str]


class Title(NamedTuple):
    """What a company calls a segment, and what it does about it."""

    name: str
    strategy: str = ""


class Outline(msgspec.Struct, frozen=True):
    """Segments as a company has them.

    Attributes
    ----------
    segments
        As the company writes them.
    centres : shape (k, F), scaled units
    notes
        What was assumed or left out, for people.
    """

    segments: tuple[str, ...]
    centres: FloatArray
    notes: tuple[str, ...] = ()


def segment_key(text: str) -> str:
    """Write a segment's number as a whole one: a spreadsheet makes 3 a 3.0.

    >>> segment_key(" 3.0 "), segment_key("Gold")
    ('3', 'Gold')
    """
    text = text.strip()
    whole, dot, rest = text.partition(".")
    return whole if dot and whole.isdecimal() and not rest.strip("0") else text


def title_of(segment: str, titles: Mapping[str, Title]) -> Title:
    """Take the name given for a segment, else its own; a bare number is no name.

    >>> title_of("3", {}), title_of("Gold", {})
    (Title(name='Segment 3', strategy=''), Title(name='Gold', strategy=''))
    """
    plain = f"Segment {segment}" if segment.isdecimal() else segment
    return titles.get(segment, Title(plain))


# ---- from labels -----------------------------------------------------------------------


def from_labels(ids: Sequence[str], scaled: FloatArray, labels: Sequence[Label]) -> Outline:
    """Put a centre at the mean of each segment's customers.

    Parameters
    ----------
    ids, scaled : shape (n,), (n, F)
        All living customers.

    Raises
    ------
    SourceError
        A customer has two labels, none is known, or a segment is too small.
    """
    rows = {customer: row for row, customer in enumerate(ids)}
    refuse_twice(labels)
    known = [label for label in labels if label.customer_id in rows]
    if labels and not known:
        raise SourceError(
            f"labels: expected customers of this state, got {len(labels):,} ids of which it knows "
            f"none, the first {labels[0].customer_id!r} ({labels[0].place}); ids are as in the "
            "feed, see `segstream export customers`"
        )
    segments = sorted_segments({label.segment for label in labels})
    members = {segment: [] for segment in segments}  # type: dict[str, list[int]]
    for label in known:
        members[label.segment].append(rows[label.customer_id])
    _refuse_too_few(members)
    centres = np.array([scaled[members[segment]].mean(axis=0) for segment in segments])
    _refuse_equal(segments, centres)
    unknown = len(labels) - len(known)
    note = f"{unknown:,} of {len(labels):,} labelled customers are not in this state"
    return Outline(segments, centres, (note,) if unknown else ())


def agreement(
    ids: Sequence[str], scaled: FloatArray, labels: Sequence[Label], outline: Outline
) -> float:
    """Share of the known labelled customers that are nearest to their own segment's centre."""
    rows = {customer: row for row, customer in enumerate(ids)}
    nearest = assign(outline.centres, scaled).labels
    own = [
        outline.segments[int(nearest[rows[label.customer_id]])] == label.segment
        for label in labels
        if label.customer_id in rows
    ]
    return own.count(True) / max(1, len(own))


def refuse_twice(labels: Sequence[Label]) -> None:
    """Refuse two labels of one customer.

    Raises
    ------
    SourceError
    """
    first: dict[str, Label] = {}
    for label in labels:
        before = first.setdefault(label.customer_id, label)
        if before is not label:
            raise SourceError(
                f"labels: expected each customer once, got {label.customer_id!r} in "
                f"{before.segment!r} ({before.place}) and in {label.segment!r} ({label.place}); "
                "remove one"
            )


def refuse_one_segment(segments: Collection[str]) -> None:
    """Refuse labels that tell no segments apart.

    Raises
    ------
    SourceError
    """
    if len(segments) < 2:
        got = ", ".join(map(repr, segments)) or "none"
        raise SourceError(f"labels: expected two segments or more, got {got}; add another")


def _refuse_too_few(members: Mapping[str, Sequence[int]]) -> None:
    refuse_one_segment(members)
    for segment, rows in members.items():
        if len(rows) < LEAST_LABELLED:
            raise SourceError(
                f"labels: expected {LEAST_LABELLED} known customers or more in segment "
                f"{segment!r}, got {len(rows)}; label more, or leave the segment out"
            )


def _refuse_equal(segments: Sequence[str], centres: FloatArray) -> None:
    seen: dict[bytes, str] = {}
    for segment, centre in zip(segments, centres, strict=True):
        other = seen.setdefault(centre.tobytes(), segment)
        if other != segment:
            raise SourceError(
                f"segments {other!r} and {segment!r}: expected different centres, got the same; "
                "only clustered features tell segments apart"
            )


def sorted_segments(segments: set[str]) -> tuple[str, ...]:
    """Numbers by value, then names."""

    def order(segment: str) -> tuple[int, int, str]:
        return (0, int(segment), "") if segment.isdecimal() else (1, 0, segment)

    return tuple(sorted(segments, key=order))


# ---- from centres ----------------------------------------------------------------------


def from_centres(
    spec: CompiledSpec, scaling: Scaling, raw: FloatArray, centres: Sequence[Centre]
) -> Outline:
    """Bring centres in real units into scaled ones.

    Parameters
    ----------
    raw : shape (n, F), real units
        All living customers: their median stands for what is not given.

    Raises
    ------
    SourceError
        An unknown feature, a value that is no number, a segment twice or too few.
    """
    medians = np.array([_median(column) for column in raw.T])
    given = check_centres(spec, centres, medians)
    segments = tuple(centre.segment for centre in centres)
    scaled = scaling.apply(panel_vectors(spec, given))
    _refuse_equal(segments, scaled)
    return Outline(segments, scaled, _assumed(spec, scaling, centres, medians))


def check_centres(
    spec: CompiledSpec, centres: Sequence[Centre], medians: FloatArray | None = None
) -> FloatArray:
    """Read centres in real units, shape (k, F); zeros stand for the medians where none are given.

    Raises
    ------
    SourceError
        An unknown feature, a value that is no number, a segment twice or too few.
    """
    names = spec.spec.names
    for centre in centres:
        _refuse_unknown(centre, names)
    counted = Counter(centre.segment for centre in centres)
    if len(counted) < 2 or max(counted.values()) > 1:
        twice = ", ".join(repr(s) for s, n in counted.items() if n > 1)
        raise SourceError(
            "centres: expected two segments or more, each once, got "
            f"{twice + ' twice' if twice else len(counted)}; give one row per segment"
        )
    absent = np.zeros(len(names)) if medians is None else medians
    return np.array([[_number(c, name, m) for name, m in zip(names, absent, strict=True)]
                     for c in centres])  # fmt: skip


def _refuse_unknown(centre: Centre, names: Sequence[str]) -> None:
    unknown = [name for name in centre.values if name not in names]
    if unknown:
        raise SourceError(
            f"{centre.place}: expected features ({', '.join(names)}), got "
            f"{', '.join(map(repr, unknown))}; rename or remove the column"
        )


def _median(column: FloatArray) -> float:
    known = column[~np.isnan(column)]
    return float(np.median(known)) if len(known) else 0.0


def _number(centre: Centre, name: str, median: float) -> float:
    text = centre.values.get(name, "").strip()
    if not text:
        return median
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise SourceError(
            f"{centre.place}: expected a number for {name} of segment {centre.segment!r}, got "
            f"{text!r}; write it like 1234.5, or leave it empty for the median"
        )
    return value


def _assumed(
    spec: CompiledSpec, scaling: Scaling, centres: Sequence[Centre], medians: FloatArray
) -> tuple[str, ...]:
    """Clustered features that not every centre gives."""
    notes = []
    for j, name in enumerate(spec.spec.names):
        absent = sum(not centre.values.get(name, "").strip() for centre in centres)
        if absent and scaling.weight[j] > 0:
            who = "any segment" if absent == len(centres) else f"{absent} of {len(centres)}"
            notes.append(f"{name} is not given for {who}: the median {medians[j]:g} is taken")
    return tuple(notes)


# ---- a model ---------------------------------------------------------------------------


def given_model(
    spec: CompiledSpec, outline: Outline, titles: Mapping[str, Title], scaling: Scaling,
    panel: Panel, day: int, seed: int,
) -> Model:  # fmt: skip
    """Make a model of an outline, as `adopted` takes it; ids and numbers are not yet its own.

    Raises
    ------
    SourceError
        A name is given twice, or for a segment that is not there.
    """
    named = check_titles(outline.segments, titles)
    clustering = assign(outline.centres, scaling.apply(panel.transformed))
    owned = tuple(
        msgspec.structs.replace(
            unnamed(0, spec.n_features), name=title.name, action=title.strategy or PLAIN_STRATEGY
        )
        for title in named
    )
    birth = Birth(
        day, "first", scaling, clustering, np.full(len(owned), -1), 0, seed,
        quality_of(scaling.apply(panel.transformed), clustering, seed), {}, 0, owned,
    )  # fmt: skip
    return new_generation(Playbook(), spec, None, birth, panel)[0]


def _is_name(name: str) -> bool:
    """Whether tables and reports can show it; brackets are their markup."""
    return len(name) <= LONGEST_NAME and name.isprintable() and not set(name) & set("[]")


def check_titles(segments: Sequence[str], titles: Mapping[str, Title]) -> list[Title]:
    """Return each segment's name.

    Raises
    ------
    SourceError
        One is given twice, or for a segment that is not there, or cannot be shown.
    """
    named = [title_of(segment, titles) for segment in segments]
    _refuse_names(segments, titles, named)
    return named


def _refuse_names(
    segments: Sequence[str], titles: Mapping[str, Title], named: Sequence[Title]
) -> None:
    odd = next((title.name for title in named if not _is_name(title.name)), None)
    if odd is not None:
        raise SourceError(
            f"names: expected up to {LONGEST_NAME} printable characters without [ and ], got "
            f"{odd[:LONGEST_NAME]!r}; shorten it or give another with --names"
        )
    absent = [segment for segment in titles if segment not in segments]
    if absent:
        raise SourceError(
            f"names: expected segments of {', '.join(map(repr, segments))}, got "
            f"{', '.join(map(repr, absent))}; write them as in the other file"
        )
    twice = [name for name, n in Counter(title.name for title in named).items() if n > 1]
    if twice:
        raise SourceError(
            f"names: expected each name once, got {twice[0]!r} for two segments; rename one"
        )


def adopted(
    playbook: Playbook, spec: CompiledSpec, living: Model | None, given: Model, day: int,
    panel: Panel, bits: int,
) -> tuple[Model, IntArray]:  # fmt: skip
    """Let a company's model serve: its centres, scaling and names; ids follow the customers.

    Returns
    -------
    model
        The first of a generation, of reason `first` where nothing lives yet.
    ids : shape (n,)
        Segment id of each panel member.
    """
    scaling = replace(scaling_of(given), notices=given.notices)
    clustering = assign(given.centres, scaling.apply(panel.transformed))
    heirs = np.full(len(given.segments), -1)
    if living is not None:
        before = assign(living.centres, scaling_of(living).apply(panel.transformed)).labels
        heirs = match(before, clustering.labels, len(living.segments), len(given.segments))
    fit = given.fit
    quality = Quality(fit.silhouette, fit.davies_bouldin, fit.prediction_strength)
    birth = Birth(
        day, "recluster" if living else "first", scaling, clustering, heirs, fit.starts, fit.seed,
        quality, fit.curve, bits, given.segments,
    )  # fmt: skip
    return new_generation(playbook, spec, living, birth, panel)
