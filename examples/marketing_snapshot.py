"""Write the marketing campaign table as events: one profile and its totals per customer.

The table is a snapshot. Its totals are real, and so is the day of the last purchase; when the rest
was bought is not known, so all of it stands on that day. Good for "what if", not for windows.

    python examples/marketing_snapshot.py customer_segmentation.csv events.jsonl
    segstream run --source events.jsonl --config examples/marketing.toml --state state --out out
    segstream explore --state state --out out
"""

import csv
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

# The latest customer joined 99 days before: nobody bought before joining.
SNAPSHOT = datetime(2014, 10, 6, 12, tzinfo=UTC)
SPENT = (
    "MntWines", "MntFruits", "MntMeatProducts", "MntFishProducts", "MntSweetProducts",
    "MntGoldProds",
)  # fmt: skip


def events(row: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Events of one customer, all on the day of the last purchase."""
    moment = SNAPSHOT - timedelta(days=int(row["Recency"]))
    shared = {"customer_id": row["ID"], "ts": moment.isoformat()}
    joined = datetime.strptime(row["Dt_Customer"], "%d-%m-%Y").replace(tzinfo=UTC)
    profile = {"birth_year": int(row["Year_Birth"]), "joined_at": joined.isoformat()}
    if row["Income"]:
        profile["income"] = float(row["Income"])
    yield {"event_id": f"{row['ID']}:profile", "type": "profile", **shared, **profile}
    totals = (
        ("spend", "purchase", None, sum(float(row[name]) for name in SPENT), 0),
        ("web", "purchase", "web", 0, row["NumWebPurchases"]),
        ("store", "purchase", "store", 0, row["NumStorePurchases"]),
        ("visits", "visit", "web", None, row["NumWebVisitsMonth"]),
    )
    for name, kind, channel, amount, quantity in totals:
        told = {"amount": amount, "channel": channel, "quantity": int(quantity)}
        known = {key: value for key, value in told.items() if value is not None}
        yield {"event_id": f"{row['ID']}:{name}", "type": kind, **shared, **known}


def main(table: str, target: str) -> None:
    """Write the events in the order of time."""
    with Path(table).open(encoding="utf-8", newline="") as rows:
        found = [event for row in csv.DictReader(rows) for event in events(row)]
    found.sort(key=lambda event: event["ts"])
    lines = "".join(json.dumps(event) + "\n" for event in found)
    Path(target).write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
