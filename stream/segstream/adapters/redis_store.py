"""The store on Redis: one partition, one plain connection, every batch one MULTI.

Commits are compare-and-set: WATCH the meta hash, check epoch and batch, then MULTI. They are never
retried: a commit whose answer is lost is settled by the next claim, which reads whether it
happened.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, cast

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError, WatchError

from segstream.adapters import redis_keys as keys
from segstream.adapters.redis_watch import Command, WatchedHash
from segstream.core.partition import PartitionMeta, StoredRecord
from segstream.core.stored import StoredRows
from segstream.errors import FencedError, StateError
from segstream.ports import Outbox, PanelBlock

# A member of an older group generation may not take over what a newer one claimed just now.
RECENT_CLAIM_MS: Final = 60_000
# Replies of about a megabyte: long enough to be cheap, short enough not to stall the loop.
_READ_KEYS: Final = 4_000
# WATCH, HGETALL, TIME, MULTI to EXEC.
_CLAIM_TRIPS: Final = 4


class Adoption(msgspec.Struct, frozen=True):
    """Which model a partition uses, and from which instants on.

    Attributes
    ----------
    number
        0 before the first model.
    minute, generation_minute
        Instants (minutes since 1970) at which this partition adopted model and generation.
    """

    number: int = 0
    minute: int = -1
    generation_minute: int = -1
    generation: int = 0


class LogOutbox(msgspec.Struct, frozen=True):
    """What a batch of a Kafka partition publishes: an outbox and its evidence."""

    out: Outbox = Outbox()
    evidence: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class PartitionClaim:
    """What Redis holds for a partition, now owned by the claimant.

    Attributes
    ----------
    found_epoch
        The epoch before this claim: caches stay valid where it was the claimant's own.
    offset
        Next offset to read; None for a partition that was never committed.
    """

    epoch: int
    found_epoch: int
    n: int
    offset: int | None
    meta: PartitionMeta
    adoption: Adoption
    outbox: LogOutbox
    topic_id: str
    watch: bytes


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Everything one batch of a partition's log changes."""

    n: int
    offset: int
    meta: PartitionMeta
    adoption: Adoption
    outbox: LogOutbox
    records: Sequence[StoredRecord]
    new: Sequence[tuple[int, str]]
    ended: Sequence[tuple[int, str]]
    panel: PanelBlock
    new_day: bool
    watch: bytes = b""


def connect(url: str) -> Redis:
    """One plain connection without retries.

    Parameters
    ----------
    url
        ``redis://host:port/db``.
    """
    return Redis.from_url(
        url,
        single_connection_client=True,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=10.0,
        socket_connect_timeout=5.0,
    )


async def check_server(redis: Redis, relaxed: bool) -> None:
    """Refuse a Redis that may lose or evict what was committed.

    Parameters
    ----------
    relaxed
        Accept ``appendfsync everysec``: a power cut may then lose a second, repaired by
        publishing again.

    Raises
    ------
    StateError
    """
    try:
        found = await redis.config_get("appendonly", "appendfsync", "maxmemory-policy")
    except ResponseError as error:
        raise StateError(
            f"redis: expected to read its settings, got {error}; allow CONFIG GET for this user"
        ) from error
    settings = {_text(k): _text(v) for k, v in found.items()}
    allowed = ("always", "everysec") if relaxed else ("always",)
    wanted = (
        ("appendonly", ("yes",)), ("appendfsync", allowed), ("maxmemory-policy", ("noeviction",)),
    )  # fmt: skip
    for name, values in wanted:
        if settings.get(name) not in values:
            raise StateError(
                f"redis: expected {name} {' or '.join(values)}, got {settings.get(name)}; "
                f"set it in redis.conf, or: redis-cli CONFIG SET {name} {values[0]}"
            )


async def erase_key(redis: Redis, namespace: str) -> bytes:
    """Key of the HMAC that remembers erased ids: drawn by the first worker, kept for all."""
    name = keys.erase_key(namespace)
    await redis.set(name, secrets.token_bytes(32), nx=True)
    return cast("bytes", await redis.get(name))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class RedisStore:
    """One partition's records and position.

    Parameters
    ----------
    turns
        Minutes of the sweep: one roster each.
    """

    def __init__(
        self, redis: Redis, namespace: str, partition: int, spec_digest: str, turns: int
    ) -> None:
        self._redis = redis
        self._namespace, self._partition = namespace, partition
        self._spec, self._turns = spec_digest, turns
        self._meta = keys.meta(namespace, partition)
        self._panel = keys.panel(namespace, partition)
        self._records = keys.record(namespace, partition, "").encode()
        self._watched = WatchedHash(redis, self._meta, (keys.EPOCH, keys.BATCH))
        self._epoch = 0
        self.trips = {"claim": 0, "load": 0, "commit": 0}
        self.read_bytes = self.written_bytes = 0

    async def claim(self, generation: int) -> PartitionClaim:
        """Raise the epoch: nobody else can commit from here on.

        Raises
        ------
        FencedError
            A member of a newer group generation claimed it just now.
        StateError
            The records were made with another spec.
        """
        async with self._redis.pipeline(transaction=True) as pipe:
            await pipe.watch(self._meta)
            held = cast("dict[bytes, bytes]", await pipe.hgetall(self._meta))
            seconds, micros = await pipe.time()
            now_ms = int(seconds) * 1000 + int(micros) // 1000
            self._refuse(held, generation, now_ms)
            found = int(held.get(keys.EPOCH, 0))
            epoch = max(found + 1, now_ms)
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.hset(
                self._meta,
                mapping=_fields(
                    {
                        keys.EPOCH: epoch,
                        keys.GENERATION: generation,
                        keys.CLAIMED_MS: now_ms,
                        keys.SPEC: self._spec,
                    }
                ),
            )
            try:
                await pipe.execute()
            except WatchError as error:
                raise self._lost("another claim came first") from error
        self._epoch = epoch
        self.trips["claim"] += _CLAIM_TRIPS
        return _claim_of(held, epoch, found)

    async def held(self) -> PartitionClaim:
        """Return what Redis holds, without taking it over."""
        held = cast("dict[bytes, bytes]", await self._redis.hgetall(self._meta))
        epoch = int(held.get(keys.EPOCH, 0))
        return _claim_of(held, epoch, epoch)

    def _refuse(self, held: dict[bytes, bytes], generation: int, now_ms: int) -> None:
        spec = held.get(keys.SPEC, self._spec.encode()).decode()
        if spec != self._spec:
            raise StateError(
                f"redis: expected feature spec {spec} in {self._meta}, got {self._spec}; go back "
                "to the spec it was made with, or rebuild into a new namespace"
            )
        recent = now_ms - int(held.get(keys.CLAIMED_MS, 0)) < RECENT_CLAIM_MS
        if recent and generation < int(held.get(keys.GENERATION, -1)):
            raise self._lost(f"a member of generation {held[keys.GENERATION].decode()} has it")

    def _lost(self, why: str) -> FencedError:
        return FencedError(f"redis: partition {self._partition} is lost: {why}")

    async def records(self) -> list[StoredRecord]:
        """Every record, so that each roster keeps its order."""
        ids: list[str] = []
        for turn in range(self._turns):
            key = keys.roster(self._namespace, self._partition, turn)
            members = cast("list[bytes]", await self._redis.lrange(key, 0, -1))
            self.trips["load"] += 1
            ids.extend(member.decode("utf-8", "surrogatepass") for member in members)
        found: list[StoredRecord] = []
        for start in range(0, len(ids), _READ_KEYS):
            some = ids[start : start + _READ_KEYS]
            blobs = await self._redis.mget([self._key(i) for i in some])
            self.trips["load"] += 1
            self.read_bytes += sum(len(blob or b"") for blob in blobs)
            for slot, (customer_id, blob) in enumerate(zip(some, blobs, strict=True), start):
                if blob is None:
                    raise StateError(
                        f"redis: expected a record for every id of a roster, got none for one in "
                        f"{self._meta}; the keys were changed from outside: rebuild"
                    )
                found.append(StoredRecord(slot, customer_id, cast("bytes", blob)))
        return found

    def _key(self, customer_id: str) -> bytes:
        return self._records + _id_bytes(customer_id)

    async def panel(self) -> list[PanelBlock]:
        """Panel blocks of the open day."""
        blocks = cast("list[bytes]", await self._redis.lrange(self._panel, 0, -1))
        return [msgspec.msgpack.decode(block, type=PanelBlock) for block in blocks]

    async def commit(self, batch: LogBatch, before: int) -> None:
        """Write all of a batch or nothing.

        Parameters
        ----------
        before
            Number of the batch that must be the last one there.

        Raises
        ------
        FencedError
            Somebody else has claimed since, or the outcome is not known: claim again.
        """
        before_trips = self._watched.trips
        try:
            epoch, n = await self._watched.read()
            if int(epoch or 0) != self._epoch or int(n or 0) != before:
                raise self._lost(f"epoch {epoch!r} and batch {n!r} are not mine")
            await self._watched.execute(self._commands(batch))
        except (RedisError, OSError) as error:
            raise self._lost(f"{type(error).__name__}: {error}") from error
        finally:
            self.trips["commit"] += self._watched.trips - before_trips

    def _commands(self, batch: LogBatch) -> list[Command]:
        """What writes a batch."""
        commands: list[Command] = []
        # An id may end and begin anew within one batch.
        for turn, customer_id in batch.ended:
            commands.append(("DEL", self._key(customer_id)))
            commands.append(("LREM", self._roster(turn), 1, _id_bytes(customer_id)))
        if batch.records:
            stored = StoredRows.of(batch.records)
            pairs = zip(map(self._key, stored.ids), stored.blobs(), strict=True)
            commands.append(("MSET", *chain.from_iterable(pairs)))
        rosters: dict[int, list[bytes]] = {}
        for turn, customer_id in batch.new:
            rosters.setdefault(turn, []).append(_id_bytes(customer_id))
        commands += [("RPUSH", self._roster(turn), *ids) for turn, ids in rosters.items()]
        if batch.new_day:
            commands.append(("DEL", self._panel))
        if batch.panel.keys:
            commands.append(("RPUSH", self._panel, msgspec.msgpack.encode(batch.panel)))
        outbox = msgspec.msgpack.encode(batch.outbox)
        self.written_bytes += len(outbox) + len(StoredRows.of(batch.records).payload)
        fields: dict[bytes, bytes | int] = {
            keys.BATCH: batch.n,
            keys.OFFSET: batch.offset,
            keys.STATE: msgspec.msgpack.encode(batch.meta),
            keys.MODEL: msgspec.msgpack.encode(batch.adoption),
            keys.OUTBOX: outbox,
            keys.WATCH: batch.watch,
        }
        commands.append(("HSET", self._meta, *chain.from_iterable(fields.items())))
        return commands

    def _roster(self, turn: int) -> str:
        return keys.roster(self._namespace, self._partition, turn)

    async def remember_topic(self, topic_id: str) -> None:
        """Note which topic the offsets are of."""
        await self._redis.hset(self._meta, keys.TOPIC_ID.decode(), topic_id)

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()


def _id_bytes(customer_id: str) -> bytes:
    return customer_id.encode("utf-8", "surrogatepass")


def _fields(values: dict[bytes, object]) -> Any:
    """Fields as redis-py types them: any of bytes, text and numbers."""
    return values


def _claim_of(held: dict[bytes, bytes], epoch: int, found: int) -> PartitionClaim:
    def read(field: bytes, kind: Any) -> Any:
        value = held.get(field)
        return kind() if value is None else msgspec.msgpack.decode(value, type=kind)

    offset = held.get(keys.OFFSET)
    return PartitionClaim(
        epoch=epoch,
        found_epoch=found,
        n=int(held.get(keys.BATCH, 0)),
        offset=None if offset is None else int(offset),
        meta=read(keys.STATE, PartitionMeta),
        adoption=read(keys.MODEL, Adoption),
        outbox=read(keys.OUTBOX, LogOutbox),
        topic_id=held.get(keys.TOPIC_ID, b"").decode(),
        watch=held.get(keys.WATCH, b""),
    )
