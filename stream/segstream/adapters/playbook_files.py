"""Playbooks by name or path."""

from importlib import resources
from pathlib import Path

from segstream.core.mapping_checks import did_you_mean
from segstream.core.playbook import Playbook
from segstream.core.playbook_checks import load_playbook
from segstream.core.spec import CompiledSpec
from segstream.errors import ConfigError


def playbook_names() -> list[str]:
    """Names of the playbooks that come with Segstream."""
    found = resources.files("segstream").joinpath("playbooks").iterdir()
    return sorted(one.name.removesuffix(".toml") for one in found if one.name.endswith(".toml"))


def playbook_text(name_or_path: str) -> str:
    """Read a playbook: one that comes with Segstream by name, or any by the path of its file.

    Raises
    ------
    ConfigError
        There is none.
    """
    names = playbook_names()
    if name_or_path in names:
        resource = resources.files("segstream").joinpath("playbooks", f"{name_or_path}.toml")
        return resource.read_text("utf-8")
    if not name_or_path.endswith(".toml"):
        raise ConfigError(
            f"playbook: expected a playbook's name or the path of a .toml file, got"
            f" {name_or_path!r}. {did_you_mean(name_or_path, names)}"
        )
    try:
        return Path(name_or_path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"playbook: expected a readable playbook file, got {error}. Mend the path"
            f" {name_or_path}, or use one of: {', '.join(names)}."
        ) from error


def named_playbook(name_or_path: str, spec: CompiledSpec) -> Playbook:
    """Load a playbook and check it against a spec.

    Raises
    ------
    ConfigError
        There is none, or it is not usable as written.
    """
    where = name_or_path if name_or_path.endswith(".toml") else f"playbook {name_or_path}"
    return load_playbook(playbook_text(name_or_path), where, spec)
