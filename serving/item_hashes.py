"""Short hashes of item ids, under which pages remember what was shown.

FNV-1a of 64 bits over the id's UTF-8 bytes, mixed as MurmurHash3 ends, the upper 40 bits of it.
Source: Fowler, Noll and Vo, RFC 9923; Appleby, "MurmurHash3". It is no secret and no proof: tokens
are signed as a whole.

Shape suffixes: I items.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit

HASH_BYTES = 5
_compiled: Any = njit(cache=True, nogil=True)
_OFFSET, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_HALF, _UPPER = np.uint64(33), np.uint64(64 - 8 * HASH_BYTES)


@dataclass(frozen=True, kw_only=True)
class ItemHashes:
    """Hashes of a catalogue, and the way back.

    Attributes:
        hash_I: Of each item, uint64 below 2 ** 40, shape (I,).
        sorted_I: The same in order.
        item_I: Item of each of those.
    """

    hash_I: np.ndarray
    sorted_I: np.ndarray
    item_I: np.ndarray

    @classmethod
    def of(cls, item_ids: Sequence[str]) -> "ItemHashes":
        """Hash the ids of a catalogue in index order."""
        if not len(item_ids):
            nothing = np.zeros(0, dtype=np.uint64)
            return cls(hash_I=nothing, sorted_I=nothing, item_I=np.zeros(0, dtype=np.int64))
        _, starts, content = pa.array(item_ids, type=pa.large_string()).buffers()
        start_I = np.frombuffer(starts, dtype=np.int64)[: len(item_ids) + 1]
        hash_I = _hashes(np.frombuffer(content or b"", dtype=np.uint8), start_I)
        order = np.argsort(hash_I, kind="stable")
        return cls(hash_I=hash_I, sorted_I=hash_I[order], item_I=order)

    def written(self, item_idx: np.ndarray) -> list[bytes]:
        """Return the hashes of items as tokens carry them, `HASH_BYTES` bytes each."""
        return [int(value).to_bytes(HASH_BYTES) for value in self.hash_I[item_idx]]

    def items(self, shown: Iterable[bytes]) -> list[int]:
        """Return all items that have one of the hashes; those nobody has are left out."""
        values = np.array([int.from_bytes(value) for value in shown], dtype=np.uint64)
        first = np.searchsorted(self.sorted_I, values, side="left")
        after = np.searchsorted(self.sorted_I, values, side="right")
        found = [self.item_I[a:b] for a, b in zip(first.tolist(), after.tolist(), strict=True)]
        return np.concatenate(found).tolist() if found else []


@_compiled
def _hashes(content: np.ndarray, start_I: np.ndarray) -> np.ndarray:
    """Return the hash of each of the strings that lie side by side, uint64."""
    hash_I = np.empty(len(start_I) - 1, dtype=np.uint64)
    for i in range(len(hash_I)):
        value = _OFFSET
        for at in range(start_I[i], start_I[i + 1]):
            value = (value ^ np.uint64(content[at])) * _PRIME
        value = (value ^ (value >> _HALF)) * _MIX_1
        value = (value ^ (value >> _HALF)) * _MIX_2
        hash_I[i] = (value ^ (value >> _HALF)) >> _UPPER
    return hash_I
