"""`segstream run`."""

import time
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import (
    Progress as Bar,
)

from segstream.cli.options import (
    config_option,
    json_option,
    mapping_option,
    out_option,
    source_option,
    state_option,
)  # fmt: skip
from segstream.core.changes import rfc3339
from segstream.engine import Progress
from segstream.errors import OutputError
from segstream.main_job import Job, read_model, read_settings, run_job, with_products
from segstream.report import render_screen, write_report
from segstream.view import open_view


@click.command()
@source_option
@mapping_option
@config_option
@state_option
@out_option
@click.option(
    "--model",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Keep to this model (from `segstream export model`); nothing is learned.",
)
@click.option(
    "--customer-word",
    default="customer",
    show_default=True,
    help="What the report calls a customer: household, member, account.",
)
@click.option(
    "--products",
    metavar="FILE",
    default=None,
    help="CSV with product names; insights.products_file of the settings where absent.",
)
@json_option
def run(
    sources: tuple[str, ...], mapping: str, config: Path | None, state: Path, out: Path,
    model: Path | None, customer_word: str, products: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Stream events through the engine; segments, their changes and a report come out.

    Killed and started again it continues where it was; a file it has applied is not applied
    twice.

    \b
    Examples:
      segstream run --source sales.csv --mapping online-retail
      segstream run --source jan.csv.gz --source feb.csv.gz --mapping feed.toml --out out
      tail -n +1 -f events.jsonl | segstream run --source - --state live
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    settings = with_products(read_settings(config), products)
    job = Job(sources, mapping, settings, state, out, read_model(model))
    console = Console(stderr=as_json)
    seconds, applied = _stream(job, Console(stderr=True, quiet=as_json))
    if not applied:
        console.print("Everything in --source is applied already; here is where it stands.")
    summary = _finish(job, seconds, customer_word)
    if as_json:
        click.echo(msgspec.json.encode(summary).decode())
    else:
        render_screen(summary, console)


def _stream(job: Job, console: Console) -> tuple[float, bool]:
    """Run the job under a progress bar; returns the seconds it streamed."""
    bar = Bar(
        TextColumn("{task.description}"), BarColumn(20), TaskProgressColumn(),
        MofNCompleteColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip
    begun = time.monotonic()
    first = 0
    with bar:
        task = bar.add_task("reading", total=None, state="")

        def started(total: int | None, entries: int) -> None:
            nonlocal begun, first
            begun, first = time.monotonic(), entries
            bar.update(task, total=total, completed=entries, description="streaming")

        def report(progress: Progress) -> None:
            bar.update(task, completed=progress.entries, state=_state(progress, begun, first))

        applied = run_job(job, started, report)
    return time.monotonic() - begun, applied


def _state(progress: Progress, begun: float, first: int) -> str:
    """One line: rate, event date, segments, changes, and what a first model waits for."""
    rate = (progress.entries - first) / max(time.monotonic() - begun, 1e-9)
    what = (
        f"waiting for a first model: {progress.waiting}"
        if progress.waiting
        else f"{progress.segments} segments, {progress.changes:,} changes"
    )
    return f"{rate:,.0f} events/s  {rfc3339(progress.clock_ms)[:10]}  {what}"


def _finish(job: Job, seconds: float, customer_word: str) -> dict[str, object]:
    """Write tables and report, and summary.json."""
    view = open_view(job.state, job.out)
    try:
        summary = write_report(view, job.out, customer_word)
        meta = view.partition.meta()
        summary["stream"] = {
            "seconds": round(seconds, 3),
            "applied": meta.applied,
            "duplicates": meta.duplicates,
            "skipped": meta.skipped,
            "dead_letters": meta.dead,
            "late_beyond_memory": meta.late,
            "customers": meta.customers,
            "clock": rfc3339(max(meta.clock_ms, 0)),
            "state": str(job.state),
            "out": str(job.out),
        }
        (job.out / "summary.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(summary), indent=2)
        )
    except OSError as error:
        raise OutputError(
            f"out: expected to write to {job.out}, got {error}; the stream itself is done: make "
            "room and run the same command again for the report"
        ) from error
    return summary
