"""The client of the `serve` case counts what was due, what was answered, and how late."""

import asyncio

from benchmarks.serving import Answered, ask, requests

RATE, TOTAL = 400, 192


def asked(status: str, pause_s: float) -> Answered:
    """Ask a server that answers everything alike after a pause."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            await asyncio.sleep(pause_s)
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        writer.close()

    async def both() -> Answered:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await ask(port, requests("look_ups", 10, TOTAL), RATE)

    return asyncio.run(both())


def test_a_latency_counts_from_when_a_request_was_due() -> None:
    """64 connections and half a second an answer are 128 a second: those due beyond wait."""
    found = asked("200 OK", 0.5)
    assert found.failed == 0
    assert found.per_s < 200
    assert found.p50 > 600
    assert found.p99 >= found.p50
    assert found.cpu_us > 0


def test_another_answer_than_200_is_a_failure() -> None:
    """No speed is told of errors."""
    assert asked("503 Service Unavailable", 0.0).failed == TOTAL


def test_what_ifs_give_features_in_a_body_of_the_announced_length() -> None:
    """Each is a whole request."""
    for made in requests("what_ifs", 10, 20):
        head, _, body = made.partition(b"\r\n\r\n")
        assert head.endswith(b"Content-Length: %d" % len(body))
        assert body.startswith(b'{"features":{"spend_112d":')
