"""Print the development tools of pyproject.toml, one requirement a line, for any pip."""

import tomllib
from pathlib import Path

project = Path(__file__).parents[1] / "pyproject.toml"
groups = tomllib.loads(project.read_text("utf-8"))["dependency-groups"]
print("\n".join(groups["dev"]))
