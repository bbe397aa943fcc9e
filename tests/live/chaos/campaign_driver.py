"""Runs campaigns in processes of their own, and kills them where it is told to; see `driver`."""

import os
from pathlib import Path
from typing import Any

import msgspec
from tests.live.chaos.driver import past, serve

from segstream.adapters.campaign_files import read_campaigns
from segstream.adapters.campaign_store import RedisCampaignStore
from segstream.adapters.kafka_campaign import CampaignOptions, KafkaCampaign
from segstream.campaign_ports import Intent, Judge, State
from segstream.core.campaigns import Code, Known
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


def campaign(job: dict[str, Any]) -> KilledCampaign:
    """A campaign role with the rules of a file."""
    os.environ["SEGSTREAM_WEBHOOK_SECRET"] = job["secret"]
    settings = msgspec.convert(job["settings"], Settings)
    rules = read_campaigns(Path(job["campaigns"]))
    options = CampaignOptions(rules, job["campaigns"], job["redis"], job.get("instance"))
    return KilledCampaign(settings, options)


if __name__ == "__main__":
    serve(campaign)
