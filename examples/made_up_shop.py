"""A shop's export as the README reads it: `made_up_shop.py > shop.csv`.

400 customers of five planted kinds, ten months, a row per line of an order, in a German
spreadsheet's format. The same bytes each time; no customer of it ever lived.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from segstream_producers.synthetic import Plan, generate

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
PLAN = Plan(customers=400, days=300, seed=7, start_ms=round(BEGIN.timestamp() * 1000))
BERLIN = ZoneInfo("Europe/Berlin")


def shares(cents: int, pieces: int) -> list[tuple[int, int]]:
    """Amount and pieces of each line: one, or two from two pieces on."""
    first = pieces // 2
    part = cents * first // pieces
    return [(part, first), (cents - part, pieces - first)] if first else [(cents, pieces)]


def main() -> None:
    """Print the file."""
    print("order;client;bought_at;paid;pieces;note")
    orders = 0
    for line in (line for lines in generate(PLAN) for line in lines):
        event = msgspec.json.decode(line)
        if event["type"] != "purchase":
            continue
        orders += 1
        at = datetime.fromtimestamp(event["ts"] / 1000, BERLIN).strftime("%d.%m.%Y %H:%M")
        client = f"C{int(event['customer_id'][1:]):04d}"
        for cents, pieces in shares(round(event["amount"] * 100), event["quantity"]):
            paid = f"{cents // 100},{cents % 100:02d}"
            print(f"O{orders:05d};{client};{at};{paid};{pieces};")


if __name__ == "__main__":
    main()
