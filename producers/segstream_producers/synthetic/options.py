"""The options of a synthetic feed, for every command that takes one."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from segstream.errors import OutputError
from segstream_producers.synthetic.feed import Counts, header, truth
from segstream_producers.synthetic.plan import DRIFTS, Drift, Faults, Plan

_PLAN: Final = Plan()
_SHARE: Final = click.FloatRange(0, 1)
OPTIONS: Final[dict[str, Callable[..., Any]]] = {
    "customers": click.option("--customers", type=click.IntRange(1), default=_PLAN.customers),
    "days": click.option("--days", type=click.IntRange(1), default=_PLAN.days),
    "seed": click.option("--seed", type=click.IntRange(0), default=0,
                         help="The same seed and options make the same bytes."),
    "start": click.option("--start", type=click.DateTime(["%Y-%m-%d"]), default="2025-01-01",
                          help="First day, UTC."),
    "currency": click.option("--currency", default=_PLAN.currency),
    "drift": click.option("--drift", type=click.Choice(list(DRIFTS)), default="none"),
    "drift_day": click.option("--drift-day", type=click.IntRange(0), metavar="DAY",
                              help="Days after the start; half of the feed where absent."),
    "drift_weeks": click.option("--drift-weeks", type=click.IntRange(1), default=8,
                                help="Length of a gradual drift."),
    "drift_share": click.option("--drift-share", type=_SHARE, default=0.5,
                                help="Of the segment's customers (new: of all)."),
    "late": click.option("--late", type=_SHARE, default=0.0,
                         help="Share that arrives 1 to 72 hours late."),
    "duplicates": click.option("--duplicates", type=_SHARE, default=0.0,
                               help="Share that comes again within 12 hours."),
    "out_of_order": click.option("--out-of-order", type=_SHARE, default=0.0,
                                 help="Share that arrives behind later events."),
    "bad": click.option("--bad", type=_SHARE, default=0.0,
                        help="Share that is followed by a damaged copy."),
    "truth": click.option("--truth", type=click.Path(path_type=Path, dir_okay=False),
                          help="File for who was in which planted segment, and all counts."),
}  # fmt: skip
"""By parameter name."""


def synthetic_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command; they arrive as keyword arguments."""
    for option in reversed(OPTIONS.values()):
        command = option(command)
    return command


def refuse_synthetic_options(context: click.Context, name: str) -> None:
    """Refuse options that mean nothing to another feed.

    Raises
    ------
    click.UsageError
        One was given.
    """
    given = click.core.ParameterSource.COMMANDLINE
    for option in OPTIONS:
        if context.get_parameter_source(option) is given:
            said = option.replace("_", "-")
            raise click.UsageError(f"--{said} belongs to the feed `synthetic`, got {name}")


def plan_of(options: dict[str, Any]) -> Plan:
    """Return the plan that the options ask for."""
    start: datetime = options["start"]
    return Plan(
        customers=options["customers"],
        days=options["days"],
        seed=options["seed"],
        start_ms=round(start.replace(tzinfo=UTC).timestamp()) * 1_000,
        currency=options["currency"],
        drift=Drift(
            options["drift"], options["drift_day"], options["drift_weeks"], options["drift_share"]
        ),
        faults=Faults(
            options["late"], options["duplicates"], options["out_of_order"], options["bad"]
        ),
    )


def ending_at(plan: Plan, now_ms: int) -> Plan:
    """Return the plan shifted so that it ends now."""
    return replace(plan, start_ms=plan.start_ms + math.floor(now_ms) - plan.end_ms)


def write_truth(path: Path, plan: Plan, counts: Counts) -> None:
    """Write a header with plan and counts, then one line per customer and planted segment."""

    def lines() -> Iterator[bytes]:
        yield encode(header(plan, counts)) + b"\n"
        for spell in truth(plan):
            yield encode(spell) + b"\n"

    encode = msgspec.json.Encoder().encode
    write_whole(path, lines())


def write_whole(path: Path, pieces: Iterator[bytes]) -> None:
    """Write a file that appears when it is complete.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.writelines(pieces)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise OutputError(
            f"expected to write {path}, got {error}. Name a path that is writable."
        ) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
