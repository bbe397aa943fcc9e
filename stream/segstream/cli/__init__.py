"""The command line: the one place where the parts are put together."""

import sys

import click

from segstream.cli.campaign import campaign
from segstream.cli.check import doctor
from segstream.cli.dead_letters import dead_letters
from segstream.cli.explore import explore
from segstream.cli.insights import insights
from segstream.cli.look import assign, customer, export
from segstream.cli.model_import import import_
from segstream.cli.models import models
from segstream.cli.playbook import playbook
from segstream.cli.roles import audit, trainer, up, worker
from segstream.cli.run import run
from segstream.cli.schema import schema
from segstream.cli.serve import serve
from segstream.cli.topics import topics
from segstream.errors import SegstreamError

_EPILOG = """
\b
Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 settings, spec or mapping, 4 input,
5 state, 6 too many dead letters, 7 output.
"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(package_name="segstream")
def segstream() -> None:
    """Keep every customer in the right segment, all the time.

    \b
    Start here:
      segstream doctor --source sales.csv --mapping online-retail
      segstream run    --source sales.csv --mapping online-retail --state state --out out
      segstream customer 17850
    """  # noqa: D301 - click reads the backspace as "keep these lines"


for command in (
    run, export, customer, assign, doctor, schema, models, playbook, topics, worker, trainer, up,
    audit, campaign, dead_letters, insights, serve, explore,
):  # fmt: skip
    segstream.add_command(command)
models.add_command(import_)


def main() -> None:
    """Run a command; a known failure becomes one clear line and its exit code."""
    try:
        segstream(standalone_mode=False)
    except SegstreamError as error:
        click.echo(f"segstream: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("segstream: stopped; run the same command again to continue", err=True)
        sys.exit(130)
