"""Orders, changes and stays as tables, and a table as JSON lines."""

import json
import math
from collections.abc import Iterator

import msgspec
import numpy as np
import pandas as pd

from segstream.core.changes import rfc3339
from segstream.core.spec import UNITS_PER_ONE, IntArray


def ledger_frame(rows: IntArray) -> pd.DataFrame:
    """Rows of the ledger as a table; see `View.ledger`."""
    return pd.DataFrame(
        {
            "slot": rows[:, 0],
            "day": pd.to_datetime(rows[:, 1], unit="D", utc=True),
            "order": rows[:, 2],
            "spend": rows[:, 3] / UNITS_PER_ONE,
            "bought": rows[:, 4] == 1,
        }
    )


def changes_frame(lines: list[bytes]) -> pd.DataFrame:
    """Published changes as a table; see `View.changes`."""
    columns = [
        "id", "customer_id", "sequence", "time", "from_id", "from_name", "to_id", "to_name",
        "reason", "direction", "times_entered", "since", "margin", "model", "drivers",
    ]  # fmt: skip
    rows = []
    for line in lines:
        event = msgspec.json.decode(line)
        data = event["data"]
        from_, to = data["from"] or {}, data["to"] or {}
        rows.append(
            (
                event["id"], data["customer_id"], data["sequence"], event["time"],
                from_.get("id"), from_.get("name"), to.get("id"), to.get("name"),
                data["reason"], data["direction"], data["times_entered"], data["since"],
                data["margin"], data["model"], data["drivers"],
            )
        )  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns)
    frame["time"] = pd.to_datetime(frame["time"], utc=True, format="ISO8601")
    frame["since"] = pd.to_datetime(frame["since"], utc=True, format="ISO8601")
    for column in ("from_id", "to_id"):
        frame[column] = frame[column].astype("Int64")
    return frame


def memberships_frame(changes: pd.DataFrame) -> pd.DataFrame:
    """Stays in segments, out of published changes.

    Columns: customer_id, segment_id, segment (its name when the stay began), from, to (empty
    where the stay goes on), in the order in which the stays began.
    """
    left = changes.groupby("customer_id", sort=False)["time"].shift(-1)
    stays = pd.DataFrame(
        {
            "customer_id": changes["customer_id"],
            "segment_id": changes["to_id"],
            "segment": changes["to_name"],
            "from": changes["time"],
            "to": left,
        }
    )
    # `forgotten` and `erased` lead nowhere: they end a stay, and begin none.
    return stays[stays["segment_id"].notna()].reset_index(drop=True)


def members_at(memberships: pd.DataFrame, moment: pd.Timestamp) -> pd.DataFrame:
    """Each customer's segment at a moment: the changes up to it count, that very one included.

    Columns: customer_id, segment_id, segment, from.
    """
    begun = memberships["from"] <= moment
    stays = memberships["to"].isna() | (memberships["to"] > moment)
    return memberships[begun & stays].drop(columns="to").reset_index(drop=True)


def iter_json(frame: pd.DataFrame) -> Iterator[str]:
    """Rows as JSON lines, times as RFC 3339."""
    for record in frame.to_dict(orient="records"):
        present = {name: _known(value) for name, value in record.items()}
        yield json.dumps(present, default=_plain, allow_nan=False)


def _known(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: object) -> object:
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return rfc3339(int(value.timestamp() * 1000))
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
