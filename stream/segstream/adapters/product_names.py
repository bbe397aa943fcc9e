"""Names of products, out of a table that somebody has."""

from pathlib import Path

import pandas as pd

from segstream.errors import ConfigError
from segstream.settings import InsightsSettings


def read_product_names(settings: InsightsSettings) -> dict[str, str]:
    """Read `insights.products_file`; no names where it is empty.

    Where an id has several names, as in a file of order lines, it is the one that stands there
    most often, of equals the first in the alphabet.

    Raises
    ------
    ConfigError
        The file or a column is not there.
    """
    if not settings.products_file:
        return {}
    path, columns = Path(settings.products_file), [settings.product_id, settings.product_name]
    try:
        table = pd.read_csv(path, usecols=columns, dtype=str, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"insights.products_file: expected a CSV file {path} with the columns "
            f"{' and '.join(columns)}, got {error}; mend the path, or name the columns under "
            "[insights]: product_id, product_name"
        ) from error
    pairs = table.dropna().set_axis(["id", "name"], axis=1)
    counts = pairs.groupby(["id", "name"], sort=True).size().reset_index(name="n")
    best = counts.sort_values("n", ascending=False, kind="stable").drop_duplicates("id")
    return {str(i): str(name).strip() for i, name in zip(best["id"], best["name"], strict=True)}
