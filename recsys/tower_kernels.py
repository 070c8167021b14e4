"""The layers of the query tower, compiled by Numba.

A row of an answer is the same, to the bit, however many rows are asked for: BLAS multiplies a
matrix in another order than a vector.

Shape suffixes: B rows, P inputs, O outputs.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from recsys.kernels import dot

_compiled: Any = njit(cache=True, nogil=True)
_ROOT_2 = math.sqrt(2.0)


@_compiled
def linear(input_BP: np.ndarray, weight_OP: np.ndarray, bias_O: np.ndarray) -> np.ndarray:
    """Return inputs times weights, transposed as torch keeps them, plus bias, float32, (B, O)."""
    output_BO = np.empty((len(input_BP), len(weight_OP)), dtype=np.float32)
    for b in range(len(input_BP)):
        for o in range(len(weight_OP)):
            output_BO[b, o] = dot(input_BP[b], weight_OP[o]) + bias_O[o]
    return output_BO


@_compiled
def gelu(input_BP: np.ndarray) -> np.ndarray:
    """Return x times the normal distribution function at x, as torch computes it, float32."""
    output_BP = np.empty(input_BP.shape, dtype=np.float32)
    for b in range(input_BP.shape[0]):
        for p in range(input_BP.shape[1]):
            x = np.float64(input_BP[b, p])
            output_BP[b, p] = 0.5 * x * (1.0 + math.erf(x / _ROOT_2))
    return output_BP
