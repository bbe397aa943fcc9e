"""How the kernel is compiled.

Numba counts a reference for every array at every call and slice; with eight arrays handed
through five levels of functions that took longer than the work itself. Functions that allocate
nothing are compiled without reference counts: their caller keeps every array alive.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function that allocates nothing; it guards its divisions itself."""
    options: dict[str, Any] = {"cache": True, "error_model": "numpy", "_nrt": False}
    return cast("Function", numba.njit(**options)(function))


def allocating(function: Function) -> Function:
    """Compile a function that returns new arrays."""
    return cast("Function", numba.njit(cache=True, error_model="numpy")(function))
