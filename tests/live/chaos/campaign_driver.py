"""Runs campaigns in processes of their own, and kills them where it is told to; see `driver`."""

import asyncio
import logging
import os
import signal
import traceback
from pathlib import Path
from typing import Any

import msgspec
from tests.live.chaos.driver import JOB, past, serve

from segstream.adapters.campaign_files import read_campaigns
from segstream.adapters.campaign_store import RedisCampaignStore
from segstream.adapters.kafka_campaign import CampaignOptions, KafkaCampaign
from segstream.campaign_ports import Intent, Judge, State
from segstream.core.campaigns import Code, Known
from segstream.errors import SegstreamError
from segstream.settings import Settings


class KilledStore(RedisCampaignStore):
    """The real store; dies around its effects."""

    async def intend(self, intent: Intent, judge: Judge) -> State | Code:
        def judged(known: Known) -> Code:
            code = judge(known)
            past("2|3")
            return code

        past("1|2")
        became = await super().intend(intent, judged)
        past("3|4")
        return became

    async def mark(self, customer_id: str, key: str, state: State) -> None:
        past("4|5")
        await super().mark(customer_id, key, state)
        past("5|6")


class KilledCampaign(KafkaCampaign):
    """The real role; dies after a commit."""

    store_type = KilledStore

    async def _commit(self, consumer: Any, offsets: Any) -> None:
        await super()._commit(consumer, offsets)
        past("after 6")


async def work(job: dict[str, Any]) -> None:
    """Run a campaign until SIGTERM."""
    settings = msgspec.convert(job["settings"], Settings)
    rules = read_campaigns(Path(job["campaigns"]))
    options = CampaignOptions(rules, job["campaigns"], job["redis"], job.get("instance"))
    role = KilledCampaign(settings, options)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await role.start()
    waits = [asyncio.create_task(stopped.wait()), asyncio.create_task(role.wait())]
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await role.stop()
    for task in done:
        task.result()


def child(job: dict[str, Any]) -> int:
    """Be a campaign; returns the exit code."""
    JOB.update(job)
    os.environ["SEGSTREAM_WEBHOOK_SECRET"] = job["secret"]
    logging.basicConfig(level=logging.WARNING, filename=job["log"], force=True)
    try:
        asyncio.run(work(job))
    except SegstreamError as error:
        logging.warning("%s", error)
        return error.exit_code
    except BaseException:  # noqa: BLE001 - the parent must not go on as a child
        logging.warning("%s", traceback.format_exc())
        return 1
    return 0


if __name__ == "__main__":
    serve(child)
