"""The best of a few thousand float32 values, first to last, compiled by Numba.

A float's bits, turned over where it is positive and but for the sign where it is not, rise as it
falls. Values are sorted by the digits of those bits: most of an answer's rankings are a few hundred
values, of which comparing each with others takes several times as long.
Source: LSD radix sort, Knuth 1998, "The Art of Computer Programming" 3, 5.2.5.
"""

from typing import Any

import numpy as np
from numba import njit

_compiled: Any = njit(cache=True, nogil=True)
_SIGN = np.uint32(0x80000000)
_ALL = np.uint32(0xFFFFFFFF)
# Upper bits by which what cannot be among the best is left out, before the rest is sorted.
_COARSE_BITS = 12
_DIGIT_BITS, _NUM_DIGITS = 8, 4


@_compiled
def best_first(column: np.ndarray, value: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of the largest values and those values, ties to the lower column.

    Args:
        column: Distinct, int32.
        value: float32, contiguous, none of them NaN.
        depth: At most so many.
    """
    bits = value.view(np.uint32)
    falling = np.empty(len(value), dtype=np.uint32)
    place = np.empty(len(value), dtype=np.int32)
    for at in range(len(value)):
        falling[at] = (bits[at] ^ (_ALL if bits[at] < _SIGN else _SIGN)) ^ _SIGN
    num = _candidates(falling, place, depth)
    place = _by_digits(falling, place[:num])
    _ties_in_order(falling, column, place)
    num = min(num, depth)
    best = np.empty(num, dtype=np.int32)
    best_value = np.empty(num, dtype=np.float32)
    for nth in range(num):
        best[nth] = column[place[nth]]
        best_value[nth] = value[place[nth]]
    return best, best_value


@_compiled
def _candidates(falling: np.ndarray, place: np.ndarray, depth: int) -> int:
    """Write the places of at least the `depth` least keys, in order; return how many."""
    if len(falling) <= depth:
        for at in range(len(falling)):
            place[at] = at
        return len(falling)
    shift = np.uint32(32 - _COARSE_BITS)
    count = np.zeros(1 << _COARSE_BITS, dtype=np.int32)
    for at in range(len(falling)):
        count[falling[at] >> shift] += 1
    last, sofar = 0, count[0]
    while sofar < depth:
        last += 1
        sofar += count[last]
    num = 0
    for at in range(len(falling)):
        if falling[at] >> shift <= last:
            place[num] = at
            num += 1
    return num


@_compiled
def _by_digits(falling: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return places in the order of their keys; of equal ones, in the order given."""
    base, mask = 1 << _DIGIT_BITS, np.uint32((1 << _DIGIT_BITS) - 1)
    count = np.zeros((_NUM_DIGITS, base), dtype=np.int32)
    for nth in range(len(place)):
        key = falling[place[nth]]
        for digit in range(_NUM_DIGITS):
            count[digit, (key >> np.uint32(_DIGIT_BITS * digit)) & mask] += 1
    other = np.empty_like(place)
    for digit in range(_NUM_DIGITS):
        count_of, shift = count[digit], np.uint32(_DIGIT_BITS * digit)
        if len(place) and count_of[(falling[place[0]] >> shift) & mask] == len(place):
            continue  # All have the same.
        before = np.int32(0)
        for each in range(base):
            before, count_of[each] = before + count_of[each], before
        for nth in range(len(place)):
            key = (falling[place[nth]] >> shift) & mask
            other[count_of[key]] = place[nth]
            count_of[key] += 1
        place, other = other, place
    return place


@_compiled
def _ties_in_order(falling: np.ndarray, column: np.ndarray, place: np.ndarray) -> None:
    """Put places of equal keys in the order of their columns."""
    start = 0
    while start < len(place):
        end = start + 1
        while end < len(place) and falling[place[end]] == falling[place[start]]:
            end += 1
        if end - start > 1:
            tied = place[start:end]
            place[start:end] = tied[np.argsort(column[tied])]
        start = end
