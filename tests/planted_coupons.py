"""A coupon shop in which some cities and coupons differ, by plan, streamed once for all tests."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.cli.commands import Place, segstream
from tests.once import Once

EXAMPLES: Final = Path(__file__).resolve().parents[1] / "examples"
_DAY_MS: Final = 86_400_000
_START_MS: Final = 19_723 * _DAY_MS
_CUSTOMERS: Final = 720
EAGER, IDLE, CROWD = 'O\'Fallon "North"', "<b>Łódź</b>", "Crowdville"
"""Redeems more; redeems less; many who claim much live there. With names that no page expects."""
CITIES: Final = (EAGER, IDLE, CROWD, *(f"city {i}" for i in range(9)))
WEAK: Final = "SUMMER-5"
COUPONS: Final = ("WELCOME", "LOYAL-10", "SPRING", WEAK, "BIRTHDAY")


def events() -> Iterator[dict[str, Any]]:
    """Claims and redemptions of two months; a few customers tell no city."""
    rng = random.Random(13)
    made = []
    for number in range(_CUSTOMERS):
        city = None if number < 24 else CITIES[number % len(CITIES)]
        heavy = rng.random() < (0.8 if city == CROWD else 0.25)
        for claim in range(12 if heavy else rng.randint(2, 5)):
            coupon = rng.choice(COUPONS)
            rate = {EAGER: 0.75, IDLE: 0.25}.get(city or "", 0.5) * (0.6 if coupon == WEAK else 1)
            told = {
                "customer_id": f"c{number}", "coupon_id": coupon,
                "branch_id": str(rng.randrange(7)), "merchant_id": str(rng.randrange(3)),
            } | ({"city": city} if city else {})  # fmt: skip
            ts, name = _START_MS + rng.randrange(50) * _DAY_MS, f"c{number}-{claim}"
            made.append(told | {"event_id": f"{name}:c", "ts": ts, "type": "coupon_claimed"})
            if rng.random() < rate:
                ts += rng.randrange(10) * _DAY_MS
                made.append(told | {"event_id": f"{name}:r", "ts": ts, "type": "coupon_redeemed"})
    yield from sorted(made, key=lambda event: (event["ts"], event["event_id"]))


@pytest.fixture(scope="session")
def planted(once: Once) -> Place:
    """A state and an output of it, to look at, not to change."""

    def make(folder: Path) -> None:
        feed = folder / "events.jsonl"
        feed.write_text("".join(f"{json.dumps(event)}\n" for event in events()), "utf-8")
        ended = segstream("run", "--source", feed, *Place(folder).options,
                          "--config", EXAMPLES / "coupons.toml", "--json")  # fmt: skip
        assert ended.code == 0, ended.err

    return Place(once("planted-coupons", make))
