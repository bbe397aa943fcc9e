"""Every feed from end to end: sent, applied by a worker, and `segstream audit` agrees."""

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from click.testing import CliRunner
from deploy.local.local_stack import LocalStack
from tests.live.chaos.crew import Crew
from tests.live.chaos.place import Place, until
from tests.live.chaos.roles import config_text
from tests.live.chaos.shop import BASE
from tests.needed import lacking

from segstream.adapters import redis_keys
from segstream.cli import segstream
from segstream.kafka_settings import KafkaSettings
from segstream_producers.cli import COMPLETE_JOURNEY, producers

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).resolve().parents[2]
SEND: Final = [sys.executable, "-c", "from segstream_producers.cli import main; main()", "send"]
# Two years of minutes without a purchase are gone through too, on a machine that is busy.
PATIENCE_S: Final = 240.0
CSV: Final = "order;client;bought_at;paid\n" + "".join(
    f"O{n};C{n % 30};{1 + n % 28:02d}.0{1 + n % 3}.2024 10:{n % 60:02d};{n % 7},50\n"
    for n in range(200)
)
MAPPING: Final = """
format = "csv"
delimiter = ";"
decimal_comma = true
zone = "Europe/Berlin"
[[event]]
type = "purchase"
event_id = "{order}:{line}"
customer_id = "client"
order_id = "order"
ts = { column = "bought_at", format = "%d.%m.%Y %H:%M" }
amount = "paid"
"""
LINES: Final = "".join(
    f'{{"event_id":"e{n}","customer_id":"C{n % 20}","ts":{1_700_000_000_000 + n * 3_600_000},'
    f'"type":"{"visit" if n % 3 else "purchase"}","amount":{n % 9}}}\n'
    for n in range(300)
)


@dataclass(frozen=True)
class Feed:
    """What is sent, and how much of it arrives.

    Attributes
    ----------
    table
        File or folder of ../shared/data, for --from.
    arrive
        Messages; None where it depends on the options alone.
    """

    name: str
    options: tuple[str, ...] = ()
    table: str = ""
    arrive: int | None = None


FEEDS: Final = (
    Feed("complete-journey", ("--limit", "3000")),
    Feed("online-retail", ("--limit", "4000"), "online_retail"),
    Feed("coupons-ecommerce", ("--limit", "3000"), "coupons_ecommerce", 3_000),
    Feed("total-value", (), "total_value", 1_000),
    Feed("marketing-profile", ("--limit", "500"),
         "marketing_campaign/customer_segmentation.csv", 500),
    Feed("marketing-profile", ("--limit", "500"),
         "marketing_campaign/smartcart_customers.csv", 500),
    Feed("browse-sample", (), "browse_sample", 1_000),
    Feed("shop.csv", ("--mapping", "shop.toml"), arrive=200),
    Feed("lines.jsonl", arrive=300),
    Feed("lines.jsonl", ("--now",), arrive=300),
    Feed("-", arrive=300),
    Feed("synthetic", ("--customers", "200", "--days", "40", "--late", "0.02",
                       "--duplicates", "0.02", "--out-of-order", "0.05", "--bad", "0.02")),
)  # fmt: skip


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """Workers of a process each, with a model, so that changes come of every feed."""
    with contextlib.closing(Crew(tmp_path_factory.mktemp("feeds"))) as made:
        yield made
        made.clear()


@pytest.fixture
def place(stack: LocalStack, namespace: str) -> Place:
    """Two partitions that keep what is old."""
    kafka = KafkaSettings(bootstrap=stack.kafka, partitions=2, retention_days="forever")
    settings = msgspec.structs.replace(BASE, namespace=namespace, currency="")
    made = Place(settings, kafka, stack.redis)
    made.create()
    return made


def send(place: Place, *arguments: str) -> str:
    """What `send` says."""
    own = ["--bootstrap", place.kafka.bootstrap, "--namespace", place.namespace]
    if "-" in arguments:
        done = subprocess.run(
            [*SEND, *arguments, *own], input=LINES, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
    result = CliRunner().invoke(producers, ["send", *arguments, *own])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def audit(place: Place, folder: Path) -> dict[str, Any]:
    """What `segstream audit` says; it ends with 0 only where all agrees."""
    config = folder / "segstream.toml"
    config.write_text(config_text(place), "utf-8")
    own = ["--bootstrap", place.kafka.bootstrap, "--redis", place.redis]
    done = CliRunner().invoke(segstream, ["audit", "--config", str(config), "--json", *own])
    assert done.exit_code == 0, (done.output, done.exception)
    found: dict[str, Any] = msgspec.json.decode(done.output)
    return found


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: " ".join((feed.name, *feed.options)))
def test_a_feed_end_to_end(
    feed: Feed, place: Place, crew: Crew, shared_data: Callable[[str], Path], tmp_path: Path,
    read_topic: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """What is sent is in the topic, all of it is applied, and topic, store and output agree."""
    if feed.name == "complete-journey" and not (ROOT / COMPLETE_JOURNEY).exists():
        lacking(f"no {COMPLETE_JOURNEY}; make writes it")
    where = ["--from", str(shared_data(feed.table))] if feed.table else []
    monkeypatch.chdir(ROOT if feed.name == "complete-journey" else tmp_path)
    for name, text in (("shop.csv", CSV), ("shop.toml", MAPPING), ("lines.jsonl", LINES)):
        (tmp_path / name).write_text(text, "utf-8")
    said = send(place, feed.name, *where, *feed.options)
    records = read_topic(place.names.transactions)
    (told,) = re.findall(r"([\d,]+) events sent", said)
    assert int(told.replace(",", "")) == len(records) == (feed.arrive or len(records))
    newest = max(record.timestamp for record in records) / 1000
    assert (abs(newest - time.time()) < PATIENCE_S) == ("--now" in feed.options)
    ends = {p: sum(r.partition == p for r in records) for p in place.partitions}
    pid = crew.start(place, instance="w")
    until(
        lambda: all(int(place.meta(p).get(redis_keys.OFFSET, 0)) >= ends[p] for p in ends),
        PATIENCE_S, crew.check, place.where,
    )  # fmt: skip
    assert crew.end(pid, signal.SIGTERM) == 0
    found = audit(place, tmp_path)
    settled = sum(found[n] for n in ("applied", "skipped", "duplicates", "dead"))
    assert found["sent"] == settled == len(records)
    assert found["cut"] == []
    assert found["customers"] > 0
    assert (found["dead"] > 0) == (feed.name == "synthetic")
    if feed.name != "marketing-profile":  # profiles alone make nobody a customer with a segment
        assert place.read(place.names.changes)
