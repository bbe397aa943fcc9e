"""`segstream campaign`: messages from segment changes, live and simulated."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from segstream.adapters.campaign_files import SuppressionFile, read_campaigns
from segstream.cli.options import Watching, json_option, watch_options
from segstream.cli.roles import role_options, role_settings, until_stopped
from segstream.core.campaign_file import resolve_segments
from segstream.core.campaign_simulation import CODES, Simulation
from segstream.core.campaigns import Campaigns
from segstream.core.changes import Change
from segstream.errors import SourceError
from segstream.kafka_settings import kafka_extra
from segstream.logs import set_up
from segstream.main_job import read_model

# To leave the group; what is under way is sent again by the next start.
_STOP_S = 15.0

_MODEL = click.option(
    "--model", type=click.Path(path_type=Path, dir_okay=False), default=None,
    help="Model (from `segstream export model`) whose segments the file may name.",
)  # fmt: skip


@click.group(invoke_without_command=True)
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False),
              help="Campaigns (TOML): rules, caps, holdout, webhook.")  # fmt: skip
@role_options
@_MODEL
@click.option("--relaxed", is_flag=True,
              help="Accept a Redis with appendfsync everysec: a power cut may send again what "
              "was sent in a second, under the same key.")  # fmt: skip
@watch_options
@click.pass_context
def campaign(
    context: click.Context, file: Path | None, bootstrap: str | None, redis: str,
    namespace: str | None, instance: str | None, config: Path | None, model: Path | None,
    relaxed: bool, watching: Watching,
) -> None:  # fmt: skip
    """Turn segment changes into messages to a webhook or a file, each once.

    \b
    Example:
      segstream campaign --file campaigns.toml --config shop.toml --instance campaign-1
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    if context.invoked_subcommand is not None:
        return
    if file is None:
        raise click.UsageError("expected --file campaigns.toml, got none; docs/campaigns.md")
    rules = read_campaigns(file)
    settings, known = role_settings(config, bootstrap, namespace), read_model(model)
    if known is not None:
        resolve_segments(rules, known, str(file))
    with kafka_extra():
        from segstream.adapters.kafka_campaign import CampaignOptions, KafkaCampaign
        from segstream.adapters.metrics_server import serving
        from segstream.adapters.outages import LastExit
        from segstream.metrics import Metrics

    set_up(watching.log_format)
    options = CampaignOptions(rules, str(file), redis, instance, known, relaxed)
    metrics = Metrics("campaign")
    role = KafkaCampaign(settings, options, metrics)
    with serving(metrics, [role.lacks], watching.host, watching.port), LastExit(_STOP_S) as last:
        asyncio.run(until_stopped(role, last))


@campaign.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("changes", type=click.Path(path_type=Path, dir_okay=False))
@_MODEL
@json_option
def simulate(file: Path, changes: Path, model: Path | None, as_json: bool) -> None:
    """Show what campaigns would have sent for the changes of a file, by week.

    \b
    Example:
      segstream campaign simulate campaigns.toml out/changes.jsonl
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    rules = read_campaigns(file)
    known = read_model(model)
    resolved = resolve_segments(rules, known, str(file)) if known else rules
    listed = SuppressionFile(Path(rules.suppress) if rules.suppress else None).ids()
    simulation, names = Simulation(resolved, listed), set[str | int]()
    for change in read_changes(changes):
        simulation.judge(change)
        names |= {
            x for ref in (change.data.from_, change.data.to) if ref for x in (ref.id, ref.name)
        }
    unseen = [] if known else _unseen(rules, names)
    if as_json:
        click.echo(json.dumps(_told(simulation, rules, unseen)))
        return
    for line in (*_table(simulation), *unseen):
        click.echo(line)


def read_changes(path: Path) -> Iterator[Change]:
    """Read the changes that `segstream run` wrote, or that were read from the topic.

    Raises
    ------
    SourceError
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield msgspec.json.decode(line, type=Change)
                except msgspec.DecodeError as error:
                    raise SourceError(
                        f"{path}:{number}: expected a segment change, got {error}; use"
                        " changes.jsonl of `segstream run`, or values of NAMESPACE.segment-changes"
                    ) from error
    except OSError as error:
        raise SourceError(
            f"{path}: expected a readable file, got {error}; mend the path"
        ) from error


def _unseen(rules: Campaigns, names: set[str | int]) -> list[str]:
    """Warn of segments that no change names; without a model they may be misspelt."""
    return [
        f"campaign `{campaign.name}`: no change names segment {one!r}; --model checks names"
        for campaign in rules.campaign
        for one in (*campaign.enters, *campaign.leaves)
        if one not in names
    ]


def _told(simulation: Simulation, rules: Campaigns, unseen: list[str]) -> dict[str, Any]:
    return {
        "changes": simulation.changes,
        "duplicates": simulation.duplicates,
        "campaigns": {c.name: simulation.total(c.name) for c in rules.campaign},
        "weeks": [{"week": r.week, "campaign": r.campaign} | r.counts for r in simulation.rows()],
        "notes": unseen,
    }


def _table(simulation: Simulation) -> Iterator[str]:
    """Fires and what was held back, per week and campaign."""
    rows = simulation.rows()
    wide = max([len("campaign"), *(len(row.campaign) for row in rows)])
    heads = [code.replace("_", " ") for code in CODES]
    yield "  ".join(["week of   ", "campaign".ljust(wide), *heads])
    for row in rows:
        cells = [str(row.counts[c]).rjust(len(h)) for c, h in zip(CODES, heads, strict=True)]
        yield "  ".join([row.week, row.campaign.ljust(wide), *cells])
    totals: dict[str, dict[str, int]] = {r.campaign: simulation.total(r.campaign) for r in rows}
    for name, counts in totals.items():
        cells = [str(counts[c]).rjust(len(h)) for c, h in zip(CODES, heads, strict=True)]
        yield "  ".join(["all       ", name.ljust(wide), *cells])
    yield f"{simulation.changes:,} changes, {simulation.duplicates:,} duplicates"
