"""A small shop whose customers have every kind of name."""

from typing import Any

from tests.cli import feeds

ODD_IDS = (
    "a/b", "a/why", "/", "a b", "100%", "%2F", "a?b#c", "it's", 'say "hi"', "back\\slash",
    "*", "c00[12]*", "customer-ü-顧客-🛒", "{shop:0}:meta", "x" * 1024, "line\nbreak", "+",
)  # fmt: skip
PRODUCTS = tuple(f"p{number}" for number in range(30))


def events(customers: int = 150, days: int = 150) -> list[dict[str, Any]]:
    """Events in time order; the first customers have odd ids."""
    made = feeds.events(customers, days, erase=False)
    names = {f"c{number:04}": name for number, name in enumerate(ODD_IDS)}
    for number, event in enumerate(made):
        event["customer_id"] = names.get(event["customer_id"], event["customer_id"])
        if event["type"] == "purchase":
            event["product_id"] = PRODUCTS[number * 7 % len(PRODUCTS)]
            event["country"] = ("NO", "SE", "DK")[number % 3]
    return made
