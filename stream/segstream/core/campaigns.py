"""Campaigns: which segment changes become a message, and to whom.

A campaign is a rule on changes. `decide` takes a change, a campaign and what is known of the
customer, and returns a code. The gates are asked in this order, and the first that closes gives
the code:

::

    matches      reason, segment, direction, margin: is this change the campaign's at all
    stale        the change is older than it may be
    suppressed   the customer is on the suppression list: nothing opens this gate
    moved_on     a later change has taken the customer elsewhere
    already      the customer had this campaign, and may not have it again yet
    capped       as many of this campaign as a customer may have
    held_out     by hash, to measure the effect; counts in the two gates above
    capped_all   as many of all campaigns; whoever is held out got nothing, so it comes last
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

import msgspec

from segstream.core.campaign_messages import CampaignMessage
from segstream.core.changes import Change, Direction, Reason, SegmentRef

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
FOREVER: Final = -1

Code = Literal[
    "fire", "other", "stale", "suppressed", "moved_on", "already", "capped", "held_out",
    "capped_all",
]  # fmt: skip
Clock = Literal["wall", "events"]


class Cap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most so many messages to a customer in so many days before now.

    Attributes
    ----------
    count
        1 or more.
    days
        Above 0.
    """

    count: int
    days: float


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where messages are posted.

    Attributes
    ----------
    url
        `https://...`; redirects are not followed.
    secret_env
        Environment variable that holds the key of the signature.
    timeout_s
        Of one attempt, the answer included.
    backoff_s
        Shortest and longest pause between attempts; it doubles, with jitter.
    give_up_after_s
        A message that failed for so long becomes a dead letter; so does each further message,
        after one attempt, until one is accepted again.
    concurrency
        Messages under way at a time, never two of one customer.
    """

    url: str
    secret_env: str = "SEGSTREAM_WEBHOOK_SECRET"  # noqa: S105 - a name, not a secret
    timeout_s: float = 10.0
    backoff_s: tuple[float, float] = (0.5, 60.0)
    give_up_after_s: float = 3600.0
    concurrency: int = 8


class DeadLetterPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where messages go that the webhook did not take: a file, or a topic that exists.

    Attributes
    ----------
    file
        JSON lines.
    topic
        Keyed by customer; used instead of the file.
    """

    file: str = "campaign-dead-letters.jsonl"
    topic: str = ""


class Campaign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One campaign: which changes it answers, and how often.

    Attributes
    ----------
    name
        Part of the idempotency key, of the holdout's hash and of the customer's history: another
        name is another campaign.
    enters, leaves
        Segments by name or id, of which the new and the former segment must be one; any where
        empty. Prefer ids: a segment's name may change.
    reasons
        `first` would greet everybody at the start; at `model` and `recluster` the customer did
        nothing.
    directions
        `up`, `down`, `level`; any where empty.
    min_margin
        Least margin of the change: squared distance, scaled units.
    reentry
        `once`, `every`, or the number of days after which a customer may have it again.
    cap
        Of this campaign.
    max_age_hours, holdout
        Instead of the file's own.
    sink
        `webhook` or `file`.
    """

    name: str
    enters: tuple[int | str, ...] = ()
    leaves: tuple[int | str, ...] = ()
    reasons: tuple[Reason, ...] = ("behaviour", "time")
    directions: tuple[Direction, ...] = ()
    min_margin: float = 0.0
    reentry: float | Literal["once", "every"] = 30.0
    cap: Cap | None = None
    max_age_hours: float | None = None
    holdout: float | None = None
    sink: Literal["webhook", "file"] = "webhook"


class Campaigns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A campaign file.

    Attributes
    ----------
    clock
        What a change's age, caps and re-entry are measured against: the `wall` clock, or the
        newest change seen (`events`), for replays.
    max_age_hours
        Older changes send nothing, so catching up does not.
    holdout
        Share of customers, 0 to below 1, that get nothing.
    remember_days
        How long Redis knows what became of a change, by the wall clock.
    suppress
        File of customer ids, one a line, read again when it changes; none where empty.
    file
        Messages of campaigns with the sink `file`, as JSON lines.
    log
        What became of every change that a campaign answers to, as JSON lines.
    cap
        Over all campaigns.
    webhook, dead_letters
        A table of its own.
    campaign
        One `[[campaign]]` each.
    """

    clock: Clock = "wall"
    max_age_hours: float = 24.0
    holdout: float = 0.1
    remember_days: float = 30.0
    suppress: str = ""
    file: str = "campaign-messages.jsonl"
    log: str = "campaign-log.jsonl"
    cap: Cap | None = None
    webhook: WebhookSettings | None = None
    dead_letters: DeadLetterPlace = DeadLetterPlace()
    campaign: tuple[Campaign, ...] = ()

    def max_age_ms(self, campaign: Campaign) -> float:
        """Age beyond which a change is stale."""
        own = campaign.max_age_hours
        return (self.max_age_hours if own is None else own) * HOUR_MS

    def holdout_of(self, campaign: Campaign) -> float:
        """Share of customers that get nothing of a campaign."""
        return self.holdout if campaign.holdout is None else campaign.holdout

    @property
    def history_ms(self) -> float:
        """How far back a customer's history matters; `FOREVER` with a re-entry `once`."""
        if any(c.reentry == "once" for c in self.campaign):
            return FOREVER
        caps = (self.cap, *(c.cap for c in self.campaign))
        spans = [cap.days for cap in caps if cap is not None]
        spans += [c.reentry for c in self.campaign if not isinstance(c.reentry, str)]
        return max(spans, default=0.0) * DAY_MS


class Fired(msgspec.Struct, frozen=True, array_like=True):
    """One message of a customer's history, or one that was held out."""

    campaign: str
    at_ms: int
    held_out: bool


class Standing(NamedTuple):
    """Where a customer stands: after which change, in which segment.

    The time comes first: after an erasure sequences begin anew.
    """

    time_ms: int
    sequence: int
    segment: int | None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a customer when a change is judged.

    Attributes
    ----------
    fired
        The customer's history, in any order.
    current
        By the newest change known; None where nothing is known.
    """

    fired: Sequence[Fired] = ()
    suppressed: bool = False
    current: Standing | None = None


class Decision(NamedTuple):
    """What to do about a change, and the key under which it is done once."""

    code: Code
    key: str


def decide(
    change: Change, campaign: Campaign, rules: Campaigns, now_ms: int, known: Known
) -> Decision:
    """Decide whether a change becomes a message of a campaign.

    Parameters
    ----------
    now_ms
        By the file's `clock`.
    """
    key = delivery_key(campaign.name, change.id)
    if not matches(change, campaign):
        return Decision("other", key)
    return Decision(_gate(change, campaign, rules, now_ms, known), key)


def _gate(change: Change, campaign: Campaign, rules: Campaigns, now_ms: int, known: Known) -> Code:
    """Return the code of the first gate that is closed."""
    own = [f for f in known.fired if f.campaign == campaign.name]
    sent = [f for f in known.fired if not f.held_out]
    gates: tuple[tuple[Code, bool], ...] = (
        ("stale", is_stale(change, campaign, rules, now_ms)),
        ("suppressed", known.suppressed),
        ("moved_on", _moved_on(change, known.current)),
        ("already", not _may_again(campaign, own, now_ms)),
        ("capped", _full(campaign.cap, own, now_ms)),
        ("held_out", is_held_out(campaign.name, customer_of(change), rules.holdout_of(campaign))),
        ("capped_all", _full(rules.cap, sent, now_ms)),
    )
    return next((code for code, closed in gates if closed), "fire")


def matches(change: Change, campaign: Campaign) -> bool:
    """Whether a change is one that a campaign answers to."""
    told = change.data
    return (
        told.reason in campaign.reasons
        and _is_one_of(told.to, campaign.enters)
        and _is_one_of(told.from_, campaign.leaves)
        and (not campaign.directions or told.direction in campaign.directions)
        and (told.margin or 0.0) >= campaign.min_margin
    )


def _is_one_of(segment: SegmentRef | None, wanted: Sequence[int | str]) -> bool:
    if not wanted:
        return True
    return segment is not None and (segment.id in wanted or segment.name in wanted)


def is_stale(change: Change, campaign: Campaign, rules: Campaigns, now_ms: int) -> bool:
    """Whether a change is older than its campaign allows."""
    return now_ms - time_of(change) > rules.max_age_ms(campaign)


def _moved_on(change: Change, current: Standing | None) -> bool:
    if current is None:
        return False
    own = standing_of(change)
    return current[:2] > own[:2] and current.segment != own.segment


def _may_again(campaign: Campaign, own: Sequence[Fired], now_ms: int) -> bool:
    if campaign.reentry == "every" or not own:
        return True
    if isinstance(campaign.reentry, str):
        return False
    return now_ms - max(f.at_ms for f in own) >= campaign.reentry * DAY_MS


def _full(cap: Cap | None, fired: Sequence[Fired], now_ms: int) -> bool:
    if cap is None:
        return False
    return sum(now_ms - f.at_ms < cap.days * DAY_MS for f in fired) >= cap.count


def is_held_out(campaign: str, customer_id: str, share: float) -> bool:
    """Whether a customer gets nothing of a campaign: always the same answer.

    >>> sum(is_held_out("win-back", str(n), 0.1) for n in range(10_000))
    980
    """
    return int(_digest("holdout", campaign, customer_id)[:16], 16) < share * 2**64


def delivery_key(campaign: str, change_id: str) -> str:
    """Idempotency key: the same for every attempt to send one change for one campaign."""
    return _digest("delivery", campaign, change_id)[:32]


def _digest(*parts: str) -> str:
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# ---- changes ---------------------------------------------------------------------------


def customer_of(change: Change) -> str:
    """Whom a change is about."""
    return change.data.customer_id


def time_of(change: Change) -> int:
    """Event time of a change, epoch milliseconds."""
    return round(datetime.fromisoformat(change.time).timestamp() * 1000)


def standing_of(change: Change) -> Standing:
    """Where the customer stands after a change."""
    to = change.data.to
    return Standing(time_of(change), change.data.sequence, to.id if to else None)


def message_of(change: bytes, campaign: str, key: str, customer_id: str) -> bytes:
    """Encode what a sink gets: the same bytes at every attempt."""
    return msgspec.json.encode(CampaignMessage(key, campaign, customer_id, msgspec.Raw(change)))
