"""Asking the processor for rows of a large table before they are read, inside compiled loops.

Rows that candidates name lie anywhere in hundreds of megabytes: a loop over them spends most of its
time waiting for the first bytes of the next one. Asked for a few rows ahead, they come while others
are worked on. Nothing but the time depends on it.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

_LINE_BYTES = 64
# Second-level cache: rows of several kilobytes in advance would push each other out of the first.
_READ, _LOCALITY, _DATA = 0, 2, 1


def _line(_: Any, array: Any, place: Any) -> Any:
    """Ask for the cache line of an element of a contiguous array, by its flat place."""
    signature = types.void(array, place)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type, place_type = signature.args
        struct = context.make_array(array_type)(context, builder, arguments[0])
        flat = context.cast(builder, arguments[1], place_type, types.intp)
        pointer = builder.gep(struct.data, [flat])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        told = [number(_READ), number(_LOCALITY), number(_DATA)]
        builder.call(function, [builder.bitcast(pointer, byte), *told])
        return context.get_dummy_value()

    return signature, code


_prefetch: Any = intrinsic(_line)
_inlined: Any = njit(nogil=True, inline="always")


@_inlined
def prefetch_row(table: np.ndarray, row: int) -> None:
    """Ask for a row of a contiguous table, shape (I, D)."""
    num = table.shape[1]
    step = _LINE_BYTES // table.itemsize
    for d in range(0, num, step):
        _prefetch(table, row * num + d)
    _prefetch(table, row * num + num - 1)


@_inlined
def prefetch_element(values: np.ndarray, place: int) -> None:
    """Ask for one element of a contiguous array."""
    _prefetch(values, place)
