"""Published changes, read back."""

import json

import msgspec

from segstream.core.changes import Change

_DECODER = msgspec.json.Decoder(Change)


def told(entry: tuple[str, bytes]) -> Change:
    """A change as a consumer reads it; its key is its subject."""
    key, body = entry
    assert b"\n" not in body
    json.loads(body)  # plain JSON: no NaN, no bare infinities
    change = _DECODER.decode(body)
    assert key == change.subject == change.data.customer_id
    return change
