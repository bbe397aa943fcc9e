"""`segstream models import`: a company goes on with the segments it has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from segstream.adapters.segment_files import read_centres, read_labels, read_titles
from segstream.cli.models import Place, opened, place_options, tell
from segstream.core.brought import centres_brought, labels_brought
from segstream.core.fitting import fit_scaling, panel_vectors
from segstream.core.importing import (
    Outline,
    Title,
    agreement,
    from_centres,
    from_labels,
    given_model,
    title_of,
)
from segstream.core.model import Model
from segstream.core.panel import Panel
from segstream.core.trainer_state import Command
from segstream.errors import StateError
from segstream.orders import Order, leave, refuse_given
from segstream.settings import compile_spec
from segstream.view import View, open_view

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("import")
@click.option("--labels", type=_FILE, metavar="CSV", help="Columns customer_id and segment.")
@click.option("--centres", type=_FILE, metavar="CSV",
              help="Column segment and one per feature, in real units.")  # fmt: skip
@click.option("--names", type=_FILE, metavar="CSV",
              help="Columns segment and name, maybe strategy: for numbered segments.")  # fmt: skip
@place_options
def import_(
    labels: Path | None, centres: Path | None, names: Path | None, place: Place, as_json: bool
) -> None:
    """Go on with your own segments and names: from labelled customers, or from centres.

    It needs events: the scaling is fitted on their customers. The names stay yours.

    \b
    Examples:
      segstream models import --labels customers.csv
      segstream models import --centres centres.csv --names names.csv
      segstream models import --labels customers.csv --namespace shop
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    if (labels is None) == (centres is None):
        raise click.UsageError("expected --labels or --centres, one of them")
    titles = read_titles(names) if names else {}
    if place.on_kafka:
        _send(place, labels, centres, titles, as_json)
        return
    model, told = made(open_view(place.state, None), labels, centres, titles)
    with opened(place) as (kept, _):
        refuse_given(kept)
        if not as_json:
            _print(model, told)
        what = f"let {len(model.segments)} imported segments serve"
        tell(leave(kept, Order(Command("promote", model=model), what)), as_json, told)


def _send(
    place: Place, labels: Path | None, centres: Path | None, titles: Mapping[str, Title],
    as_json: bool,
) -> None:  # fmt: skip
    """Leave the segments to the trainer, which has the customers."""
    with opened(place) as (kept, settings):
        if labels is not None:
            brought = labels_brought(read_labels(labels), titles)
        else:
            given = read_centres(centres or Path())
            brought = centres_brought(compile_spec(settings), given, titles)
        names = [title_of(segment, titles).name for segment in brought.segments]
        what = f"let {len(names)} imported segments serve, fitted on that day's panel"
        left = leave(kept, Order(Command("promote", brought=brought), what))
        tell(left, as_json, {"segments": names})
    if not as_json:
        click.echo("`segstream models list` says then what came of it.")


def made(
    view: View, labels: Path | None, centres: Path | None, titles: Mapping[str, Title]
) -> tuple[Model, dict[str, Any]]:
    """Make the model, and what there is to say of it.

    Raises
    ------
    SourceError
    StateError
        The state has too few customers to fit a scaling on.
    """
    ids, raw, _ = view.vectors
    raw = np.ascontiguousarray(raw)
    panel = Panel(np.zeros(len(raw), dtype=np.int64), raw, panel_vectors(view.spec, raw))
    if len(raw) < 2:
        raise StateError(
            f"state: expected customers to fit a scaling on, got {len(raw)}; run some events"
        )
    scaling = fit_scaling(view.spec, panel.transformed)
    if not scaling.varies:
        raise StateError(
            "state: expected a clustered feature that differs between customers, got none; run "
            "more events first"
        )
    agrees = None
    if labels is not None:
        given = read_labels(labels)
        scaled = scaling.apply(panel.transformed)
        outline = from_labels(ids, scaled, given)
        agrees = agreement(ids, scaled, given, outline)
    else:
        outline = from_centres(view.spec, scaling, raw, read_centres(centres or Path()))
    day, seed = view.partition.open_day_number, view.settings.model.seed
    model = given_model(view.spec, outline, titles, scaling, panel, day, seed)
    return model, _told(outline, model, agrees)


def _told(outline: Outline, model: Model, agrees: float | None) -> dict[str, Any]:
    empty = [s.name for s in model.segments if not s.customers]
    notes = [*outline.notes, *(f"nobody is nearest to {name!r}" for name in empty)]
    segments = [
        {"name": s.name, "customers": s.customers, "share": s.share} for s in model.segments
    ]
    return {"segments": segments, "agreement": agrees, "notes": [*notes, *model.notices]}


def _print(model: Model, told: Mapping[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("segment")
    table.add_column("customers", justify="right")
    table.add_column("share", justify="right")
    for s in model.segments:
        table.add_row(s.name, f"{s.customers:,}", f"{s.share:.1%}")
    Console().print(table)
    if told["agreement"] is not None:
        click.echo(f"{told['agreement']:.1%} of the labelled customers are nearest to their own.")
    for note in told["notes"]:
        click.echo(f"note: {note}")
