"""Options that several commands share."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from segstream.logs import FORMATS, Format

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Watching:
    """How a role is watched.

    Attributes
    ----------
    port
        Of /metrics, /healthz and /readyz; 0 for none.
    """

    host: str
    port: int
    log_format: Format


def watch_options(command: Command) -> Command:
    """`--metrics-port`, `--metrics-host`, `--log-format`, given as one `watching`."""

    @click.option(
        "--metrics-port",
        type=click.IntRange(0, 65_535),
        default=0,
        show_default=True,
        help="Serve /metrics, /healthz and /readyz here; 0 for not at all.",
    )
    @click.option(
        "--metrics-host",
        default="127.0.0.1",
        show_default=True,
        help="Address to serve them on; 0.0.0.0 for every one.",
    )
    @click.option(
        "--log-format",
        type=click.Choice(FORMATS),
        default="text",
        show_default=True,
        help="Log lines for people, or one JSON object each.",
    )
    @functools.wraps(command)
    def watched(metrics_port: int, metrics_host: str, log_format: Format, **given: Any) -> Any:
        return command(watching=Watching(metrics_host, metrics_port, log_format), **given)

    return watched


def state_option(command: Command) -> Command:
    """`--state DIR`."""
    return click.option(
        "--state", type=click.Path(path_type=Path, file_okay=False), default=Path("state"),
        show_default=True, help="Directory that holds the records and the position.",
    )(command)  # fmt: skip


def out_option(command: Command) -> Command:
    """`--out DIR`."""
    return click.option(
        "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out"),
        show_default=True, help="Directory for changes, dead letters, tables and the report.",
    )(command)  # fmt: skip


def mapping_option(command: Command) -> Command:
    """`--mapping NAME|FILE`."""
    return click.option(
        "--mapping", default="plain", show_default=True, metavar="NAME|FILE",
        help="How the feed's fields become events: a name that comes with Segstream, or a file.",
    )(command)  # fmt: skip


def config_option(command: Command) -> Command:
    """`--config FILE`."""
    return click.option(
        "--config", type=click.Path(path_type=Path, dir_okay=False), default=None,
        help="Settings (TOML); the retail defaults where absent.",
    )(command)  # fmt: skip


def source_option(command: Command) -> Command:
    """`--source PATH...`."""
    return click.option(
        "--source", "sources", multiple=True, required=True, metavar="PATH",
        help="CSV, CSV.gz or JSON lines; several are merged by time. - reads stdin.",
    )(command)  # fmt: skip


def json_option(command: Command) -> Command:
    """`--json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object and nothing else."
    )(command)
