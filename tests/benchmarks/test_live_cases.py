"""The cases on Kafka and Redis, with a feed of seconds: they run, and count what they say."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from benchmarks.end_to_end import Drained, Size, drain
from benchmarks.latency import hear, history
from benchmarks.live import (
    Bench,
    cpu_s,
    family_cpu_s,
    fixed_model,
    messages,
    partition_of,
    peer,
)
from benchmarks.synthetic import START_MS, customer_id, orders
from deploy.local.local_stack import LocalStack
from tests.needed import running

SIZE = Size(customers=200, warm=600, events=3_000, runs=1, naive_s=1.0)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    with running(LocalStack(folder / "stack")) as local:
        yield Bench(local, folder)


def test_messages_are_on_the_partition_of_their_customer() -> None:
    found = messages(orders(50, 10, START_MS, 1.0, 1), "x")

    assert len(found) == 50
    assert all(p == partition_of(key) for p, key, _, _ in found)
    assert {key.decode() for _, key, _, _ in found} <= {customer_id(n) for n in range(10)}
    assert [ms for _, _, _, ms in found] == sorted(ms for _, _, _, ms in found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_backlog_is_drained_beside_its_peers_and_latencies_are_heard(bench: Bench) -> None:
    """One worker drains, the peers read the same topic, and a live feed is heard from there on."""
    found = Drained()
    shop = drain(bench, SIZE, 1, found)
    try:
        alone = peer("consume_and_decode", bench.stack.kafka, shop.topic)
        shop.create(f"{shop.topic}.naive-changes")
        plain = peer("naive", bench.stack.kafka, shop.topic, bench.stack.redis, "1.0")
        shop.send(history(SIZE.customers))
        heard = asyncio.run(hear(shop, 100, 3.0, 0.0, SIZE.customers))
    finally:
        shop.close()

    assert found.rates[0] > 0
    assert found.shares[0] > 0
    assert set(found.cpu) == {"worker", "redis", "broker"}
    assert found.sizes["record"][0] > 50
    assert 0 <= alone["events"] <= SIZE.warm + SIZE.events
    assert 0 < plain["events"] <= SIZE.warm + SIZE.events
    assert heard.events == 300
    assert heard.latency_ms
    assert min(heard.latency_ms) >= 0


@pytest.mark.slow
def test_the_model_has_the_segments_that_make_one_change_for_five_events() -> None:
    assert len(fixed_model().segments) == 20


def test_a_process_is_counted_with_those_it_keeps() -> None:
    """What a child uses is its parent's too."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            deadline = time.monotonic() + 30.0
            while family_cpu_s(os.getpid()) - cpu_s(os.getpid()) < 0.1:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            busy.kill()
