"""`segstream export`, `customer` and `assign`: looking at a state."""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from segstream.adapters.file_sink import CHANGES
from segstream.cli.bought import BOUGHT, bought_frame, of_segment
from segstream.cli.options import json_option, out_option, state_option
from segstream.core.portrait import quantity
from segstream.errors import ConfigError, OutputError, StateError
from segstream.view import View, open_view
from segstream.view_frames import iter_json, members_at


def _model_needed(view: View) -> None:
    if view.model is None:
        raise StateError(
            f"state: expected a model, got none yet: {view.trainer.waiting}; "
            'feed more events, or set start = "early" under [model]'
        )


_WHAT: Final = ("customers", "segments", "changes", "memberships", "model", *BOUGHT)


@click.command()
@click.argument("what", type=click.Choice(_WHAT))
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "parquet", "json"]),
    default="csv",
    show_default=True,
    help="json is one object per line; a model is always JSON.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="File to write; stdout where absent.")  # fmt: skip
@click.option("--as-of", metavar="DATE",
              help="Of memberships: only those of that moment (UTC).")  # fmt: skip
@click.option("--days", type=click.IntRange(1),
              help="Of what is bought and claimed: days of event time up to now.")  # fmt: skip
@click.option("--segment", type=int, help="Of what is bought and claimed: this id alone.")
@click.option("--by", type=click.Choice(["product", "category"]), default="product",
              show_default=True, help="Of likelihoods: what may be bought.")  # fmt: skip
@state_option
@out_option
def export(
    what: str, kind: str, output: Path | None, as_of: str | None, days: int | None,
    segment: int | None, by: str, state: Path, out: Path,
) -> None:  # fmt: skip
    """Write customers, segments, changes, memberships, what they buy or the model as a table.

    Customers come with features in real units, the scaled vector, segment and since when.
    Memberships are who was in which segment from when to when, one row per stay.
    Likelihoods are how likely a customer of each segment buys each product, with 95 % intervals
    and the lift against all customers; top-products are those with the most orders.
    Places are cities, coupons are coupons by id, merchant and branch: customers by segment, coupons
    claimed and redeemed, whether that differs from the others, and what the playbook says to it.

    \b
    Examples:
      segstream export customers --output customers.csv
      segstream export segments --format json
      segstream export customers --format parquet --output customers.parquet
      segstream export memberships --as-of 2017-06-30
      segstream export likelihoods --days 28 --segment 2
      segstream export places --output cities.csv
      segstream export model --output model.json
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    if as_of and what != "memberships":
        raise click.UsageError(f"--as-of: expected it with memberships, got it with {what}")
    if (days or segment is not None) and what not in BOUGHT:
        raise click.UsageError(f"--days, --segment: expected with {BOUGHT}, got it with {what}")
    view = open_view(state, out)
    if what in BOUGHT:
        bought = bought_frame(view, what, days or 0, by)
        _write(_bytes(of_segment(view, bought, segment), kind), output)
        return
    if what == "model":
        _model_needed(view)
        _write(msgspec.json.format(msgspec.json.encode(view.model), indent=2) + b"\n", output)
        return
    if what == "memberships":
        refuse_without_changes(view, out)
    frame: pd.DataFrame = getattr(view, what)
    if what == "customers":
        frame = frame.drop(columns="slot")
    if as_of:
        frame = members_at(frame, _moment(as_of, view.clock))
    _write(_bytes(frame, kind), output)


def refuse_without_changes(view: View, out: Path) -> None:
    """Refuse to say who was where when nothing tells: an empty table would be wrong.

    Raises
    ------
    StateError
    """
    if view.model is not None and not (out / CHANGES).exists():
        raise StateError(
            f"--out: expected {CHANGES} in {out}, got none; give the --out the state was run with"
        )


def _moment(text: str, clock: pd.Timestamp) -> pd.Timestamp:
    """Read `--as-of`; a date alone is its last millisecond.

    Raises
    ------
    ConfigError
    """
    try:
        moment = pd.Timestamp(text)
    except ValueError as error:
        raise ConfigError(
            f"--as-of: expected a date or time like 2017-06-30 or 2017-06-30T12:00Z, got {text!r}"
        ) from error
    moment = moment.tz_localize("UTC") if moment.tz is None else moment.tz_convert("UTC")
    if moment.normalize() > clock.normalize():
        raise ConfigError(
            f"--as-of: expected a moment up to {_iso(clock)}, where the state stands, got {text!r}"
        )
    is_date = len(text.strip()) <= len("2017-06-30")
    return moment.normalize() + pd.Timedelta(days=1, milliseconds=-1) if is_date else moment


def _bytes(frame: pd.DataFrame, kind: str) -> bytes:
    if kind == "parquet":
        return bytes(frame.to_parquet(index=False))
    if kind == "json":
        return "".join(f"{line}\n" for line in iter_json(frame)).encode()
    return frame.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ").encode()


def _write(content: bytes, output: Path | None) -> None:
    try:
        if output is None:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        else:
            output.write_bytes(content)
    except BrokenPipeError:
        # Whoever reads has enough, as `head` has; Python must not flush into the pipe at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise OutputError(f"--output: expected to write, got {error}") from error


@click.command()
@click.argument("customer_id")
@state_option
@out_option
@json_option
def customer(customer_id: str, state: Path, out: Path, as_json: bool) -> None:
    """Show one customer: features, segment, distance to every centre, history.

    \b
    Example:
      segstream customer 2308
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    view = open_view(state, out)
    answer = customer_answer(view, customer_id)
    if as_json:
        click.echo(json.dumps(answer, allow_nan=False))
        return
    console = Console()
    segment = answer["segment"] or "unassigned"
    since = f" since {answer['since'][:10]}" if answer["since"] else ""
    console.print(f"[bold]{customer_id}[/]: {segment}{since} (as of {answer['as_of'][:16]}Z)")
    features = Table("feature", "value", "all customers", title="Features", title_justify="left")
    for row in answer["features"]:
        features.add_row(row["label"], row["text"], row["population_text"])
    console.print(features)
    distances = Table("segment", "squared distance", title="Distances", title_justify="left")
    for row in answer["distances"]:
        distances.add_row(row["name"], f"{row['distance']:.3f}")
    console.print(distances)
    history = Table("when", "from", "to", "why", title="History", title_justify="left")
    for row in answer["history"]:
        history.add_row(row["time"][:16], row["from"] or "-", row["to"] or "-", row["reason"])
    console.print(history)


def customer_answer(view: View, customer_id: str) -> dict[str, Any]:
    """Everything known of a customer, ready for JSON.

    Raises
    ------
    StateError
        There is no such customer.
    """
    slot = view.partition.slot_of(customer_id)
    if slot is None:
        raise StateError(
            f"expected a customer of this state, got {customer_id!r}; ids are as in the feed, see "
            "`segstream export customers`"
        )
    found = view.customers[view.customers["slot"] == slot].iloc[0]
    names = view.spec.spec.names
    population = view.customers[list(names)].mean()
    scaled = found[[f"scaled_{n}" for n in names]].to_numpy(dtype=np.float64)
    changes = view.changes[view.changes["customer_id"] == customer_id]
    return {
        "customer_id": customer_id,
        "as_of": _iso(view.clock),
        "segment": None if pd.isna(found["segment_id"]) else found["segment"],
        "segment_id": None if pd.isna(found["segment_id"]) else int(found["segment_id"]),
        "since": None if pd.isna(found["since"]) else _iso(found["since"]),
        "features": [
            {
                "name": f.name,
                "label": view.spec.describe(f),
                "value": _finite(found[f.name]),
                "text": quantity(found[f.name], f.unit),
                "population_text": quantity(population[f.name], f.unit),
            }
            for f in view.spec.spec.features
        ],
        "distances": view.distances(scaled).to_dict(orient="records"),
        "history": [
            {
                "time": _iso(row.time),
                "from": _name(row.from_name),
                "to": _name(row.to_name),
                "reason": row.reason,
                "direction": row.direction,
            }
            for row in changes.itertuples()
        ],
    }


def _iso(moment: Any) -> str:
    return pd.Timestamp(moment).strftime("%Y-%m-%dT%H:%M:%SZ")


def _name(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


@click.command()
@click.argument("values", nargs=-1, metavar="FEATURE=VALUE...")
@state_option
@json_option
def assign(values: tuple[str, ...], state: Path, as_json: bool) -> None:
    """Answer what if: the segment of some features, and how far the next one is.

    What is not given is the population's median, and the answer says so.

    \b
    Example:
      segstream assign spend_112d=420 orders_112d=6
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    view = open_view(state, None)
    _model_needed(view)
    answer = assign_answer(view, parse_values(view, values))
    if as_json:
        click.echo(json.dumps(answer, allow_nan=False))
        return
    console = Console()
    console.print(f"[bold]{answer['segment']}[/]: {answer['description']}")
    console.print(f"Suggested action: {answer['action']}")
    if answer["next"]:
        console.print(
            f"Next: {answer['next']} (squared distance {answer['next_distance']:.2f} "
            f"against {answer['distance']:.2f})"
        )
    assumed = ", ".join(f"{a['label']} {a['text']}" for a in answer["assumed"])
    if assumed:
        console.print(f"Not given, so taken as the median of all customers: {assumed}")


def parse_values(view: View, values: tuple[str, ...]) -> dict[str, float]:
    """Read FEATURE=VALUE pairs.

    Raises
    ------
    ConfigError
        An unknown feature, or no finite number.
    """
    found: dict[str, float] = {}
    for pair in values:
        name, _, text = pair.partition("=")
        if name not in view.spec.spec.names:
            known = ", ".join(view.spec.spec.names)
            raise ConfigError(f"assign: expected a feature ({known}), got {name!r}")
        try:
            found[name] = float(text)
        except ValueError:
            found[name] = math.nan
        if not math.isfinite(found[name]):
            raise ConfigError(f"assign: expected a number for {name}, got {text!r}")
    return found


def assign_answer(view: View, given: dict[str, float]) -> dict[str, Any]:
    """Segment of a vector made of given values and medians, ready for JSON."""
    if view.model is None:
        raise StateError("state: expected a model, got none yet")
    medians = view.customers[list(view.spec.spec.names)].median()
    raw = np.array([given.get(n, medians[n]) for n in view.spec.spec.names], dtype=np.float64)
    ranked = view.distances(view.scale(raw)).to_dict(orient="records")
    segment = view.model.segment(int(ranked[0]["segment_id"]))
    after = ranked[1] if len(ranked) > 1 else None
    return {
        "segment_id": int(ranked[0]["segment_id"]),
        "segment": ranked[0]["name"],
        "description": segment.description if segment else "",
        "action": segment.action if segment else "",
        "distance": ranked[0]["distance"],
        "next": after["name"] if after else None,
        "next_distance": after["distance"] if after else None,
        "model": view.model.version,
        "given": given,
        "assumed": [
            {
                "name": f.name,
                "label": view.spec.describe(f),
                "value": _finite(medians[f.name]),
                "text": quantity(medians[f.name], f.unit),
            }
            for f in view.spec.spec.features
            if f.name not in given and f.use == "cluster"
        ],
    }
