"""Which rows are known already: two 64-bit hashes a row, whatever the rows hold."""

import numpy as np
import polars as pl

_Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]


class KnownRows:
    """A growing map from the hash of an id to the hash of what the row says.

    It holds sorted runs whose sizes at least double from the last to the first, so adding n rows
    costs O(n log n) over all calls and a look-up O(log^2 n). Two ids of one hash would be taken for
    one; among 100 million rows the chance of any such pair is 3 in 10,000.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[_Hashes, _Hashes]] = []

    def __len__(self) -> int:
        """Count the rows that are known."""
        return sum(len(ids) for ids, _ in self._runs)

    def add(self, ids: pl.Series, contents: pl.Series) -> None:
        """Take in rows that are not known yet.

        Args:
            ids: UInt64 hashes, none known and none twice.
            contents: UInt64 hashes of what the rows say, parallel to `ids`.
        """
        if ids.is_empty():
            return
        order = ids.arg_sort()
        run = (ids.gather(order).to_numpy(), contents.gather(order).to_numpy())
        while self._runs and len(self._runs[-1][0]) < 2 * len(run[0]):
            run = _merged(self._runs.pop(), run)
        self._runs.append(run)

    def look_up(self, ids: pl.Series) -> pl.Series:
        """Find what is known under some ids.

        Args:
            ids: UInt64 hashes.

        Returns:
            The content hashes; null where the id is not known.
        """
        wanted = ids.to_numpy()
        found = np.zeros(len(wanted), dtype=np.uint64)
        is_known = np.zeros(len(wanted), dtype=bool)
        for keys, contents in self._runs:
            places = np.searchsorted(keys, wanted)
            places[places == len(keys)] = 0
            hits = keys[places] == wanted
            found[hits] = contents[places[hits]]
            is_known |= hits
        return pl.select(pl.when(pl.Series(is_known)).then(pl.Series(found))).to_series()


def _merged(
    left: tuple[_Hashes, _Hashes], right: tuple[_Hashes, _Hashes]
) -> tuple[_Hashes, _Hashes]:
    ids = np.concatenate([left[0], right[0]])
    contents = np.concatenate([left[1], right[1]])
    order = np.argsort(ids, kind="stable")
    return ids[order], contents[order]
