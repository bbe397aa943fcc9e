"""`segstream models import`: a company goes on with the segments it has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from segstream.adapters.segment_files import read_centres, read_labels, read_titles
from segstream.cli.models import Place, opened, tell
from segstream.cli.options import json_option, state_option
from segstream.core.fitting import fit_scaling, panel_vectors
from segstream.core.importing import (
    Outline,
    Title,
    agreement,
    from_centres,
    from_labels,
    given_model,
)
from segstream.core.model import Model
from segstream.core.panel import Panel
from segstream.core.trainer_state import Command
from segstream.errors import StateError
from segstream.orders import Order, leave, refuse_given
from segstream.view import View, open_view

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("import")
@click.option("--labels", type=_FILE, metavar="CSV", help="Columns customer_id and segment.")
@click.option("--centres", type=_FILE, metavar="CSV",
              help="Column segment and one per feature, in real units.")  # fmt: skip
@click.option("--names", type=_FILE, metavar="CSV",
              help="Columns segment and name, maybe strategy: for numbered segments.")  # fmt: skip
@state_option
@json_option
def import_(
    labels: Path | None, centres: Path | None, names: Path | None, state: Path, as_json: bool
) -> None:
    """Go on with your own segments and names: from labelled customers, or from centres.

    The state needs events: the scaling is fitted on its customers. The names stay yours.

    \b
    Examples:
      segstream models import --labels customers.csv
      segstream models import --centres centres.csv --names names.csv
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    if (labels is None) == (centres is None):
        raise click.UsageError("expected --labels or --centres, one of them")
    titles = read_titles(names) if names else {}
    model, told = made(open_view(state, None), labels, centres, titles)
    with opened(Place(state)) as (kept, _):
        refuse_given(kept)
        if not as_json:
            _print(model, told)
        what = f"let {len(model.segments)} imported segments serve"
        tell(leave(kept, Order(Command("promote", model=model), what)), as_json, told)


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
