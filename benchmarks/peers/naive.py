"""The obvious version: a Faust agent that calls river and Redis for every event.

    python -m benchmarks.peers.naive BOOTSTRAP TOPIC REDIS SECONDS

State is one JSON string per customer in Redis, read and written per event; the features are scaled
and clustered online by river (`StandardScaler`, `KMeans` with five clusters); a change of cluster
is sent to a topic. hiredis, one pooled connection, Faust's defaults. It has no windows, no sweep of
silent customers, no deduplication and no transactions: it does less than the path it stands beside.

It runs for a fixed time from its first event on, and prints one JSON object.
"""

import asyncio
import sys
import tempfile
import time
from typing import Any

import faust
import msgspec
from redis.asyncio import Redis
from river import cluster, preprocessing

K = 5
# A step size; river's default of a half makes centres jump.
STEP = 0.02
SEED = 11


class Purchase(faust.Record, serializer="json"):
    """What the agent reads of an event."""

    customer_id: str
    ts: str
    amount: float
    quantity: float


class Counted:
    """What happened since the first event."""

    def __init__(self) -> None:
        self.events = self.changes = 0
        self.begun = self.cpu = 0.0

    def event(self) -> None:
        """Count one."""
        if not self.events:
            self.begun, self.cpu = time.perf_counter(), time.process_time()
        self.events += 1

    def report(self) -> str:
        """As JSON."""
        told = {
            "events": self.events,
            "changes": self.changes,
            "seconds": time.perf_counter() - self.begun,
            "cpu_s": time.process_time() - self.cpu,
        }
        return msgspec.json.encode(told).decode()


def new_app(bootstrap: str, topic: str, redis_url: str, counted: Counted, folder: str) -> faust.App:
    """Make the application."""
    app = faust.App(
        f"naive-{time.time_ns()}",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        datadir=folder,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
    )
    purchases = app.topic(topic, key_type=bytes, value_type=Purchase)
    changes = app.topic(f"{topic}.naive-changes", value_serializer="json")
    redis = Redis.from_url(redis_url)
    scaler: Any = preprocessing.StandardScaler()
    model: Any = cluster.KMeans(n_clusters=K, halflife=STEP, seed=SEED)

    @app.agent(purchases)
    async def segment(stream: Any) -> None:
        async for event in stream:
            counted.event()
            held = await redis.get(f"naive:{event.customer_id}")
            state = msgspec.json.decode(held) if held else _new_state(event)
            x = _fold(state, event)
            scaler.learn_one(x)
            x = scaler.transform_one(x)
            model.learn_one(x)
            found, before = model.predict_one(x), state["segment"]
            state["segment"] = found
            await redis.set(f"naive:{event.customer_id}", msgspec.json.encode(state))
            if before is not None and found != before:
                counted.changes += 1
                change = {"customer": event.customer_id, "from": before, "to": found}
                await changes.send(key=event.customer_id, value=change)

    return app


def _new_state(event: Purchase) -> dict[str, Any]:
    return {"orders": 0, "spend": 0.0, "units": 0.0, "first": event.ts, "segment": None}


def _fold(state: dict[str, Any], event: Purchase) -> dict[str, float]:
    """Add a purchase; returns the features."""
    state["orders"] += 1
    state["spend"] += event.amount
    state["units"] += event.quantity
    return {
        "orders": state["orders"],
        "spend": state["spend"],
        "order_value": state["spend"] / state["orders"],
        "order_units": state["units"] / state["orders"],
    }


async def _run(bootstrap: str, topic: str, redis: str, seconds: float) -> str:
    counted = Counted()
    with tempfile.TemporaryDirectory(prefix="naive-") as folder:
        async with new_app(bootstrap, topic, redis, counted, folder):
            while not counted.events:
                await asyncio.sleep(0.05)
            await asyncio.sleep(seconds)
            return counted.report()


if __name__ == "__main__":
    broker, events, store, duration = sys.argv[1:]
    print(asyncio.run(_run(broker, events, store, float(duration))), flush=True)
