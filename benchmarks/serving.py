"""Look-ups and what-ifs over HTTP beside a stream of events, everything on one machine.

    python -m benchmarks.serving PORT KIND RATE SECONDS CUSTOMERS

is the client, in a process of its own: requests become due at a constant rate and are sent on
kept connections with plain asyncio streams, since httpx costs more than the server. A latency is
counted from the moment at which the request was due, so a server (or client) that falls behind
makes it longer and not better. The client, the stream's producer, broker, Redis and worker share
the cores with the server; what client and server take per request is counted by itself.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, cast

import msgspec
import numpy as np
import uvloop
from deploy.local.process import free_ports
from kafka import KafkaProducer

from benchmarks import latency, live, synthetic
from benchmarks.results import Row, row
from segstream.adapters.kafka_models import model_key

Kind = Literal["look_ups", "what_ifs"]
KINDS: Final[tuple[Kind, ...]] = ("look_ups", "what_ifs")
CUSTOMERS: Final = 20_000
EVENTS_PER_S: Final = 10_000
REQUESTS_PER_S: Final = 2_000
P99_MS: Final = 30.0
SECONDS: Final = 10.0
RUNS: Final = 3
# A look-up takes about 14 ms beside the stream: 2,000 a second are 28 under way, and
# bursts need more. With too few the client itself would be the limit.
_CONNECTIONS: Final = 64
_REACHED: Final = 0.98
"""Of the rate: the last requests are still under way when the time is over."""
_SPARE_S: Final = 4.0


# ---- client ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answered:
    """What one run came to; latencies in ms, the client's own CPU in microseconds a request."""

    per_s: float
    p50: float
    p99: float
    failed: int
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run beside the stream.

    Attributes
    ----------
    sent
        Events a second that were sent meanwhile.
    cpu_us
        Of the server, per request, with what it does of itself: following the changes, and
        sweeps in a process of its own.
    """

    answered: Answered
    sent: float
    cpu_us: float


def requests(kind: Kind, customers: int, total: int) -> list[bytes]:
    """Requests as bytes, of customers drawn evenly."""
    drawn = np.random.default_rng(synthetic.SEED).integers(0, customers, total).tolist()
    if kind == "look_ups":
        ids = [synthetic.customer_id(who) for who in drawn]
        return [f"GET /customers/{i} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for i in ids]
    bodies = [b'{"features":{"spend_112d":%d,"orders_112d":%d}}' % (who, who % 40) for who in drawn]
    head = "POST /assign HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"
    return [head.format(len(body)).encode() + body for body in bodies]


async def ask(port: int, made: Sequence[bytes], rate: int) -> Answered:
    """Send requests as they become due."""
    took: list[float] = []
    failed = 0
    waiting = iter(enumerate(made))
    begun, used = time.perf_counter() + 0.1, time.process_time()

    async def one_connection() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number, request in waiting:
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            failed += not head.startswith(b"HTTP/1.1 200 ")
            took.append(time.perf_counter() - due)
        writer.close()

    await asyncio.gather(*(one_connection() for _ in range(_CONNECTIONS)))
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    p50, p99 = np.percentile(np.array(took) * 1000, (50, 99)).tolist()
    return Answered(len(took) / seconds, p50, p99, failed, 1e6 * used / len(took))


# ---- case -----------------------------------------------------------------------------------


def serve(seconds: float = SECONDS, customers: int = CUSTOMERS, runs: int = RUNS) -> Iterator[Row]:
    """One worker, caught up; the stream and the requests begin together."""
    with live.bench() as bench:
        shop = bench.shop()
        try:
            _publish_model(shop)
            shop.send(latency.history(customers))
            shop.start(1)
            shop.until(shop.drained)
            (port,) = free_ports(1)
            server = Server(port, shop.roles.add_serve(port).pid)
            shop.until(lambda: _ready(port))
            for kind in KINDS:
                found = [
                    _beside_a_stream(shop, server, kind, seconds, customers) for _ in range(runs)
                ]
                yield from _rows(kind, found)
        finally:
            shop.close()


class Server(NamedTuple):
    """The API that is asked."""

    port: int
    pid: int


def _publish_model(shop: live.Shop) -> None:
    """The worker keeps to a model of its own; the API finds it in the topic, as a trainer's."""
    model = live.fixed_model()
    producer = KafkaProducer(bootstrap_servers=shop.place.kafka.bootstrap)
    try:
        body = msgspec.json.encode(model)
        producer.send(shop.place.names.models, body, model_key(model.number)).get(timeout=30)
    finally:
        producer.close()


def _ready(port: int) -> bool:
    asked = ["curl", "-sf", f"http://127.0.0.1:{port}/readyz"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _beside_a_stream(
    shop: live.Shop, server: Server, kind: Kind, seconds: float, customers: int
) -> Run:
    """Ask for so many seconds while events come."""
    stream = latency.start_producer(shop, EVENTS_PER_S, seconds + _SPARE_S, customers)
    time.sleep(_SPARE_S / 2)
    given, used = (
        (server.port, kind, REQUESTS_PER_S, seconds, customers),
        live.family_cpu_s(server.pid),
    )
    command = [sys.executable, "-m", "benchmarks.serving", *map(str, given)]
    asked = subprocess.run(command, capture_output=True, check=True)
    used = live.family_cpu_s(server.pid) - used
    told = msgspec.json.decode(stream.communicate()[0])
    shop.until(_settled(shop))
    answered = msgspec.json.decode(asked.stdout, type=Answered)
    if answered.failed:
        raise RuntimeError(f"{answered.failed} requests were not answered with 200")
    cpu_us = 1e6 * used / (REQUESTS_PER_S * seconds)
    return Run(answered, told["events"] / told["seconds"], cpu_us)


def _settled(shop: live.Shop) -> Callable[[], bool]:
    """Whether the worker has caught up: the next run begins without a backlog."""
    before = shop.offsets()

    def settled() -> bool:
        nonlocal before
        time.sleep(0.5)
        former, before = before, shop.offsets()
        return former == before

    return settled


def _rows(kind: Kind, found: Sequence[Run]) -> Iterator[Row]:
    case = f"serve/{kind}"
    answered = [one.answered for one in found]
    rates = [one.per_s for one in answered]
    yield row(case, "requests_per_s", rates, _REACHED * REQUESTS_PER_S, "higher")
    yield row(f"{case}/p50", "ms", [one.p50 for one in answered], None, "lower")
    yield row(f"{case}/p99", "ms", [one.p99 for one in answered], P99_MS, "lower")
    yield row(f"{case}/stream", "events_per_s", [one.sent for one in found], None, "higher")
    yield row(f"{case}/server_cpu", "us", [one.cpu_us for one in found], None, "lower")
    yield row(f"{case}/client_cpu", "us", [one.cpu_us for one in answered], None, "lower")


def main(given: Sequence[str]) -> None:
    """Be the client."""
    port, kind, rate, seconds, customers = given
    total = round(int(rate) * float(seconds))
    made = requests(cast("Kind", kind), int(customers), total)
    print(msgspec.json.encode(uvloop.run(ask(int(port), made, int(rate)))).decode())


if __name__ == "__main__":
    main(sys.argv[1:])
