"""What takes long to make is made once for all tests, also where these run side by side."""

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

Once = Callable[[str, Callable[[Path], None]], Path]


def once_in(base: Path, worker_id: str) -> Once:
    """Return what makes a folder by its name, once for all processes of a run of pytest.

    Parameters
    ----------
    base
        pytest's own folder of this process.
    worker_id
        As pytest-xdist names this process; `master` where it is the only one.
    """
    shared = base if worker_id == "master" else base.parent

    def once(name: str, make: Callable[[Path], None]) -> Path:
        folder = shared / name
        done = shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Once:
    """Make a folder by its name, once; whoever changes what is in it copies it first."""
    return once_in(tmp_path_factory.getbasetemp(), worker_id)
