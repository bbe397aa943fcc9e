"""What a command needs beside the package itself: the extras of pyproject.toml."""

from collections.abc import Iterator
from contextlib import contextmanager

from segstream.errors import ConfigError


@contextmanager
def extra(name: str, packages: str) -> Iterator[None]:
    """Name the remedy where an import needs a package of an extra.

    Parameters
    ----------
    packages
        What its packages are for, as "expected the packages ..." goes on.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"expected the packages {packages}, got {error}; pip install 'segstream[{name}]'"
        ) from error
