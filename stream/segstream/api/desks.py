"""Where a person says what is to be done: through the models' history, and by an `erase` event."""

import asyncio
import json
import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from segstream.adapters.sqlite_store import SqliteStore
from segstream.adapters.state_models import StateModels
from segstream.api.problems import ProblemError
from segstream.core.changes import rfc3339
from segstream.main_job import Job, run_job
from segstream.orders import Left, Order, fit_anew, leave, promotion, return_to
from segstream.ports import ModelHistory
from segstream.stored_state import stored_settings

CANDIDATE: Final = "candidate"
"""What names the candidate that the gate refused last."""
_MAPPING: Final = "plain"


class Models:
    """The commands of `segstream models`, each on a history opened for it, off the event loop."""

    def __init__(self, opened: Callable[[], ModelHistory]) -> None:
        self._opened = opened
        self._one = asyncio.Lock()

    async def promote(self, version: str) -> Left:
        """See `segstream.api.reader.Desk.promote`."""
        if version == CANDIDATE:
            return await self._leave(promotion)
        return await self.roll_back(version)

    async def roll_back(self, version: str) -> Left:
        """See `segstream.api.reader.Desk.roll_back`."""
        return await self._leave(lambda kept: return_to(kept, version))

    async def recluster(self, k: int | None) -> Left:
        """See `segstream.api.reader.Desk.recluster`."""
        return await self._leave(lambda kept: fit_anew(kept, k))

    async def _leave(self, order: Callable[[ModelHistory], Order]) -> Left:
        def left() -> Left:
            with closing(self._opened()) as kept:
                return leave(kept, order(kept))

        async with self._one:
            return await asyncio.to_thread(left)


class StateDesk(Models):
    """`segstream.api.reader.Desk` of a state directory that no run holds."""

    def __init__(self, state: Path, out: Path) -> None:
        self._state, self._out = state, out
        super().__init__(lambda: StateModels(state, stored_settings(state).spec.digest))

    async def erase(self, customer_id: str) -> str:
        """Stream one `erase` event into the state, as `segstream run` would.

        Raises
        ------
        StateError
            A run holds the state, or one that was stopped is to be finished first.
        """
        async with self._one:
            return await asyncio.to_thread(self._erase, customer_id)

    def _erase(self, customer_id: str) -> str:
        with closing(SqliteStore.to_read(self._state)) as store:
            clock_ms = store.held().meta.clock_ms
            models = store.models()
            fixed = models[-1] if models and store.held().trainer.model is None else None
            known = any(record.customer_id == customer_id for record in store.records())
        if not known:
            raise ProblemError(
                404, "unknown-customer", "expected a customer with a record, got none of this id"
            )
        event = erase_event(customer_id, max(clock_ms, 0))
        with tempfile.TemporaryDirectory(prefix="segstream-erase-") as folder:
            source = Path(folder) / "erase.jsonl"
            source.write_bytes(event.line + b"\n")
            settings = stored_settings(self._state)
            job = Job((str(source),), _MAPPING, settings, self._state, self._out, fixed)
            run_job(job, lambda _total, _entries: None, lambda _progress: None)
        return event.event_id


class EraseEvent(msgspec.Struct, frozen=True):
    """An event that deletes a customer's record, and its bytes."""

    event_id: str
    line: bytes


def erase_event(customer_id: str, ts_ms: int) -> EraseEvent:
    """Make the event; `ts_ms` is epoch ms."""
    event_id = f"erase-{secrets.token_hex(16)}"
    told = {"event_id": event_id, "customer_id": customer_id, "ts": rfc3339(ts_ms), "type": "erase"}
    # In ASCII: an id may have lone surrogates, which are no UTF-8.
    return EraseEvent(event_id, json.dumps(told).encode())


def erase_moment_ms(clock_ms: int, max_silence_hours: float) -> int:
    """When an erasure happens: now, or where a clock of the past stands.

    An event of today would make everybody of a replayed year silent.
    """
    now_ms = int(time.time() * 1000)
    live = clock_ms < 0 or now_ms - clock_ms < max_silence_hours * 3_600_000
    return max(now_ms, clock_ms) if live else clock_ms
