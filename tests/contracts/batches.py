"""Batches and models for stores: small, and different in every part."""

from typing import Any

import msgspec
import numpy as np
from tests.core.engine import model_of

from segstream.core.layout import N_PANEL_COLUMNS
from segstream.core.model import Model
from segstream.core.partition import PartitionMeta, StoredRecord
from segstream.core.trainer_state import TrainerState
from segstream.ports import Batch, Claim, Outbox, PanelBlock, Position
from segstream.settings import Settings

SPEC = Settings().spec
N_FEATURES = len(SPEC.features)


def model(number: int) -> Model:
    """A model of the retail spec."""
    return model_of(SPEC, [[0.0] * N_FEATURES, [1.0] * N_FEATURES], number=number)


def panel(seed: int) -> PanelBlock:
    """One block of two panel rows."""
    keys = np.full((2, N_PANEL_COLUMNS), seed, dtype=np.int64)
    return PanelBlock(keys.tobytes(), np.full((2, N_FEATURES), seed + 0.5).tobytes())


def batch(claim: Claim, n: int, **changed: Any) -> Batch:
    """Batch `n`: one record of its own, and one that every batch changes."""
    plain: dict[str, Any] = {
        "epoch": claim.epoch,
        "position": Position("a feed", 10 * n, f"digest {n}", ("before",)),
        "meta": PartitionMeta(clock_ms=1000 * n, next_slot=n + 1, applied=10 * n),
        "records": [
            StoredRecord(0, "everybody's", b"batch %d" % n),
            StoredRecord(n, f"customer {n}", bytes([n])),
        ],
        "ended": [],
        "outbox": Outbox(n, ((f"customer {n}", b'{"n":%d}' % n),), (b'{"dead":%d}' % n,)),
        "panel": panel(n),
        "ledger": b"",
        "new_day": False,
        "trainer": None,
        "models": [],
    }
    return Batch(**{**plain, **changed})


def waiting(text: str) -> TrainerState:
    """A trainer that waits for something."""
    return TrainerState(waiting=text)


def everything(claim: Claim, records: list[StoredRecord], models: list[Model]) -> bytes:
    """All that a store holds, but for the epoch, as bytes."""
    parts = (
        claim.token, claim.position, claim.meta, claim.trainer, claim.panel, claim.outbox,
        records, models,
    )  # fmt: skip
    return msgspec.msgpack.encode(parts)
