"""Campaigns at work: the order of effects between a segment change and its message.

For a run of changes read from the log:

1. read the changes
2. decide, change by change and campaign by campaign: pure
3. record the intent: the message's state `pending` and the customer's history, in one MULTI
4. send it with its idempotency key; where the sink refuses it for good, write the dead letter
5. mark it `sent` or `dead`, and say so in the log
6. commit the offset, when all messages of the run are marked

A crash before 3 leaves nothing behind and the change is read again. After 3 it is read again too,
found `pending`, and sent under the same key without another decision. Between 4 and 5 that is the
second time, and only the receiver can know: it drops the key that it has. After 5 nothing is sent.
1 and 6 are `segstream.adapters.kafka_campaign`'s.
"""

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from segstream.adapters.campaign_files import LineFile, as_line
from segstream.campaign_ports import (
    Answer,
    CampaignStore,
    DeadLetters,
    Intent,
    Message,
    Sender,
    State,
)
from segstream.core.campaign_messages import CODES, CampaignDeadLetter, CampaignLogLine
from segstream.core.campaigns import (
    Campaign,
    Campaigns,
    Known,
    Standing,
    WebhookSettings,
    customer_of,
    decide,
    delivery_key,
    is_stale,
    matches,
    message_of,
    standing_of,
    time_of,
)
from segstream.core.changes import Change
from segstream.metrics import ATTEMPTS, Metrics

LOG: Final = logging.getLogger("segstream.campaign")
_CHANGES: Final = "segstream_campaign_changes_total"
_ATTEMPTS: Final = "segstream_campaign_attempts_total"
_FAILING: Final = "segstream_campaign_failing_seconds"


@dataclass(frozen=True, slots=True)
class Seen:
    """A change as it was read: decoded, and its bytes."""

    change: Change
    body: bytes


@dataclass(frozen=True)
class Parts:
    """What a campaign works with.

    Attributes
    ----------
    senders
        By the name of the sink.
    suppressed
        Ids of the suppression file as it is now.
    now_ms
        The wall clock.
    """

    store: CampaignStore
    senders: Mapping[str, Sender]
    dead: DeadLetters
    log: LineFile
    suppressed: Callable[[], frozenset[str]] = frozenset
    metrics: Metrics = field(default_factory=lambda: Metrics("campaign"))
    now_ms: Callable[[], int] = lambda: round(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class _Due:
    """A message whose intent is recorded."""

    seen: Seen
    campaign: Campaign
    message: Message


class Campaigner:
    """Judges changes, and sees each message through."""

    def __init__(self, rules: Campaigns, parts: Parts) -> None:
        self._rules, self._parts = rules, parts
        self._web = rules.webhook or WebhookSettings("")
        self._under_way = asyncio.Semaphore(self._web.concurrency)
        self._failing_since_s: float | None = None
        self.newest_ms = 0
        for name, code in itertools.product([one.name for one in rules.campaign], CODES):
            parts.metrics.add(_CHANGES, 0, campaign=name, code=code)
        for name, outcome in itertools.product([one.name for one in rules.campaign], ATTEMPTS):
            parts.metrics.add(_ATTEMPTS, 0, campaign=name, outcome=outcome)

    @property
    def now_ms(self) -> int:
        """The time that ages are measured against."""
        return self._parts.now_ms() if self._rules.clock == "wall" else self.newest_ms

    async def handle(
        self, run: Sequence[Seen], current: Mapping[str, Standing | None] | None = None
    ) -> None:
        """Do steps 2 to 5 for a run of changes.

        Parameters
        ----------
        current
            Where customers stand by the current-segment topic; the run's own changes are known.
        """
        # What a run holds twice is found `pending` twice, and would be sent twice.
        run = list({seen.change.id: seen for seen in run}.values())
        standing = _latest(run, current or {})
        self.newest_ms = max([self.newest_ms, *(time_of(seen.change) for seen in run)])
        due: list[_Due] = []
        for seen in run:
            due += await self._intend(seen, standing.get(customer_of(seen.change)))
        by_customer: dict[str, list[_Due]] = {}
        for one in due:
            by_customer.setdefault(one.message.customer_id, []).append(one)
        await _together(self._settle_all(each) for each in by_customer.values())
        self._parts.log.sync()

    async def _intend(self, seen: Seen, current: Standing | None) -> list[_Due]:
        """Steps 2 and 3; returns what is to be sent."""
        change, due = seen.change, []
        customer = customer_of(change)
        if change.data.reason == "erased":
            await self._parts.store.forget(customer)
        for campaign in self._rules.campaign:
            if not matches(change, campaign):
                continue
            key = delivery_key(campaign.name, change.id)
            intent = Intent(campaign.name, customer, key, self.now_ms)
            listed = customer in self._parts.suppressed()

            def judge(known: Known, campaign: Campaign = campaign, listed: bool = listed) -> Any:
                full = Known(known.fired, known.suppressed or listed, current)
                return decide(change, campaign, self._rules, self.now_ms, full).code  # 2.

            became = await self._parts.store.intend(intent, judge)  # 3.
            message = Message(key, campaign.name, customer, b"")
            if became == "pending":
                body = message_of(seen.body, campaign.name, key, customer)
                due.append(_Due(seen, campaign, Message(key, campaign.name, customer, body)))
            else:
                self._note(seen, message, became)
        return due

    async def _settle_all(self, due: Iterable[_Due]) -> None:
        """Steps 4 and 5 for one customer's messages, in order."""
        async with self._under_way:
            for one in due:
                state = await self._send(one)  # 4.
                message = one.message
                await self._parts.store.mark(message.customer_id, message.key, state)  # 5.
                self._note(one.seen, message, state)

    async def _send(self, due: _Due) -> State:
        """Try until it is accepted, refused for good, or may no longer be sent."""
        began_s = time.monotonic()
        for attempt in itertools.count():
            closed = await self._closed(due)
            if closed:
                return closed
            answer = await self._attempt(due)
            if not answer.why:
                self._works()
                return "sent"
            if answer.final or self._is_enough(began_s, answer, due.message):
                await self._bury(due, answer)
                return "dead"
            await asyncio.sleep(self._pause_s(attempt))
        raise AssertionError

    async def _attempt(self, due: _Due) -> Answer:
        answer = await self._parts.senders[due.campaign.sink].attempt(due.message)
        outcome = "accepted" if not answer.why else "refused" if answer.final else "failed"
        self._parts.metrics.add(_ATTEMPTS, campaign=due.campaign.name, outcome=outcome)
        return answer

    async def _closed(self, due: _Due) -> State | None:
        """Ask the gates again that protect people, as a message may have waited for long."""
        customer = due.message.customer_id
        if customer in self._parts.suppressed() or await self._parts.store.is_suppressed(customer):
            return "suppressed"
        if is_stale(due.seen.change, due.campaign, self._rules, self.now_ms):
            return "stale"
        return None

    def _works(self) -> None:
        if self._failing_since_s is not None:
            LOG.warning("webhook: works again")
        self._failing_since_s = None
        self._parts.metrics.set(_FAILING, 0)

    def _is_enough(self, began_s: float, answer: Answer, message: Message) -> bool:
        """Whether this message, or the webhook, has failed for as long as it may."""
        now_s = time.monotonic()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
            LOG.warning(
                "webhook: %s for %s; trying again, for %g s at most",
                answer.why, message.key, self._web.give_up_after_s,
            )  # fmt: skip
        self._parts.metrics.set(_FAILING, now_s - self._failing_since_s)
        return now_s - min(began_s, self._failing_since_s) >= self._web.give_up_after_s

    def _pause_s(self, attempt: int) -> float:
        shortest, longest = self._web.backoff_s
        # With jitter: members that failed together do not come back together.
        return min(longest, shortest * 2.0 ** min(attempt, 32)) * random.uniform(0.5, 1.0)  # noqa: S311

    async def _bury(self, due: _Due, answer: Answer) -> None:
        message = due.message
        LOG.warning("webhook: gave %s up, a dead letter: %s", message.key, answer.why)
        told = CampaignDeadLetter(message.key, answer.why, message.body.decode())
        await self._parts.dead.write(message.key, message.customer_id, as_line(told))

    def _note(self, seen: Seen, message: Message, code: str) -> None:
        """Say in the log what became of a change; once, however often it is read."""
        self._parts.metrics.add(_CHANGES, campaign=message.campaign, code=code)
        told = CampaignLogLine(
            id=f"{message.key}:{code}", campaign=message.campaign, code=code,
            customer_id=message.customer_id, change=seen.change.id,
            time=seen.change.time, logged_ms=self._parts.now_ms(),
        )  # fmt: skip
        self._parts.log.add(told.id, as_line(told))


def _latest(
    run: Sequence[Seen], current: Mapping[str, Standing | None]
) -> dict[str, Standing | None]:
    """Newest standing of each customer of a run."""
    found: dict[str, Standing | None] = {}
    for seen in run:
        customer, own = customer_of(seen.change), standing_of(seen.change)
        before = found.get(customer, current.get(customer))
        found[customer] = own if before is None or before[:2] <= own[:2] else before
    return found


async def _together(steps: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all; the first failure ends the others and is raised as it is."""
    tasks = [asyncio.create_task(step) for step in steps]
    if not tasks:
        return
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
