"""Rounding of many numbers at once, to the same bits as Python's `round`."""

from typing import Final

import numpy as np

from segstream.core.spec import FloatArray

DECIMALS: Final = 6
"""More are noise to a reader."""
_ONE: Final = 10.0**DECIMALS
# Below it a product with `_ONE` is off by less than 2^-13: what is so near to a half is doubtful.
_EXACT: Final = 2.0**40
_NEAR: Final = 2.0**-12


def rounded(values: FloatArray) -> FloatArray:
    """`round(value, DECIMALS)` of each; what is not finite stays as it is.

    A whole number below 2^53 over a power of ten is the double nearest to that decimal, which is
    what `round` returns: only which whole number it is can be in doubt, and `round` decides that.

    Parameters
    ----------
    values : shape (n,)

    Examples
    --------
    >>> rounded(np.array([0.1234565, 2.675, -1e-7])).tolist()
    [0.123456, 2.675, -0.0]
    """
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = values * _ONE
        whole = np.rint(scaled)
        sure = (np.abs(scaled) < _EXACT) & (np.abs(np.abs(scaled - whole) - 0.5) > _NEAR)
        found: FloatArray = whole / _ONE
    if not sure.all():
        for i in np.flatnonzero(~sure).tolist():
            found[i] = round(float(values[i]), DECIMALS)
    return found
