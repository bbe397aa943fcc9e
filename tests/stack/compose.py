"""docker-compose.yml, read as Compose reads it: variables filled in, anchors merged."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
COMPOSE: Final = ROOT / "docker-compose.yml"
ENV: Final = ROOT / ".env"
_VARIABLE: Final = re.compile(r"\$\$|\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True)
class Service:
    """A service as it would start.

    Attributes
    ----------
    mounts
        What stands at a path of the container: a path of the checkout, or a volume's name.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    mounts: dict[str, str]
    replicas: int
    health: tuple[str, ...]


def dotenv(path: Path = ENV) -> dict[str, str]:
    """Variables of a .env file."""
    lines = (line.strip() for line in path.read_text("utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def document(variables: Mapping[str, str]) -> dict[str, Any]:
    """The whole file; a variable without value and default is an error."""

    def value(found: re.Match[str]) -> str:
        name, default = found.groups()
        if name is None:
            return "$"
        return variables.get(name) or default if default is not None else variables[name]

    # Comments may speak of variables.
    lines = [line for line in COMPOSE.read_text("utf-8").splitlines() if line.strip()[:1] != "#"]
    filled = _VARIABLE.sub(value, "\n".join(lines))
    return dict(yaml.safe_load(filled))


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """Every service by name."""
    return {name: _service(name, one) for name, one in document(variables)["services"].items()}


def _service(name: str, one: Mapping[str, Any]) -> Service:
    command = one.get("command", ())
    mounts = (volume.split(":") for volume in one.get("volumes", ()))
    return Service(
        name=name,
        command=tuple(shlex.split(command) if isinstance(command, str) else command),
        environment={key: str(value) for key, value in one.get("environment", {}).items()},
        mounts={target: source for source, target, *_ in mounts},
        replicas=int(one.get("deploy", {}).get("replicas", 1)),
        health=tuple(one.get("healthcheck", {}).get("test", ())),
    )
