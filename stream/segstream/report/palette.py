"""One colour per segment id, told apart by colour-blind readers (Okabe and Ito, 2008)."""

from collections.abc import Sequence
from typing import Final

OKABE_ITO: Final = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#7F5539",
)  # fmt: skip
UNASSIGNED: Final = "#9AA0A6"


def segment_colours(ids: Sequence[int]) -> dict[int, str]:
    """Colour of each segment: its id's own, or the next free one where two would share it.

    Examples
    --------
    >>> segment_colours([1, 3])
    {1: '#0072B2', 3: '#009E73'}
    """
    colours: dict[int, str] = {}
    taken: set[int] = set()
    for segment_id in sorted(ids):
        turn = range(segment_id - 1, segment_id - 1 + len(OKABE_ITO))
        free = [i % len(OKABE_ITO) for i in turn if i % len(OKABE_ITO) not in taken]
        chosen = free[0] if free else (segment_id - 1) % len(OKABE_ITO)
        taken.add(chosen)
        colours[segment_id] = OKABE_ITO[chosen]
    return colours
