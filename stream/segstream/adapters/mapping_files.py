"""Mappings by name or path, and the lookup files beside a source."""

import csv
import hashlib
from importlib import resources
from pathlib import Path

from segstream.core.declaration import Lookup
from segstream.core.fields import Table
from segstream.core.mapping import Mapping, load_mapping
from segstream.core.mapping_checks import did_you_mean
from segstream.errors import ConfigError, SourceError


def mapping_names() -> list[str]:
    """Names of the mappings that come with Segstream."""
    found = resources.files("segstream").joinpath("mappings").iterdir()
    return sorted(one.name.removesuffix(".toml") for one in found if one.name.endswith(".toml"))


def named_mapping(name_or_path: str) -> Mapping:
    """Load a mapping: one that comes with Segstream by name, or any by the path of its file.

    Raises
    ------
    ConfigError
        There is none, or it is not usable as written.
    """
    names = mapping_names()
    if name_or_path in names:
        resource = resources.files("segstream").joinpath("mappings", f"{name_or_path}.toml")
        return load_mapping(resource.read_text("utf-8"), f"mapping {name_or_path}")
    if not name_or_path.endswith(".toml"):
        raise ConfigError(
            f"expected a mapping's name or the path of a .toml file, got {name_or_path!r}."
            f" {did_you_mean(name_or_path, names)}"
        )
    try:
        text = Path(name_or_path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"expected a readable mapping file, got {error}. Mend the path {name_or_path}, or use"
            f" one of: {', '.join(names)}."
        ) from error
    return load_mapping(text, name_or_path)


def read_tables(mapping: Mapping, folder: Path) -> tuple[dict[str, Table], str]:
    """Read a mapping's lookup files.

    Returns
    -------
    tables
        Rows by key, per lookup.
    digest
        Hex digest over the files, empty where there are none: part of a source's identity.
    """
    digest = hashlib.sha256()
    tables: dict[str, Table] = {}
    for name, lookup in mapping.declared.lookup.items():
        path = folder / lookup.file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SourceError(
                f"expected the lookup file {path}, got {error}. Put it beside the source, or mend"
                f" `file` of [lookup.{name}] in {mapping.where}."
            ) from error
        digest.update(hashlib.sha256(content).digest())
        tables[name] = _table(content, lookup, str(path), mapping)
    return tables, digest.hexdigest() if tables else ""


def _table(content: bytes, lookup: Lookup, path: str, mapping: Mapping) -> Table:
    """Rows of a lookup file by its key column."""
    encoding = mapping.declared.encoding
    try:
        text = content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
        rows = csv.reader(text.splitlines(True), delimiter=lookup.delimiter, strict=True)
        header, *body = [row for row in rows if row]
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise SourceError(
            f"expected a CSV file with a header in {encoding}, got {path}: {error}. Mend the file,"
            f" or `delimiter` and `encoding` in {mapping.where}."
        ) from error
    if lookup.key not in header:
        raise ConfigError(
            f"{mapping.where}: expected column `{lookup.key}` in {path}, got none of that name."
            f" {did_you_mean(lookup.key, header)}"
        )
    at, table = header.index(lookup.key), dict[str, dict[str, str]]()
    for row in body:
        if len(row) != len(header) or row[at] in table:
            raise SourceError(
                f"{path}: expected {len(header)} columns and each `{lookup.key}` once, got"
                f" {row!r:.100}. Mend that row."
            )
        table[row[at]] = dict(zip(header, row, strict=True))
    return table
