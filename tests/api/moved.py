"""A state directory's records, models and changes as workers and a trainer would have left them."""

import asyncio
from contextlib import closing

import msgspec
from kafka import KafkaProducer
from redis import Redis
from tests.cli.commands import Place

from segstream.adapters import redis_keys
from segstream.adapters.kafka_models import STATE_KEY, model_key
from segstream.adapters.kafka_topics import TopicAdmin, wanted_topics
from segstream.adapters.redis_store import Adoption, LogBatch, LogOutbox, RedisStore, connect
from segstream.adapters.sqlite_store import SqliteStore
from segstream.api.live import partition_of
from segstream.core.model import Model
from segstream.core.partition import PartitionMeta, StoredRecord
from segstream.core.spec import text_hash
from segstream.core.trainer_state import TrainerLife
from segstream.core.turns import turn_of
from segstream.insights_view import insights_of_state
from segstream.kafka_settings import KafkaSettings
from segstream.ports import PanelBlock
from segstream.report.evidence import evidence_of
from segstream.report.leavers import leavers_frame
from segstream.report.retrospect import retrospect
from segstream.settings import Settings, policy_of
from segstream.stored_state import stored_settings
from segstream.view import open_view

PARTITIONS = 2


def moved(place: Place, kafka: str, redis: str, namespace: str) -> Settings:
    """Put a state on Kafka and Redis; returns the settings of its namespace."""
    settings = msgspec.structs.replace(
        stored_settings(place.state), namespace=namespace,
        kafka=KafkaSettings(bootstrap=kafka, partitions=PARTITIONS, retention_days="forever"),
    )  # fmt: skip
    with TopicAdmin(kafka) as admin:
        admin.create(wanted_topics(settings.kafka, namespace, 112.0))
    with closing(SqliteStore.to_read(place.state)) as store:
        held, records, models = store.held(), list(store.records()), store.models()
    view = open_view(place.state, place.out)
    evidence = evidence_of(view, "customer")
    told = {
        redis_keys.insights(namespace): insights_of_state(view),
        redis_keys.retrospect(namespace): retrospect(evidence, leavers_frame(evidence)),
    }
    with Redis.from_url(redis) as connection:
        for key, what in told.items():
            connection.set(key, msgspec.json.encode(what))
    life = TrainerLife(held.meta.day - 1, held.trainer)
    _publish(settings, models, life, (place.out / "changes.jsonl").read_bytes().splitlines())
    adopted = held.trainer.model
    assert adopted is not None
    for p in range(PARTITIONS):
        mine = [r for r in records if partition_of(r.customer_id, PARTITIONS) == p]
        asyncio.run(_store(settings, redis, p, mine, held.meta, adopted))
    return settings


def _publish(
    settings: Settings, models: list[Model], life: TrainerLife, changes: list[bytes]
) -> None:
    names = settings.kafka.topics(settings.namespace)
    producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap)
    try:
        for model in models:
            producer.send(names.models, msgspec.json.encode(model), model_key(model.number))
        producer.send(names.models, msgspec.msgpack.encode(life), STATE_KEY)
        for number, line in enumerate(changes):
            customer = msgspec.json.decode(line)["data"]["customer_id"]
            producer.send(
                names.changes, line, customer.encode(), timestamp_ms=1_700_000_000_000 + number,
                partition=partition_of(customer, PARTITIONS),
            )  # fmt: skip
        producer.flush()
    finally:
        producer.close()


async def _store(
    settings: Settings, redis: str, number: int, records: list[StoredRecord],
    meta: PartitionMeta, model: Model,
) -> None:  # fmt: skip
    policy = policy_of(settings)
    connection = connect(redis)
    store = RedisStore(
        connection, settings.namespace, number, settings.spec.digest, policy.sweep_minutes
    )
    try:
        await store.claim(1)
        batch = LogBatch(
            n=1, offset=1, meta=meta,
            adoption=Adoption(
                model.number, model.minute, model.generation_minute, model.generation
            ),
            outbox=LogOutbox(),
            records=[StoredRecord(i, r.customer_id, r.blob) for i, r in enumerate(records)],
            new=[(turn_of(policy, text_hash(r.customer_id)), r.customer_id) for r in records],
            ended=(), panel=PanelBlock(), new_day=False,
        )  # fmt: skip
        await store.commit(batch, 0)
    finally:
        await store.close()
