"""Every message that stands in the topics of a namespace against its JSON Schema."""

from collections import Counter
from functools import cache
from typing import Any, Final

import jsonschema
import msgspec
from cloudevents.core.formats.json import JSONFormat
from tests.live.chaos.place import Place

from segstream.adapters.kafka_models import STATE_KEY
from segstream.contracts import BY_NAME, json_schema

_COMMAND: Final = b"command:"


@cache
def _validator(name: str) -> Any:
    return jsonschema.Draft202012Validator(json_schema(BY_NAME[name]))


def check(name: str, value: Any) -> None:
    """Raise where a decoded message is not what its contract says."""
    _validator(name).validate(value)


def packed(body: bytes) -> Any:
    """MessagePack as JSON would show it, without knowing its type: bytes are base64."""
    return msgspec.to_builtins(msgspec.msgpack.decode(body), str_keys=True)


def check_change(body: bytes) -> None:
    """A change is one by our schema, and a CloudEvent by the rules of CloudEvents' own library."""
    check("change", msgspec.json.decode(body))
    event = JSONFormat().read(None, body)
    assert event.get_specversion() == "1.0"
    assert event.get_subject()


def check_messages(place: Place) -> Counter[str]:
    """Check every committed message of every topic; returns how many there were of each kind."""
    names, found = place.names, Counter[str]()
    dead = place.read(names.dead_letters)
    for letter in dead:
        headers = {name: value.decode() for name, value in letter.headers}
        check("dead-letter-headers", headers)
        found["dead-letter-headers"] += 1
    bad = {dict(letter.headers)["place"].decode() for letter in dead}
    for record in place.read(names.transactions):
        if f"{record.partition}:{record.offset}" not in bad:
            check("event", msgspec.json.decode(record.value))
            found["event"] += 1
    for record in place.read(names.changes):
        check_change(record.value)
        found["change"] += 1
    for record in place.read(names.current_segment):
        body = record.value
        check("current-segment", None if body is None else msgspec.json.decode(body))
        found["current-segment" if body else "tombstone"] += 1
    for record in place.read(names.models):
        if record.key == STATE_KEY:
            check("trainer-state", packed(record.value))
        else:
            check("model", msgspec.json.decode(record.value))
        found["trainer-state" if record.key == STATE_KEY else "model"] += 1
    for record in place.read(names.evidence):
        found[_check_evidence(record.key, record.value)] += 1
    return found


def _check_evidence(key: bytes, body: bytes | None) -> str:
    if body is None:
        return "tombstone of evidence"
    if key.startswith(_COMMAND):
        check("command", packed(body))
        return "command"
    check("evidence", packed(body))
    check("evidence-totals", packed(msgspec.msgpack.decode(body)["totals"]))
    return "evidence"
