"""Segment changes with nothing but kafka-python: `plain_consumer.py BOOTSTRAP NAMESPACE`.

Prints whoever moved because of what they did, or did not do, each change once. The ids of the last
changes are in memory; after a restart the offset says where to go on, so the changes since the last
commit come again: a consumer that acts must keep the ids where it keeps what it did.
"""

import json
import sys
from collections import OrderedDict
from typing import Any

from kafka import KafkaConsumer

REASONS = {"behaviour", "time"}  # at `model` and `recluster` the customer did nothing
REMEMBERED = 100_000


def main(bootstrap: str, namespace: str) -> None:
    """Print changes until it is stopped."""
    consumer = KafkaConsumer(
        f"{namespace}.segment-changes",
        bootstrap_servers=bootstrap,
        group_id=f"{namespace}-plain",
        isolation_level="read_committed",  # else a worker's aborted changes are read too
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    seen: OrderedDict[str, None] = OrderedDict()
    while True:
        for records in consumer.poll(timeout_ms=500).values():
            for change in (json.loads(record.value) for record in records):
                if change["id"] not in seen and change["data"]["reason"] in REASONS:
                    act(change["data"])
                seen[change["id"]] = None
                while len(seen) > REMEMBERED:
                    seen.popitem(last=False)
        consumer.commit()  # after the work: a crash before it repeats, and loses nothing


def act(data: dict[str, Any]) -> None:
    """Do something about one change."""
    places = [ref["name"] if ref else "-" for ref in (data["from"], data["to"])]
    print(data["customer_id"], " -> ".join(places), data["reason"], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
