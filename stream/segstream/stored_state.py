"""What a state directory keeps beside its store: the settings it was made with, product names."""

from pathlib import Path
from typing import Final

import msgspec

from segstream.errors import StateError
from segstream.settings import Settings

SETTINGS_FILE: Final = "segstream.json"
PRODUCT_NAMES_FILE: Final = "product-names.json"


def stored_settings(state: Path) -> Settings:
    """Read the settings a state was made with.

    Raises
    ------
    StateError
        There are none, or they cannot be read.
    """
    path = state / SETTINGS_FILE
    if not path.exists():
        raise StateError(
            f"state: expected {path}, got nothing; run `segstream run --state {state}` first"
        )
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except (OSError, msgspec.DecodeError) as error:
        raise StateError(
            f"state: expected the settings of a state in {path}, got {error}; restore the file, or "
            "rebuild from the events into a new --state directory"
        ) from error


def stored_product_names(state: Path) -> dict[str, str]:
    """Read the product names that a run was given; none where it was given none.

    Raises
    ------
    StateError
        They cannot be read.
    """
    path = state / PRODUCT_NAMES_FILE
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError) as error:
        raise StateError(
            f"state: expected product names in {path}, got {error}; remove the file to go on "
            "without names, or run again with insights.products_file"
        ) from error
