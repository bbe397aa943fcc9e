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


def inlined(function: Function) -> Function:
    """`compiled`, with its body put in place of every call.

    An array handed over is seven words, and the kernel's functions take dozens of arrays: where a
    function is small and called for every feature or entry, the call takes longer than the work.
    """
    options: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "forceinline": True}
    return cast("Function", numba.njit(**options)(function))


def allocating(function: Function) -> Function:
    """Compile a function that returns new arrays."""
    return cast("Function", numba.njit(cache=True, error_model="numpy")(function))
