"""What campaigns write, as types: messages to a sink, dead letters, lines of the log."""

from typing import Annotated, Final, Generic, TypeVar

import msgspec

Body = TypeVar("Body")
CODES: Final = (
    "sent", "dead", "stale", "suppressed", "moved_on", "already", "capped", "held_out",
    "capped_all",
)  # fmt: skip


class CampaignMessage(msgspec.Struct, Generic[Body], frozen=True):
    """What the receiver of a campaign gets, and a line of the file sink.

    Attributes
    ----------
    id
        Idempotency key: the same at every attempt.
    change
        The segment change as it was published.
    """

    id: str
    campaign: str
    customer_id: str
    change: Body


class CampaignDeadLetter(msgspec.Struct, frozen=True):
    """A message that nobody took, or a change that could not be read.

    Attributes
    ----------
    id
        The message's; `topic:partition:offset` of what is no change.
    message
        The message whole, as text.
    """

    id: str
    why: str
    message: str


class CampaignLogLine(msgspec.Struct, frozen=True):
    """What became of one change under one campaign.

    Attributes
    ----------
    id
        Idempotency key and code.
    change
        Id of the change.
    time
        Event time of the change.
    logged_ms
        Wall clock, epoch milliseconds.
    """

    id: str
    campaign: str
    code: Annotated[
        str, msgspec.Meta(examples=list(CODES), description="Later versions may add more.")
    ]
    customer_id: str
    change: str
    time: Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
    logged_ms: int
