"""A company's segments on their way to the trainer, where only the trainer has the customers.

What can be checked without customers is checked before it is sent (`labels_brought`,
`centres_brought`); `drawn` makes the model of it on a day's panel, as `importing` does.

No id travels: a label carries its customer's hash, as the panel does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from segstream.core.fitting import fit_scaling
from segstream.core.importing import (
    Centre,
    Label,
    Outline,
    Title,
    agreement,
    check_centres,
    check_titles,
    from_centres,
    from_labels,
    given_model,
    refuse_one_segment,
    refuse_twice,
    sorted_segments,
)
from segstream.core.model import Model
from segstream.core.panel import Panel
from segstream.core.spec import CompiledSpec, text_hash
from segstream.errors import SourceError

# Of 10 bytes each: half of what brokers take in a message. The lowest hashes are those of the
# panel, whatever its size.
MOST_LABELS: Final = 50_000
_HASH, _SEGMENT = np.dtype(np.uint64), np.dtype(np.uint16)


class Brought(msgspec.Struct, frozen=True):
    """Segments as a company has them: labelled customers, or centres.

    Attributes
    ----------
    segments
        As the company writes them.
    hashes : shape (n,) uint64, rows : shape (n,) uint16
        Labelled customers, and the row of `segments` that each is in.
    centres
        In real units; empty where there are labels.
    titles
        Names by segment.
    """

    segments: tuple[str, ...]
    titles: dict[str, Title]
    hashes: bytes = b""
    rows: bytes = b""
    centres: tuple[Centre, ...] = ()

    @property
    def labels(self) -> list[Label]:
        """The labels again, of hashed ids."""
        hashes = np.frombuffer(self.hashes, dtype=_HASH).tolist()
        rows = np.frombuffer(self.rows, dtype=_SEGMENT).tolist()
        return [
            Label("hashed id", _sealed(h), self.segments[row])
            for h, row in zip(hashes, rows, strict=True)
        ]


def _sealed(unsigned: int) -> str:
    return f"{unsigned:016x}"


def labels_brought(labels: Sequence[Label], titles: Mapping[str, Title]) -> Brought:
    """Take labels along: all of them, or the lowest hashes where there are very many.

    Raises
    ------
    SourceError
        A customer has two labels, there is one segment, or a name fits none.
    """
    refuse_twice(labels)
    segments = sorted_segments({label.segment for label in labels})
    refuse_one_segment(segments)
    check_titles(segments, titles)
    row_of = {segment: row for row, segment in enumerate(segments)}
    hashes = np.array([text_hash(label.customer_id) for label in labels], dtype=np.int64)
    rows = np.array([row_of[label.segment] for label in labels], dtype=_SEGMENT)
    kept = np.argsort(hashes.view(_HASH))[:MOST_LABELS]
    return Brought(segments, dict(titles), hashes[kept].view(_HASH).tobytes(), rows[kept].tobytes())


def centres_brought(
    spec: CompiledSpec, centres: Sequence[Centre], titles: Mapping[str, Title]
) -> Brought:
    """Take centres along.

    Raises
    ------
    SourceError
        An unknown feature, a value that is no number, a segment twice or alone, or a name that
        fits none.
    """
    check_centres(spec, centres)
    segments = tuple(centre.segment for centre in centres)
    check_titles(segments, titles)
    return Brought(segments, dict(titles), centres=tuple(centres))


def drawn(spec: CompiledSpec, brought: Brought, panel: Panel, day: int, seed: int) -> Model:
    """Make the model on a day's panel, as `segstream.core.importing.adopted` takes it.

    Raises
    ------
    SourceError
        The panel knows too few of the labelled customers, or does not tell the segments apart.
    """
    scaling = fit_scaling(spec, panel.transformed)
    if len(panel) < len(brought.segments) or not scaling.varies:
        raise SourceError(
            f"panel: expected {len(brought.segments)} customers or more who differ in a clustered "
            f"feature, got {len(panel)} who do not; import again when there are more events"
        )
    if brought.centres:
        outline = from_centres(spec, scaling, panel.raw, brought.centres)
    else:
        outline = _of_labels(brought, scaling.apply(panel.transformed), panel)
    told = replace(scaling, notices=(*scaling.notices, *outline.notes))
    return given_model(spec, outline, brought.titles, told, panel, day, seed)


def _of_labels(brought: Brought, scaled: "np.typing.NDArray[np.float64]", panel: Panel) -> Outline:
    members = [_sealed(h) for h in panel.hashes.view(_HASH).tolist()]
    outline = from_labels(members, scaled, brought.labels)
    share = agreement(members, scaled, brought.labels, outline)
    note = f"{share:.1%} of the labelled customers are nearest to their own"
    return msgspec.structs.replace(outline, notes=(*outline.notes, note))
