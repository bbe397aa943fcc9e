"""`segstream schema`."""

import json

import click

from segstream.contracts import BY_NAME, json_schema


@click.command()
@click.argument("name", type=click.Choice([*BY_NAME, "all"]), default="all")
def schema(name: str) -> None:
    """Print the JSON Schemas of what goes in and what comes out.

    \b
    Example:
      segstream schema change > change.schema.json
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    found = {key: json_schema(one) for key, one in BY_NAME.items() if name in (key, "all")}
    click.echo(json.dumps(found if name == "all" else found[name], indent=2))
