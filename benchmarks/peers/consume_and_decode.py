"""Reading and decoding alone: what any Python consumer of the topic pays before it does anything.

    python -m benchmarks.peers.consume_and_decode BOOTSTRAP TOPIC

aiokafka `getmany` and a msgspec Struct, no group, no state; prints one JSON object. The clock
starts after the first fetch that brought records, which are not counted: connecting is start-up.
"""

import asyncio
import sys
import time

import msgspec
from aiokafka import AIOKafkaConsumer

from segstream.core.events import Event


async def measure(bootstrap: str, topic: str) -> dict[str, float]:
    """Read the topic to its end; returns events and seconds."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        return await _read(consumer, sum(ends.values()))
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, total: int) -> dict[str, float]:
    decode = msgspec.json.Decoder(Event).decode
    seen = first = 0
    begun, cpu = time.perf_counter(), time.process_time()
    while seen < total:
        found = await consumer.getmany(timeout_ms=1_000)
        for records in found.values():
            for record in records:
                decode(record.value)
            seen += len(records)
        if not first and seen:
            first, begun, cpu = seen, time.perf_counter(), time.process_time()
    return {
        "events": seen - first,
        "seconds": time.perf_counter() - begun,
        "cpu_s": time.process_time() - cpu,
    }


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(measure(*sys.argv[1:3]))).decode())
