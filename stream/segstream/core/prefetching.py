"""Memory that will be needed soon, asked for ahead.

Rows are visited in the order of a roster or of a log: to the processor, at random. What a row needs
takes longer to come from memory than to be worked on, unless it was asked for while the row before
was worked on.
"""

from typing import Any, Final

import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

from segstream.core.compiled import inlined
from segstream.core.layout import LENGTH, N_LISTS, OFFSET, Records

_LINE_BYTES: Final = 64
_LINE_WORDS: Final = _LINE_BYTES // 8


def ask(array: "npt.NDArray[Any]", index: int) -> None:
    """Ask for the cache line of a contiguous array's element, by its flat index; no effect."""
    del array, index


@intrinsic
def _prefetch(_typing: Any, array: Any, index: Any) -> Any:
    """LLVM's own instruction for it."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        data = context.make_array(kind)(context, builder, arguments[0]).data
        number, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        place = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        shape = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], shape)
        # To read, to be kept in every level of the cache, data.
        builder.call(function, [place, *(ir.Constant(number, n) for n in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, index), build


@overload(ask, inline="always")
def _ask_compiled(array: Any, index: Any) -> Any:
    del array, index

    def asked(array: Any, index: Any) -> Any:
        return _prefetch(array, index)  # type: ignore[call-arg]

    return asked


@inlined
def ask_row(records: Records, row: int) -> None:
    """Ask for the fixed columns of a row and where its lists are."""
    for table in (records.head, records.lists, records.found):
        width = table.shape[1]
        for at in range(row * width, (row + 1) * width, _LINE_WORDS):
            ask(table, at)
        ask(table, (row + 1) * width - 1)


@inlined
def ask_lists(records: Records, row: int) -> None:
    """Ask for both ends of a row's lists; where they are must be here already."""
    for which in range(N_LISTS):
        offset = records.lists[row, 3 * which + OFFSET]
        length = records.lists[row, 3 * which + LENGTH]
        ask(records.arena, offset)
        ask(records.arena, offset + max(length - 1, 0))
