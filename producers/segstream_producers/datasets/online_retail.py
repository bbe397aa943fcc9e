"""UCI Online Retail: order lines of a UK web shop. Not ours to ship, so found where it was put."""

from pathlib import Path
from typing import Final

from segstream.errors import SourceError

PLACES: Final = (Path(".data/online-retail.csv.gz"), Path(".data/online-retail.csv"))
CITATION: Final = "UCI Online Retail (https://doi.org/10.24432/C5BW33), CC BY 4.0"


def find_online_retail() -> Path:
    """Path of the data set.

    Raises
    ------
    SourceError
        It is not where it is looked for.
    """
    for path in PLACES:
        if path.is_file():
            return path
    raise SourceError(
        f"online-retail: expected {PLACES[0]} or {PLACES[1].name} there, found neither; get it from"
        " https://archive.ics.uci.edu/dataset/352 and save its sheet as CSV in UTF-8, or name the"
        " file: segstream-producers send FILE --mapping online-retail"
    )
