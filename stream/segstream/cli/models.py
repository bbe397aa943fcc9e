"""`segstream models`: what the models have been, and what a person asks of them."""

import functools
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource
from rich.console import Console

from segstream.adapters.state_models import StateModels
from segstream.cli.model_tables import (
    diff_table,
    list_table,
    model_words,
    refused_words,
    segments_table,
    standing_words,
)
from segstream.cli.options import Command as Options
from segstream.cli.options import config_option, json_option, state_option
from segstream.cli.roles import role_settings
from segstream.core.comparing import compare
from segstream.core.drift import watched
from segstream.core.history import history, model_of
from segstream.core.model import Model
from segstream.errors import StateError
from segstream.kafka_settings import kafka_extra
from segstream.model_words import command_words, iso_day, model_answer
from segstream.orders import Left, fit_anew, leave, promotion, return_to
from segstream.ports import ModelHistory, Standing
from segstream.settings import Settings, compile_spec
from segstream.stored_state import stored_settings


@click.group()
def models() -> None:
    """Look at the models, compare them, and say which one is to serve.

    \b
    Examples:
      segstream models list
      segstream models diff 1 2
      segstream models rollback
    """  # noqa: D301 - click reads the backspace as "keep these lines"


@dataclass(frozen=True, slots=True)
class Place:
    """Where models are: a state directory, or a namespace on Kafka."""

    state: Path
    bootstrap: str | None = None
    namespace: str | None = None
    config: Path | None = None

    @property
    def on_kafka(self) -> bool:
        """Whether anything of Kafka was given; brokers of the environment alone are not asked."""
        return any(given is not None for given in (self.bootstrap, self.namespace, self.config))


def place_options(command: Options) -> Options:
    """Give a command its `place` and `--json`."""

    @functools.wraps(command)
    def with_place(
        state: Path, bootstrap: str | None, namespace: str | None, config: Path | None, **given: Any
    ) -> None:
        place = Place(state, bootstrap, namespace, config)
        source = click.get_current_context().get_parameter_source("state")
        if place.on_kafka and source is ParameterSource.COMMANDLINE:
            raise click.UsageError("expected --state, or --namespace and the like, got both")
        command(place=place, **given)

    options = (
        state_option,
        click.option("--bootstrap", metavar="HOST:PORT",
                     help="Brokers, for models on Kafka; else $SEGSTREAM_KAFKA, or of --config."),
        click.option("--namespace", help="For models on Kafka: begins their topics' names."),
        config_option,
        json_option,
    )  # fmt: skip
    made: Options = with_place
    for option in reversed(options):
        made = option(made)
    return made


@contextmanager
def opened(place: Place) -> Iterator[tuple[ModelHistory, Settings]]:
    """Open the models of a place.

    Raises
    ------
    StateError
        There are none to open.
    """
    if not place.on_kafka:
        settings = stored_settings(place.state)
        with closing(StateModels(place.state, settings.spec.digest)) as kept:
            yield kept, settings
        return
    bootstrap = place.bootstrap or os.environ.get("SEGSTREAM_KAFKA")
    settings = role_settings(place.config, bootstrap, place.namespace)
    with kafka_extra():
        from segstream.adapters.kafka_history import KafkaModels

    with closing(KafkaModels(settings)) as kept:
        yield kept, settings


# ---- looking ---------------------------------------------------------------------------


@models.command("list")
@click.option("--all", "every", is_flag=True, help="Every daily revision and every check.")
@place_options
def list_(every: bool, place: Place, as_json: bool) -> None:
    """List generations and refused candidates, with their figures.

    \b
    Example:
      segstream models list --state state
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    with opened(place) as (kept, _):
        found, standing = kept.models(), kept.standing()
    rows = history(found, standing.trainer.decisions, every)
    if as_json:
        serving = found[-1].version if found else None
        told = [msgspec.to_builtins(row) | {"day": iso_day(row.day)} for row in rows]
        waiting = [command_words(command) for command in standing.trainer.commands]
        click.echo(json.dumps({"serving": serving, "commands": waiting, "models": told}))
        return
    console = Console()
    console.print(list_table(rows, found))
    for line in (*refused_words(rows), *standing_words(found, standing)):
        console.print(line)


@models.command()
@click.argument("version", required=False)
@place_options
def show(version: str | None, place: Place, as_json: bool) -> None:
    """Show one model: segments, averages, where they come from, quality; the living one by default.

    \b
    Examples:
      segstream models show
      segstream models show 2
      segstream models show 2.31 --json
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    with opened(place) as (kept, settings):
        found, standing = kept.models(), kept.standing()
    model = model_of(found, version) if version else serving(found, standing)
    spec = compile_spec(settings)
    answer = model_answer(model, model is found[-1], standing.trainer.decisions, spec)
    if as_json:
        click.echo(json.dumps(answer))
        return
    console = Console()
    for line in model_words(model, model is found[-1], standing.trainer.decisions):
        console.print(line)
    console.print(segments_table(model, spec))
    for segment in answer["segments"]:
        console.print(f"{segment['id']} [bold]{segment['name']}[/]: {segment['lineage']}")
        console.print(f"  {segment['strategy']}")
    for segment in answer["retired"]:
        if segment["now"]:
            console.print(f"{segment['id']} {segment['name']}: {segment['lineage']}")


@models.command()
@click.argument("then", metavar="V1")
@click.argument("now", metavar="V2")
@place_options
def diff(then: str, now: str, place: Place, as_json: bool) -> None:
    """Compare two models segment by segment: what became of each, shares, averages, names.

    \b
    Example:
      segstream models diff 1 2
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    with opened(place) as (kept, settings):
        found = kept.models()
    pair = (model_of(found, then), model_of(found, now))
    if pair[0].number > pair[1].number:
        pair = pair[::-1]
    spec = compile_spec(settings)
    # What grows with time alone would always have changed most.
    told_of = {n for n, seen in zip(spec.spec.names, watched(spec).tolist(), strict=True) if seen}
    compared = compare(found, *pair, told_of)
    if as_json:
        told = {"then": pair[0].version, "now": pair[1].version}
        click.echo(json.dumps(told | {"segments": msgspec.to_builtins(compared)}))
        return
    Console().print(diff_table(*pair, compared, spec))


# ---- commands --------------------------------------------------------------------------


@models.command()
@place_options
def promote(place: Place, as_json: bool) -> None:
    """Let the candidate serve that the gate refused last.

    \b
    Example:
      segstream models promote
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    with opened(place) as (kept, _):
        tell(leave(kept, promotion(kept)), as_json)


@models.command()
@click.argument("version", required=False)
@place_options
def rollback(version: str | None, place: Place, as_json: bool) -> None:
    """Let an earlier model serve again: the last of the former generation by default.

    \b
    Examples:
      segstream models rollback
      segstream models rollback 2.31
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    with opened(place) as (kept, _):
        tell(leave(kept, return_to(kept, version)), as_json)


@models.command()
@click.option("--k", type=click.IntRange(1, 64), help="Number of segments; as many as now.")
@place_options
def recluster(k: int | None, place: Place, as_json: bool) -> None:
    """Fit the customers anew and let that serve, whatever the gate says.

    \b
    Examples:
      segstream models recluster
      segstream models recluster --k 6
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    with opened(place) as (kept, _):
        tell(leave(kept, fit_anew(kept, k)), as_json)


def serving(found: list[Model], standing: Standing) -> Model:
    """Return the newest model.

    Raises
    ------
    StateError
        There is none yet.
    """
    if not found:
        raise StateError(
            f"state: expected a model, got none yet: {standing.trainer.waiting}; feed more events"
        )
    return found[-1]


def tell(left: Left, as_json: bool, more: Mapping[str, Any] | None = None) -> None:
    """Say when a command takes effect and what serves until then.

    Parameters
    ----------
    more
        What the JSON answer says besides.
    """
    if as_json:
        told = {
            "command": left.command.kind, "what": left.what, "when_closes": left.day,
            "before": len(left.before), "serves_until_then": left.until,
        }  # fmt: skip
        click.echo(json.dumps(told | dict(more or {})))
        return
    when = f"the UTC day {left.day}" if left.day else "the first day"
    click.echo(f"Noted: {left.what}. It takes effect when {when} closes.")
    if left.before:
        click.echo(f"Before it, one a day: {', '.join(map(command_words, left.before))}.")
    serves = f"model {left.until} serves" if left.until else "there is no model"
    click.echo(f"Until then {serves}.")
