"""Segment changes to try campaigns with."""

import json
from typing import Any, Final

import msgspec

from segstream.core.changes import CHANGE_TYPE, Change, ChangeData, SegmentRef, rfc3339

NAMES: Final = {1: "Loyal", 2: "Gone quiet", 3: "Occasional"}
# Monday, 6 May 2024, noon.
NOON_MS: Final = 1_714_996_800_000
DAY_MS: Final = 86_400_000


def ref(segment: int | None) -> SegmentRef | None:
    return None if segment is None else SegmentRef(segment, NAMES[segment])


def change(customer: str = "C1", sequence: int = 2, at_ms: int = NOON_MS, **told: Any) -> Change:
    """A change from 1 to 2 by time, unless told otherwise: `from_`, `to`, `reason`, ..."""
    from_, to = told.pop("from_", 1), told.pop("to", 2)
    plain: dict[str, Any] = {
        "reason": "time", "direction": "down", "times_entered": 1, "since": None, "margin": 2.0,
        "model": "1.0", "drivers": (),
    }  # fmt: skip
    change_id = told.pop("id", f"{customer}-{sequence}-{at_ms}")
    data = ChangeData(
        customer_id=customer, sequence=sequence, from_=ref(from_), to=ref(to), **(plain | told)
    )
    return Change(
        specversion="1.0", id=change_id, source="/segstream/t", type=CHANGE_TYPE,
        subject=customer, time=rfc3339(at_ms), datacontenttype="application/json", data=data,
    )  # fmt: skip


def encoded(one: Change) -> bytes:
    return msgspec.json.encode(one)


def _segment(number: int, name: str) -> dict[str, Any]:
    return {
        "id": number, "name": name, "description": "", "action": "", "centre": [], "average": [],
        "customers": 0, "share": 0.0,
    }  # fmt: skip


# A model of two segments, as the models topic has it.
MODEL: Final = json.dumps(
    {
        "number": 1, "generation": 1, "revision": 0, "created_ms": 0, "minute": 0,
        "generation_minute": 0, "generation_reason": "first", "spec_digest": "", "features": [],
        "mean": [], "weight": [], "median": [], "population": [], "retired": [], "next_id": 3,
        "segments": [_segment(1, "Loyal"), _segment(2, "Gone quiet")], "value_feature": 0,
        "fit": {
            "k": 2, "starts": 1, "seed": 1, "panel": 0, "wcss": 0.0, "silhouette": None,
            "davies_bouldin": None, "curve": {},
        },
    }
).encode()  # fmt: skip
