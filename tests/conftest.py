"""What every test needs: the package `tests` itself, and how long hypothesis searches."""

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Test helpers are imported as `tests.core.oracle` and so on, whatever directory pytest starts in.
_ROOT = str(Path(__file__).resolve().parents[1])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)

# kafka-python 3.0 reads its schemas by a deprecated call, once, when it is imported.
with warnings.catch_warnings(), suppress(ImportError):
    warnings.filterwarnings("ignore", "(read|open)_text is deprecated", DeprecationWarning)
    import kafka  # noqa: F401

# A first example may load compiled kernels, so no deadline; big sequences are the point here.
_COMMON = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
settings.register_profile("quick", settings(max_examples=5, **_COMMON))  # type: ignore[arg-type]
settings.register_profile("ci", settings(max_examples=50, **_COMMON))  # type: ignore[arg-type]
settings.register_profile(
    "thorough",
    settings(max_examples=1000, **_COMMON),  # type: ignore[arg-type]
)
# `make check` asks for `quick`; `thorough` searches twenty times longer than `make test`.
settings.load_profile(os.environ.get("SEGSTREAM_HYPOTHESIS", "ci"))

pytest_plugins = ("tests.once", "tests.example_states", "tests.planted_coupons")

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of a data set beside the checkout; skips where it is absent, fails in CI."""
    from tests.needed import lacking  # the path to `tests` is set only now

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            lacking(f"no {name} in ../shared/data beside the checkout")
        return path

    return find
