"""`segstream doctor`."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from segstream.adapters.feed import sample_columns
from segstream.adapters.mapping_files import named_mapping
from segstream.adapters.playbook_files import named_playbook
from segstream.adapters.sqlite_store import FILE_NAME
from segstream.cli.options import (
    config_option,
    json_option,
    mapping_option,
    source_option,
    state_option,
)  # fmt: skip
from segstream.core.changes import rfc3339
from segstream.core.columns import ColumnBuilder
from segstream.core.events import DEAD_LETTER_CODES
from segstream.core.mapping import Mapping, unused_columns
from segstream.main_job import STDIN, Job, open_source, read_settings, refuse_other_settings
from segstream.settings import Settings, compile_spec
from segstream.view import open_view

ROWS = 1_000


@click.command()
@source_option
@mapping_option
@config_option
@state_option
@json_option
def doctor(
    sources: tuple[str, ...], mapping: str, config: Path | None, state: Path, as_json: bool
) -> None:
    """Check mapping, the first 1,000 rows, keys, clock and state, before anything is applied.

    \b
    Example:
      segstream doctor --source sales.csv --mapping feed.toml
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    settings = read_settings(config)
    findings = examine(sources, mapping, settings, state)
    if as_json:
        click.echo(json.dumps(findings))
    else:
        for line in _words(findings):
            click.echo(line)
    if not findings["fine"]:
        raise SystemExit(4)


def examine(
    sources: tuple[str, ...], mapping_name: str, settings: Settings, state: Path
) -> dict[str, Any]:
    """Read the first rows and say what would become of them.

    Raises
    ------
    SegstreamError
        Of what stops a run at once: settings, playbook, mapping, files, state.
    """
    spec = compile_spec(settings)
    named_playbook(settings.playbook, spec)
    refuse_other_settings(Job(sources, mapping_name, settings, state, state))
    mapping = named_mapping(mapping_name)
    source = open_source(sources, mapping)
    try:
        chunk = source.read(0, 1 << 24)
        first_ms, last_ms, total = source.first_ms, source.last_ms, source.total
    finally:
        source.close()
    parsed = list(chunk.parsed[:ROWS]) if chunk else []
    jump = round(settings.clock.max_jump_days * 86_400_000)
    built = ColumnBuilder(spec, settings.currency or None, jump).build(parsed, -1)
    places = chunk.places if chunk else []
    codes = Counter(error.code for _, error in built.dead)
    share = len(built.dead) / max(1, len(parsed))
    ids = Counter(e.event_id for e in built.events)
    return {
        "fine": share <= settings.dead_letters.max_share and bool(built.events),
        "entries": total,
        "looked_at": len(parsed),
        "events": len(built.events),
        "skipped": built.skipped,
        "dead_letters": dict(codes),
        "examples": [
            {"place": places[i], "code": e.code, "message": e.message} for i, e in built.dead[:5]
        ],
        "types": dict(Counter(e.type for e in built.events)),
        "customers": len({e.customer_id for e in built.events}),
        "unused_columns": _unused(sources, mapping),
        "repeated_event_ids": sum(n - 1 for n in ids.values()),
        "first": rfc3339(first_ms) if first_ms is not None else None,
        "last": rfc3339(last_ms) if last_ms is not None else None,
        "state": _state(state),
    }


def _unused(sources: tuple[str, ...], mapping: Mapping) -> list[str]:
    """Columns of the files that the mapping neither reads nor ignores."""
    columns = [
        column
        for source in sources
        if source != STDIN
        for column in unused_columns(mapping, sample_columns(Path(source), mapping))
    ]
    return list(dict.fromkeys(columns))


def _state(state: Path) -> str:
    if not (state / FILE_NAME).exists():
        return f"{state} is new"
    view = open_view(state, None)
    return f"{state} holds {view.partition.customers:,} customers as of {view.clock:%Y-%m-%d %H:%M}"


def _words(found: dict[str, Any]) -> list[str]:
    lines = [
        f"entries: {found['entries']:,}" if found["entries"] is not None else "entries: a stream",
        f"time: {found['first']} to {found['last']}" if found["first"] else "time: not known yet",
        (
            f"first {found['looked_at']:,} entries: {found['events']:,} events of "
            f"{found['customers']:,} customers, {found['skipped']:,} skipped by the mapping, "
            f"{sum(found['dead_letters'].values()):,} dead letters"
        ),
        "types: " + (", ".join(f"{t} {n:,}" for t, n in found["types"].items()) or "none"),
        f"state: {found['state']}",
    ]
    for code, n in found["dead_letters"].items():
        lines.append(f"dead letters, {code}: {n:,} ({DEAD_LETTER_CODES.get(code, code)})")
    lines.extend(f"  {e['place']}: {e['message']}" for e in found["examples"])
    if found["unused_columns"]:
        lines.append(
            f"columns that the mapping does not read: {', '.join(found['unused_columns'])}; map "
            "what matters, and list the rest under `ignore`"
        )
    if found["repeated_event_ids"]:
        lines.append(
            f"repeated event ids: {found['repeated_event_ids']:,}; each is applied once. If they "
            "are different events, make the mapping's event_id unique"
        )
    if not found["events"]:
        lines.append("no event came out: check the mapping's fields and `skip` rules")
    lines.append("fine: `segstream run` can start" if found["fine"] else "not fine: see above")
    return lines
