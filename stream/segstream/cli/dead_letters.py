"""`segstream dead-letters`: what could not be applied, and sending it again."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from segstream.cli.options import config_option
from segstream.cli.roles import role_settings
from segstream.core.events import DEAD_LETTER_CODES
from segstream.kafka_settings import kafka_extra


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    given = (
        click.option("--bootstrap", envvar="SEGSTREAM_KAFKA", metavar="HOST:PORT",
                     help="Brokers; kafka.bootstrap of --config where absent."),
        click.option("--namespace", help="Begins the topics' names; else as in --config."),
        config_option,
    )  # fmt: skip
    for option in reversed(given):
        command = option(command)
    return command


@click.group("dead-letters")
def dead_letters() -> None:
    """List a namespace's dead letters, or send them again after a fix.

    \b
    Examples:
      segstream dead-letters list --config shop.toml
      segstream dead-letters replay --code wrong_currency --config shop.toml
    """  # noqa: D301 - click reads the backspace as "keep these lines"


@dead_letters.command("list")
@_options
def list_(bootstrap: str | None, namespace: str | None, config: Path | None) -> None:
    """Count what is in the topic by code, with the newest of each.

    \b
    Example:
      segstream dead-letters list --config shop.toml
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    with kafka_extra():
        from segstream.adapters.kafka_replay import DeadLetterTopic

    topic = DeadLetterTopic(role_settings(config, bootstrap, namespace))
    found = asyncio.run(topic.by_code())
    for code, letters in sorted(found.items()):
        click.echo(
            f"{code or 'no code'}: {letters.waiting:,} waiting, {letters.replayed:,} sent again"
        )
        click.echo(f"  {letters.example}")
    if not found:
        click.echo("no dead letters")


@dead_letters.command()
@_options
@click.option("--code", "codes", multiple=True, required=True,
              type=click.Choice(sorted(DEAD_LETTER_CODES)), help="May be repeated.")  # fmt: skip
def replay(
    codes: tuple[str, ...], bootstrap: str | None, namespace: str | None, config: Path | None
) -> None:
    """Send dead letters again as they came, each once; run it after the fix.

    What is still bad becomes a dead letter anew and waits for the next replay.

    \b
    Example:
      segstream dead-letters replay --code wrong_currency --config shop.toml
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    with kafka_extra():
        from segstream.adapters.kafka_replay import DeadLetterTopic

    settings = role_settings(config, bootstrap, namespace)
    topic = DeadLetterTopic(settings)
    for code in dict.fromkeys(codes):
        sent = asyncio.run(topic.replay(code))
        click.echo(f"{code}: {sent:,} sent again to {settings.namespace}.transactions")
