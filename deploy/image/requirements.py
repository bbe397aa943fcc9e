"""Print the packages the image needs, of all extras and of the builder, one requirement a line."""

import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
extras = project["project"]["optional-dependencies"].values()
wanted = {*project["build-system"]["requires"], *project["project"]["dependencies"]}
wanted |= {one for extra in extras for one in extra if not one.startswith("segstream[")}
print("\n".join(sorted(wanted)))
