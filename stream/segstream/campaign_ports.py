"""What campaigns need of the world: each a Protocol of at most five methods."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from segstream.core.campaigns import Code, Known

State = Literal["pending", "sent", "dead", "held_out", "stale", "suppressed"]
Judge = Callable[[Known], Code]


@dataclass(frozen=True, slots=True)
class Intent:
    """A message that may be sent: of which campaign, to whom, under which key, and when."""

    campaign: str
    customer_id: str
    key: str
    now_ms: int


class CampaignStore(Protocol):
    """What is known of customers and of messages."""

    async def intend(self, intent: Intent, judge: Judge) -> State | Code:
        """Judge a change once, and remember what is to be done before it is done.

        Returns
        -------
        State or Code
            What became of the message earlier; else the code of the judgement, `pending` where
            it is to be sent now.
        """
        ...

    async def mark(self, customer_id: str, key: str, state: State) -> None:
        """Remember what became of a message."""
        ...

    async def is_suppressed(self, customer_id: str) -> bool:
        """Whether the customer is on the suppression list."""
        ...

    async def forget(self, customer_id: str) -> None:
        """Drop the history of a customer who was erased."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its idempotency key, of whom it is, its body."""

    key: str
    campaign: str
    customer_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What one attempt came to.

    Attributes
    ----------
    why
        Empty where the message was accepted.
    final
        Whether another attempt would come to the same.
    """

    why: str = ""
    final: bool = False


class Sender(Protocol):
    """A sink of messages."""

    async def attempt(self, message: Message) -> Answer:
        """Try once; raises only what ends the role."""
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...


class DeadLetters(Protocol):
    """Where messages go that nobody took."""

    async def write(self, letter_id: str, customer_id: str, line: bytes) -> None:
        """Keep a dead letter; when this returns it is kept."""
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...
