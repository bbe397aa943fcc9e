"""The shop that the README reads."""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


def test_the_readme_quotes_it() -> None:
    """The example still makes the file whose first rows and number of rows the README gives."""
    made = subprocess.run(
        [sys.executable, ROOT / "examples/made_up_shop.py"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"{len(made) - 1:,} order lines" in readme
    assert "\n".join(f"    {row}" for row in made[:3]) in readme
