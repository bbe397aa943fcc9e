"""Feeds of a small shop: seeded, with everything a real feed has, good and bad."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DAY_MS = 86_400_000
START_MS = 19_723 * DAY_MS
"""2024-01-01."""


def events(customers: int, days: int, seed: int = 1, erase: bool = True) -> list[dict[str, Any]]:
    """Events of the contract in time order: orders of some lines, returns, visits, erasures.

    A third of the customers is busy, a third comes now and then, and a third falls silent midway.
    """
    rng = random.Random(seed)
    made: list[dict[str, Any]] = []
    for number in range(customers):
        made.extend(_life(rng, f"c{number:04}", number % 3, days, erase and number % 29 == 5))
    made.sort(key=lambda event: (event["ts"], event["event_id"]))
    return made


def _life(
    rng: random.Random, customer: str, kind: int, days: int, erased: bool
) -> Iterator[dict[str, Any]]:
    every = (4.0, 14.0, 6.0)[kind]
    end = days if kind < 2 else days / 2
    day, order = rng.uniform(0, every), 0
    while day < end:
        order += 1
        ts = START_MS + round(day * DAY_MS)
        for line in range(rng.choice((1, 1, 2))):
            yield {
                "event_id": f"{customer}-{order}-{line}", "customer_id": customer, "ts": ts,
                "type": "purchase", "order_id": f"{customer}-{order}",
                "amount": round(rng.lognormvariate(2 + kind, 0.5), 2),
                "quantity": rng.randrange(1, 6), "channel": rng.choice(("web", "store")),
            }  # fmt: skip
        if rng.random() < 0.05:
            yield {
                "event_id": f"{customer}-{order}-back", "customer_id": customer,
                "ts": ts + 3_600_000, "type": "return", "amount": 1.5,
            }  # fmt: skip
        day += rng.expovariate(1 / every) + 0.02
    if erased:
        yield {
            "event_id": f"{customer}-erase", "customer_id": customer,
            "ts": START_MS + round(days * 0.7 * DAY_MS), "type": "erase",
        }  # fmt: skip


def lines(made: list[dict[str, Any]]) -> list[bytes]:
    """JSON lines, without line breaks."""
    return [json.dumps(event, ensure_ascii=False).encode() for event in made]


def dirty(good: list[bytes], seed: int = 2) -> list[bytes]:
    """The same with repeats and dead letters between, about one in thirty of each."""
    rng = random.Random(seed)
    made = []
    for i, line in enumerate(good):
        made.append(line)
        if rng.random() < 0.03:
            made.append(line)
        if rng.random() < 0.03:
            made.append(rng.choice(BAD) % i)
    return made


BAD = (
    b"not JSON %d",
    b'{"event_id":"%d","customer_id":"c0001","type":"visit","ts":"noon"}',
    b'\xff{"event_id":"%d"}',
)


def write(path: Path, rows: list[bytes]) -> Path:
    """Write rows as a file."""
    path.write_bytes(b"".join(row + b"\n" for row in rows))
    return path
