"""Kafka's jars: copied by Maven from Maven Central, once, into a cache."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from deploy.local.process import TAIL_LINES, MissingError, StackError

POM: Final = Path(__file__).with_name("pom.xml")
_PATIENCE_S: Final = 600


def kafka_version() -> str:
    """Return the version that pom.xml names."""
    found = re.search(r"kafka_2\.13</artifactId>\s*<version>([^<]+)<", POM.read_text("utf-8"))
    if found is None:
        raise StackError(f"expected a version of kafka_2.13 in {POM}, found none")
    return found[1]


def cache_dir() -> Path:
    """Where the jars stay: $SEGSTREAM_CACHE, else segstream in the user's cache."""
    own = os.environ.get("SEGSTREAM_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(own) if own else user / "segstream"


def kafka_jars() -> Path:
    """Folder with Kafka's jars, fetched first if it is not there.

    Raises
    ------
    StackError
        Maven is missing, or could not copy them.
    """
    folder = cache_dir() / f"kafka-{kafka_version()}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix="kafka-", dir=folder.parent))
    try:
        _copy(part)
        try:
            part.rename(folder)
        except OSError:
            if not folder.is_dir():  # else somebody else was faster
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _copy(into: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingError("expected Maven (mvn), found none; on Debian: apt-get install maven")
    command = [
        maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies",
        f"-DoutputDirectory={into}", "-DincludeScope=runtime",
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603 - our own command line, no shell
        command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
    )
    if done.returncode or not any(into.glob("kafka_2.13-*.jar")):
        said = "\n".join((done.stdout + done.stderr).splitlines()[-TAIL_LINES:])
        raise StackError(
            f"expected Maven to copy Kafka's jars, it ended with {done.returncode}:\n{said}\n"
            "Look whether Maven Central can be reached, then try again."
        )
