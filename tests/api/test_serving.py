"""What the server does with a connection."""

import asyncio

from segstream.api.serving import Joined


class Wire:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, piece: bytes) -> None:
        """Keep a piece."""
        self.sent.append(piece)

    def close(self) -> None:
        """Note it."""
        self.closed = True


def test_head_and_body_go_in_one_piece() -> None:
    """A client is woken once a response; a later response is a piece of its own."""

    async def two_responses() -> list[bytes]:
        wire = Wire()
        joined = Joined(wire, asyncio.get_running_loop())
        for body in (b"one", b"two"):
            joined.write(b"head ")
            joined.write(body)
            await asyncio.sleep(0)
        return wire.sent

    assert asyncio.run(two_responses()) == [b"head one", b"head two"]


def test_what_was_written_is_sent_before_a_close() -> None:
    """A response that ends its connection arrives."""

    async def last_words() -> tuple[list[bytes], bool]:
        wire = Wire()
        joined = Joined(wire, asyncio.get_running_loop())
        joined.write(b"bye")
        joined.close()
        await asyncio.sleep(0)
        return wire.sent, wire.closed

    assert asyncio.run(last_words()) == ([b"bye"], True)
