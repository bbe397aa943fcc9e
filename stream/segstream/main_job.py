"""`segstream run`: files or stdin in, a state directory and an output directory out."""

import hashlib
import secrets
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from segstream.adapters.file_sink import FileSink
from segstream.adapters.files import FileSource
from segstream.adapters.mapping_files import named_mapping
from segstream.adapters.playbook_files import named_playbook
from segstream.adapters.product_names import read_product_names
from segstream.adapters.sqlite_store import FILE_NAME, SqliteStore
from segstream.adapters.stdin import StreamSource
from segstream.collector import keep_what_is_loaded
from segstream.core.mapping import Mapping
from segstream.core.model import Model
from segstream.engine import Engine, Progress
from segstream.errors import ConfigError, OutputError, SourceError, StateError
from segstream.fitter import ChildFitter
from segstream.settings import Settings, compile_spec, load_settings
from segstream.stored_state import PRODUCT_NAMES_FILE, SETTINGS_FILE, stored_settings

STDIN: Final = "-"


@dataclass(frozen=True, slots=True)
class Job:
    """What to run.

    Attributes
    ----------
    sources
        Paths, or one "-" for stdin.
    mapping
        Name or path.
    model
        A model to use and keep; no learning then.
    """

    sources: tuple[str, ...]
    mapping: str
    settings: Settings
    state: Path
    out: Path
    model: Model | None = None


def read_settings(path: Path | None) -> Settings:
    """Read a settings file; the defaults where there is none.

    Raises
    ------
    ConfigError
    """
    if path is None:
        return Settings()
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config: expected a readable TOML file, got {error}") from error
    return load_settings(text, str(path))


def with_products(settings: Settings, path: str | None) -> Settings:
    """Return settings with another table of product names; the same where none is given."""
    if path is None:
        return settings
    insights = msgspec.structs.replace(settings.insights, products_file=path)
    return msgspec.structs.replace(settings, insights=insights)


def read_model(path: Path | None) -> Model | None:
    """Read a model written by `segstream export model`.

    Raises
    ------
    ConfigError
    """
    if path is None:
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Model)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"--model: expected an exported model, got {error}") from error


def run_job(
    job: Job,
    started: Callable[[int | None, int], None],
    report: Callable[[Progress], None],
) -> bool:
    """Run to the end of the sources.

    Parameters
    ----------
    started
        Called with the number of entries (None for stdin) and how many are applied already.
    report
        Called after each batch.

    Returns
    -------
    bool
        False where everything was applied already.
    """
    mapping = named_mapping(job.mapping)
    spec = compile_spec(job.settings)
    named_playbook(job.settings.playbook, spec)  # refused before there is a state
    names = read_product_names(job.settings.insights)
    digest = spec.spec.digest
    refuse_other_settings(job)
    with closing(SqliteStore(job.state, digest, secrets.token_hex(16))) as store:
        _keep(job, SETTINGS_FILE, msgspec.json.encode(pinned(job.settings)))
        if names:
            _keep(job, PRODUCT_NAMES_FILE, msgspec.json.encode(names))
        with closing(FileSink(job.out)) as sink, closing(ChildFitter()) as fitter:
            engine = Engine(job.settings, store, sink, job.model, fitter)
            return _run(engine, job, mapping, started, report)


def _run(
    engine: Engine,
    job: Job,
    mapping: Mapping,
    started: Callable[[int | None, int], None],
    report: Callable[[Progress], None],
) -> bool:
    digests = {} if job.sources == (STDIN,) else _digests(job.sources)
    fresh = [p for p, digest in digests.items() if digest not in engine.position.finished]
    if digests and not fresh:
        return False
    source = open_source(job.sources if not digests else tuple(map(str, fresh)), mapping)
    try:
        engine.begin(source)
        started(source.total, engine.position.entries)
        keep_what_is_loaded()
        engine.run(source, report, [digests[p] for p in fresh])
    except OSError as error:
        raise OutputError(
            f"expected to go on, got {error}; mend it and run again: it continues"
        ) from error
    finally:
        source.close()
    return True


def open_source(sources: Sequence[str], mapping: Mapping) -> FileSource | StreamSource:
    """Open files, or stdin for "-".

    Raises
    ------
    SourceError
    """
    if STDIN in sources:
        if len(sources) > 1:
            raise SourceError("--source: expected files or one -, got both; run them one by one")
        return StreamSource(sys.stdin.buffer, mapping)
    return FileSource([Path(s) for s in sources], mapping)


def _digests(sources: Sequence[str]) -> dict[Path, str]:
    """Digest of each file's content; a file named twice counts once."""
    found: dict[Path, str] = {}
    for source in sources:
        path = Path(source)
        try:
            with path.open("rb") as file:
                found[path] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise SourceError(
                f"--source: expected a readable file, got {error}; check the path"
            ) from error
    return found


def pinned(settings: Settings) -> Settings:
    """Settings with the spec written out: a later default must not change a state's."""
    spec = settings.spec
    return msgspec.structs.replace(settings, measures=spec.measures, features=spec.features)


def refuse_other_settings(job: Job) -> None:
    """Refuse to go on with a state that was made under other settings.

    Raises
    ------
    StateError
    """
    path = job.state / SETTINGS_FILE
    if not path.exists() or not (job.state / FILE_NAME).exists():
        return
    stored = stored_settings(job.state)
    for name in ("namespace", "currency", "policy", "measures", "features"):
        before, now = getattr(stored, name), getattr(pinned(job.settings), name)
        if before != now:
            raise StateError(
                f"state: expected {name} as in {path}, got another in --config; go back to it, "
                "or rebuild from the events into a new --state directory"
            )


def _keep(job: Job, name: str, content: bytes) -> None:
    path = job.state / name
    temporary = path.with_suffix(".new")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"state: expected to write to {job.state}, got {error}; make room and run again: "
            "nothing has begun"
        ) from error
