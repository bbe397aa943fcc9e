"""What each role must be allowed on the brokers; asked before it begins."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiokafka.errors import KafkaError
from kafka import KafkaAdminClient
from kafka.errors import (
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)
from kafka.errors import KafkaError as KafkaPythonError

from segstream.adapters.kafka_clients import connection
from segstream.errors import SourceError
from segstream.kafka_settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Needs:
    """What a role does.

    Attributes
    ----------
    topics
        (topic, operation) pairs.
    groups
        Consumer groups it joins.
    transactions
        Its transactional ids begin so; empty where it has none.
    transaction
        One of them.
    """

    topics: Sequence[tuple[str, str]]
    groups: Sequence[str]
    transactions: str
    transaction: str


def worker_needs(kafka: KafkaSettings, namespace: str) -> Needs:
    """What a worker does."""
    names = kafka.topics(namespace)
    return Needs(
        (
            (names.transactions, "READ"),
            (names.models, "READ"),
            (names.changes, "WRITE"),
            (names.dead_letters, "WRITE"),
            (names.evidence, "WRITE"),
            (names.current_segment, "WRITE"),
        ),
        (kafka.workers_group(namespace),),
        f"{namespace}-worker-",
        f"{namespace}-worker-0",
    )


def trainer_needs(kafka: KafkaSettings, namespace: str) -> Needs:
    """What a trainer does."""
    names = kafka.topics(namespace)
    both = [(topic, what) for topic in (names.evidence, names.models) for what in ("READ", "WRITE")]
    own = f"{namespace}-trainer"
    return Needs(both, (own,), own, own)


def insights_needs(kafka: KafkaSettings, namespace: str) -> Needs:
    """What an insights role does."""
    names = kafka.topics(namespace)
    read = [(topic, "READ") for topic in (names.transactions, names.changes, names.models)]
    return Needs(read, (f"{namespace}-insights",), "", "")


def campaign_needs(kafka: KafkaSettings, namespace: str, dead_letters: str) -> Needs:
    """What a campaign does.

    Parameters
    ----------
    dead_letters
        Topic of what the webhook did not take; empty where that is a file.
    """
    names = kafka.topics(namespace)
    read = [(topic, "READ") for topic in (names.changes, names.current_segment, names.models)]
    written = [(dead_letters, "WRITE")] if dead_letters else []
    return Needs((*read, *written), (f"{namespace}-campaign",), "", "")


async def check_permissions(kafka: KafkaSettings, needs: Needs) -> None:
    """Ask the brokers whether a role may do what it does; a topic that is not there is skipped.

    Raises
    ------
    SourceError
        With the commands that allow what is missing.
    """
    missing = await asyncio.to_thread(_missing, kafka, needs)
    if missing:
        raise denied(kafka, missing)


def denied(kafka: KafkaSettings, missing: Sequence[str]) -> SourceError:
    """What is missing, and how to give it."""
    who = kafka.sasl_username or "ANONYMOUS"
    command = f"kafka-acls.sh --bootstrap-server {kafka.bootstrap} --add --allow-principal"
    lines = [f"  {command} User:{who} {what}" for what in missing]
    return SourceError(
        f"kafka: expected {who} to be allowed what this role does, got {len(missing)} permissions "
        "too few; ask whoever runs the brokers to run\n" + "\n".join(lines)
    )


def _missing(kafka: KafkaSettings, needs: Needs) -> list[str]:
    try:
        admin = KafkaAdminClient(**connection(kafka), bootstrap_timeout_ms=5_000)
        try:
            return [
                *_missing_topics(admin, needs),
                *_missing_groups(admin, needs),
                *_missing_transactions(admin, needs),
            ]
        finally:
            admin.close()
    except KafkaPythonError as error:
        raise KafkaError(str(error)) from error


def _missing_topics(admin: KafkaAdminClient, needs: Needs) -> Iterator[str]:
    names = sorted({topic for topic, _ in needs.topics})
    found = {one["name"]: one for one in admin.describe_topics(names)}
    for topic, operation in needs.topics:
        told = found.get(topic, {})
        refused = told.get("error_code") == TopicAuthorizationFailedError.errno
        allowed = told.get("topic_authorized_operations")
        if refused or (not told.get("error_code") and allowed and operation not in allowed):
            yield f"--operation {operation} --topic {topic}"


def _missing_groups(admin: KafkaAdminClient, needs: Needs) -> Iterator[str]:
    for group in needs.groups:
        try:
            found = admin.describe_groups([group], include_authorized_operations=True)[group]
            allowed = found.get("authorized_operations")
            refused = bool(allowed) and "READ" not in allowed
            refused = refused or GroupAuthorizationFailedError.__name__ in str(found["error"])
        except GroupAuthorizationFailedError:
            refused = True
        if refused:
            yield f"--operation READ --group {group}"


def _missing_transactions(admin: KafkaAdminClient, needs: Needs) -> Iterator[str]:
    if not needs.transaction:
        return
    try:
        admin.describe_transactions([needs.transaction])
    except TransactionalIdAuthorizationFailedError:
        pattern = f"--transactional-id {needs.transactions} --resource-pattern-type prefixed"
        yield f"--operation WRITE {pattern}"
    except KafkaPythonError:  # none of that name yet
        return
