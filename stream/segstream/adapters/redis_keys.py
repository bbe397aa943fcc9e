"""Every Redis key, in one catalogue.

All keys of a partition share a hash tag, so that one node owns them and one MULTI can change
them together:

    {<namespace>:<p>}:meta          hash    see `MetaField`
    {<namespace>:<p>}:r:<customer>  string  the packed record
    {<namespace>:<p>}:roster:<m>    list    customer ids whose turn is minute m, in order
    {<namespace>:<p>}:panel         list    panel blocks of the open day
    <namespace>:clocks              hash    partition to clock hint; not part of the truth
    <namespace>:insights            string  what each segment buys, by `segstream insights`: JSON
    <namespace>:retrospect          string  what followed changes, by the same: JSON
    <namespace>:erase-key           string  key of the HMAC that remembers erased ids

Those of `segstream campaign` share a tag by customer:

    {<namespace>:c:<customer>}:fired      zset    the customer's messages, by the time they fired
    {<namespace>:c:<customer>}:sent:<id>  string  what became of one message; expires
    <namespace>:suppressed                set     customer ids that get no message; yours to fill
"""

from typing import Final

EPOCH: Final = b"epoch"
"""Raised by every claim; a commit of an older epoch changes nothing."""
GENERATION: Final = b"generation"
"""The consumer group's generation at the last claim."""
CLAIMED_MS: Final = b"claimed_ms"
BATCH: Final = b"batch"
"""Number of the last committed batch."""
OFFSET: Final = b"offset"
"""Next offset of the partition's log."""
STATE: Final = b"state"
"""`PartitionMeta`: clock, instant, counters, totals."""
MODEL: Final = b"model"
"""`Adoption`: the model of the next batch."""
OUTBOX: Final = b"outbox"
"""What the last batch publishes."""
WATCH: Final = b"watch"
"""`DeadLetterWatch.flags`: which of the last entries were dead letters."""
TOPIC_ID: Final = b"topic_id"
SPEC: Final = b"spec"
"""Digest of the feature spec the records are made with."""


def tag(namespace: str, partition: int) -> str:
    """The common beginning of a partition's keys."""
    return f"{{{namespace}:{partition}}}"


def meta(namespace: str, partition: int) -> str:
    """Key of the meta hash."""
    return f"{tag(namespace, partition)}:meta"


def record(namespace: str, partition: int, customer_id: str) -> str:
    """Key of a customer's record."""
    return f"{tag(namespace, partition)}:r:{customer_id}"


def roster(namespace: str, partition: int, turn: int) -> str:
    """Key of a turn's roster."""
    return f"{tag(namespace, partition)}:roster:{turn}"


def panel(namespace: str, partition: int) -> str:
    """Key of the open day's panel blocks."""
    return f"{tag(namespace, partition)}:panel"


def clocks(namespace: str) -> str:
    """Key of the clock hints of all partitions."""
    return f"{namespace}:clocks"


def erase_key(namespace: str) -> str:
    """Key of the key of the HMAC that remembers erased ids."""
    return f"{namespace}:erase-key"


def insights(namespace: str) -> str:
    """Key of the newest insights."""
    return f"{namespace}:insights"


def retrospect(namespace: str) -> str:
    """Key of the newest look back."""
    return f"{namespace}:retrospect"


def fired(namespace: str, customer_id: str) -> bytes:
    """Key of a customer's messages."""
    return _of_customer(namespace, customer_id) + b":fired"


def delivery(namespace: str, customer_id: str, key: str) -> bytes:
    """Key of what became of one message."""
    return _of_customer(namespace, customer_id) + b":sent:" + key.encode()


def suppressed(namespace: str) -> str:
    """Key of the suppression list."""
    return f"{namespace}:suppressed"


def _of_customer(namespace: str, customer_id: str) -> bytes:
    return f"{{{namespace}:c:{customer_id}}}".encode("utf-8", "surrogatepass")
