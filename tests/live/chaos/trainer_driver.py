"""Runs trainers in processes of their own, and kills one where it promotes; see `driver`."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer
from tests.live.chaos.driver import JOB, past, serve

from segstream.adapters import kafka_clients
from segstream.adapters.kafka_models import STATE_KEY
from segstream.adapters.kafka_trainer import KafkaTrainer
from segstream.core.partition import DayTotals, PanelRows
from segstream.core.trainer_state import TrainerState
from segstream.settings import Settings


@dataclass
class Step:
    """The day that is being closed.

    Attributes
    ----------
    promotes
        Whether the generation comes of it that the job asks about.
    """

    promotes: bool = False

    def past(self, point: str) -> None:
        """Come past a point of a promotion, and maybe no further."""
        if self.promotes:
            past(point)


STEP: Final = Step()


class KilledTrainer(KafkaTrainer):
    """The real role; dies when a new generation is made and nobody knows it yet."""

    def _stepped(
        self, state: TrainerState, totals: DayTotals, panel: PanelRows, first_ms: int
    ) -> TrainerState:
        after = super()._stepped(state, totals, panel, first_ms)
        made = after.model if after.model is not state.model else None
        version = f"{JOB['generation']}.0"
        STEP.promotes = made is not None and made.version == version
        STEP.past("stepped")
        return after


class KilledProducer(AIOKafkaProducer):  # type: ignore[misc]
    """The real producer; dies within its transaction, with all before the point on the broker."""

    async def begin_transaction(self) -> None:
        await super().begin_transaction()
        STEP.past("begun")

    async def send(self, topic: str, value: bytes | None, key: bytes, **rest: Any) -> Any:
        sent = await super().send(topic, value, key, **rest)
        if STEP.promotes:
            await asyncio.wait([sent])
        state = "state sent" if key == STATE_KEY else "model sent"
        STEP.past(state if value is not None else "evidence dropped")
        return sent

    async def commit_transaction(self) -> None:
        commit = asyncio.create_task(super().commit_transaction())
        if STEP.promotes:
            await asyncio.sleep(0.001)
        STEP.past("commit asked")
        await commit
        STEP.past("committed")


def trainer(job: dict[str, Any]) -> KilledTrainer:
    """A trainer."""
    settings = msgspec.convert(job["settings"], Settings)
    return KilledTrainer(settings, settings.kafka, job.get("instance"))


if __name__ == "__main__":
    setattr(kafka_clients, AIOKafkaProducer.__name__, KilledProducer)
    serve(trainer)
