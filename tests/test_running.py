"""A consumer is closed whatever becomes of it; one that is not says so when it is collected."""

import asyncio
import gc
import socket
import warnings

import pytest
from aiokafka.errors import KafkaConnectionError

from segstream.adapters.kafka_clients import new_reader, running
from segstream.kafka_settings import KafkaSettings


def test_closed_where_it_does_not_start() -> None:
    """Nobody listens there."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        asyncio.run(_begin(f"127.0.0.1:{held.getsockname()[1]}"))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        gc.collect()
    assert not [w for w in said if issubclass(w.category, ResourceWarning)]


async def _begin(bootstrap: str) -> None:
    with pytest.raises(KafkaConnectionError):
        async with running(new_reader(KafkaSettings(bootstrap=bootstrap))):
            pytest.fail("nobody answers there")
