"""`segstream playbook`: names and actions of segments, to check and to copy."""

import json
from pathlib import Path
from typing import Any

import click

from segstream.adapters.playbook_files import named_playbook, playbook_text
from segstream.cli.options import config_option, json_option
from segstream.core.place_playbook import place_words
from segstream.core.playbook import Playbook, missing, words
from segstream.core.spec import CompiledSpec
from segstream.main_job import read_settings
from segstream.settings import compile_spec


@click.group()
def playbook() -> None:
    """Check and show playbooks: what segments are called, when, and what to do about them.

    \b
    Examples:
      segstream playbook show retail > shop.toml
      segstream playbook check shop.toml --config segstream.toml
    """  # noqa: D301 - click reads the backspace as "keep these lines"


@playbook.command()
@click.argument("file")
@config_option
@json_option
def check(file: str, config: Path | None, as_json: bool) -> None:
    """Check a playbook and print which templates the settings' features can use.

    \b
    Example:
      segstream playbook check shop.toml --config segstream.toml
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    spec = compile_spec(read_settings(config))
    book = named_playbook(file, spec)
    found = examine(book, spec)
    if as_json:
        places = [{"name": place.name, "when": place_words(place)} for place in book.place]
        click.echo(json.dumps({"templates": found, "places": places}))
        return
    for template in found:
        lacks = ", ".join(template["missing"])
        click.echo(f"{template['name']}: {f'not used, no {lacks}' if lacks else 'used'}")
        for condition in template["when"]:
            click.echo(f"  {condition}")
    for place in book.place:
        click.echo(f"{place.name}: of places\n  {place_words(place)}")
    used = sum(1 for template in found if not template["missing"])
    click.echo(f"fine: {used} of {len(found)} templates can be used with these features")


@playbook.command()
@click.argument("name", required=False)
@config_option
def show(name: str | None, config: Path | None) -> None:
    """Print a playbook: one by name or file, or the one the settings name.

    \b
    Example:
      segstream playbook show retail > shop.toml
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    click.echo(playbook_text(name or read_settings(config).playbook), nl=False)


def examine(found: Playbook, spec: CompiledSpec) -> list[dict[str, Any]]:
    """Say of each template what it wants, and which features for it the spec lacks."""
    return [
        {
            "name": template.name,
            "when": [words(condition) for condition in template.when],
            "missing": list(dict.fromkeys(missing(template, spec))),
        }
        for template in found.template
    ]
