"""The contracts: every message that goes in or comes out, its type, its version, its JSON Schema.

A schema is made of the type that reads or writes the message. The released ones are in
docs/schemas, one file per contract and version; a change that breaks whoever is at the other end
needs the next version (tests/contracts/compatibility.py says what breaks).
"""

import inspect
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from segstream.core.campaign_messages import CampaignDeadLetter, CampaignLogLine, CampaignMessage
from segstream.core.changes import Change
from segstream.core.dead_letters import DeadLetterHeaders
from segstream.core.events import Event
from segstream.core.model import Model
from segstream.core.partition import DayTotals
from segstream.core.playbook import Playbook
from segstream.core.trainer_state import Command, TrainerLife
from segstream.engine import DeadLetterLine
from segstream.ports import DayEvidence

Direction = Literal["input", "output"]
"""`input`: others write, Segstream reads. `output`: Segstream writes, and whoever reads may be of
another version: a consumer, or a role of its own that is not upgraded yet."""
Encoding = Literal["JSON", "MessagePack", "headers", "TOML"]


@dataclass(frozen=True, slots=True)
class Contract:
    """One kind of message.

    Attributes
    ----------
    where
        Topic and key, or file.
    version
        Raised by a change that breaks readers (output) or writers (input).
    """

    name: str
    type: Any
    direction: Direction
    where: str
    encoding: Encoding = "JSON"
    version: int = 1

    @property
    def file_name(self) -> str:
        """Of the released schema."""
        return f"{self.name}.v{self.version}.json"


CONTRACTS: Final = (
    Contract("event", Event, "input", "`transactions`, key: customer"),
    Contract("change", Change, "output", "`segment-changes`, key: customer"),
    Contract("current-segment", Change | None, "output",
             "`current-segment`, key: customer; null is the tombstone of an erased one"),
    Contract("dead-letter-headers", DeadLetterHeaders, "output",
             "`dead-letters`; key and value are the original bytes", "headers"),
    Contract("dead-letter", DeadLetterLine, "output", "a line of dead-letters.jsonl of a `run`"),
    Contract("model", Model, "output", "`models`, key: `model:NUMBER`"),
    Contract("trainer-state", TrainerLife, "output", "`models`, key: `state`", "MessagePack"),
    Contract("evidence", DayEvidence, "output", "`evidence`, key: `PARTITION:DAY`",
             "MessagePack"),
    Contract("evidence-totals", DayTotals, "output", "`totals` of `evidence`", "MessagePack"),
    Contract("command", Command, "output", "`evidence`, key: `command:ID`", "MessagePack"),
    Contract("campaign-message", CampaignMessage[Change], "output",
             "body of the webhook, line of the file sink"),
    Contract("campaign-dead-letter", CampaignDeadLetter, "output",
             "file or topic of a campaign's dead letters"),
    Contract("campaign-log", CampaignLogLine, "output", "a line of a campaign's log"),
    Contract("playbook", Playbook, "input", "a playbook file", "TOML"),
)  # fmt: skip
BY_NAME: Final = {contract.name: contract for contract in CONTRACTS}


def json_schema(contract: Contract) -> dict[str, Any]:
    """JSON Schema (2020-12) of a message; bytes within MessagePack are shown as base64."""
    found: dict[str, Any] = _plain(msgspec.json.schema(contract.type))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:segstream:{contract.name}:{contract.version}",
        "$comment": f"{contract.direction}, {contract.encoding}: {contract.where}",
        **found,
    }


def _plain(node: Any) -> Any:
    """Take the indentation out of descriptions, which are docstrings."""
    if isinstance(node, dict):
        return {
            key: inspect.cleandoc(value)
            if key == "description" and isinstance(value, str)
            else _plain(value)
            for key, value in node.items()
        }
    return [_plain(one) for one in node] if isinstance(node, list | tuple) else node
