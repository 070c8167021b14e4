"""Who took which item, in order: the one in-memory form that every model here learns from.

Shape suffixes: N interactions, U users, I items, B users of a batch, H history rows of a batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import repeat

import numpy as np
import polars as pl
import scipy.sparse as sp

from features.opinion import felt

_LOOKED_UP_SHARE = 5
"""Fewer ids than a fifth of all are looked up one by one: a join would hash all of them first."""


@dataclass(frozen=True, kw_only=True)
class IdMap:
    """External ids and their dense indices.

    The index is the place in the sorted ids; what was added to a bundle later stands behind them.
    """

    ids: np.ndarray

    @classmethod
    def of(cls, ids: Iterable[str]) -> "IdMap":
        """Build a map from ids in any order, with or without repeats."""
        return cls(ids=np.array(sorted(set(ids)), dtype=object))

    @classmethod
    def of_columns(cls, columns: Sequence[pl.Series]) -> "IdMap":
        """Build the same map from columns of ids; null is no id."""
        ids = pl.concat([column.cast(pl.String) for column in columns]).unique().drop_nulls()
        return cls(ids=np.array(ids.sort().to_list(), dtype=object))

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.ids)

    def index(self, ids: Sequence[str] | pl.Series) -> np.ndarray:
        """Return dense indices, int64, -1 where an id is unknown."""
        if len(ids) * _LOOKED_UP_SHARE < len(self):
            places = map(self.places.get, ids, repeat(-1))
            return np.fromiter(places, dtype=np.int64, count=len(ids))
        wanted = pl.DataFrame({"id": pl.Series(ids, dtype=pl.String)})
        joined = wanted.join(self._known, on="id", how="left", maintain_order="left")
        return joined["idx"].cast(pl.Int64).fill_null(-1).to_numpy()

    @cached_property
    def places(self) -> dict[str, int]:
        """Dense index by id."""
        return dict(zip(self.ids.tolist(), range(len(self.ids)), strict=True))

    @cached_property
    def _known(self) -> pl.DataFrame:
        known = pl.DataFrame({"id": pl.Series(self.ids.tolist(), dtype=pl.String)})
        return known.with_row_index("idx")


@dataclass(frozen=True, kw_only=True)
class Histories:
    """Rows of B users, oldest first, as ragged arrays.

    Attributes:
        indptr: Rows of user b are indptr[b]:indptr[b + 1], int64, shape (B + 1,).
        item_idx: int32, shape (H,).
        event_time: Microseconds since the epoch, int64, shape (H,).
        sentiment: How the user felt about that row, by `features.opinion.felt`, in [-1, 1]; NaN
            where nothing is known, float32, shape (H,).
    """

    indptr: np.ndarray
    item_idx: np.ndarray
    event_time: np.ndarray
    sentiment: np.ndarray

    @classmethod
    def empty(cls, num_users: int) -> "Histories":
        """Return histories of users without any row."""
        return cls(
            indptr=np.zeros(num_users + 1, dtype=np.int64),
            item_idx=np.zeros(0, dtype=np.int32),
            event_time=np.zeros(0, dtype=np.int64),
            sentiment=np.zeros(0, dtype=np.float32),
        )

    @classmethod
    def joined(cls, parts: Sequence["Histories"]) -> "Histories":
        """Return the users of one or more histories, one after the other."""
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(
            indptr=np.concatenate([[0], np.cumsum(lengths)]),
            item_idx=np.concatenate([part.item_idx for part in parts]),
            event_time=np.concatenate([part.event_time for part in parts]),
            sentiment=np.concatenate([part.sentiment for part in parts]),
        )

    def __len__(self) -> int:
        """Return the number of users B."""
        return len(self.indptr) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """Rows of each user, int64, shape (B,)."""
        return np.diff(self.indptr)

    @cached_property
    def row(self) -> np.ndarray:
        """Batch row of each history row, int64, shape (H,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def steps_back(self) -> np.ndarray:
        """How many rows lie between a row and the user's last one, int64, shape (H,)."""
        return self.indptr[self.row + 1] - 1 - np.arange(len(self.item_idx))

    def last(self, num: int) -> "Histories":
        """Return only the last `num` rows of each user."""
        if self.lengths.max(initial=0) <= num:
            return self
        keep = self.steps_back < num
        lengths = np.minimum(self.lengths, num)
        return Histories(
            indptr=np.concatenate([[0], np.cumsum(lengths)]),
            item_idx=self.item_idx[keep],
            event_time=self.event_time[keep],
            sentiment=self.sentiment[keep],
        )

    def merged(self) -> "Histories":
        """Return one row a user and item, at its last place, with the sum of its `sentiment`."""
        base = int(self.item_idx.max(initial=0)) + 1
        keys = self.row * base + self.item_idx
        _, last, group = np.unique(keys[::-1], return_index=True, return_inverse=True)
        sums = np.bincount(group, self.sentiment[::-1])
        places = len(keys) - 1 - last
        order = np.argsort(places)
        keep = places[order]
        lengths = np.bincount(self.row[keep], minlength=len(self))
        return Histories(
            indptr=np.concatenate([[0], np.cumsum(lengths)]),
            item_idx=self.item_idx[keep],
            event_time=self.event_time[keep],
            sentiment=sums[order].astype(np.float32),
        )

    def matrix(self, weights: np.ndarray, num_items: int) -> sp.csr_matrix:
        """Return row weights as a sparse (B, I) matrix; repeats of an item add up."""
        return sp.csr_matrix((weights, self.item_idx, self.indptr), shape=(len(self), num_items))


@dataclass(frozen=True, kw_only=True)
class Interactions:
    """All interactions, sorted by (user_idx, event_time, seq).

    Attributes:
        num_users: U.
        num_items: I.
        user_idx: int32, shape (N,).
        item_idx: int32, shape (N,).
        event_time: Microseconds since the epoch, int64, shape (N,).
        sentiment: How the user felt about the row, by `features.opinion.felt`, in [-1, 1]; NaN
            where nothing is known, float32, shape (N,). For browsing: its strength.
        stars: Stars of that review, NaN where there is none, float32, shape (N,).
        session_start: When the session of the row began, the row's own time where it has none;
            microseconds since the epoch, int64, shape (N,).
    """

    num_users: int
    num_items: int
    user_idx: np.ndarray
    item_idx: np.ndarray
    event_time: np.ndarray
    sentiment: np.ndarray
    stars: np.ndarray
    session_start: np.ndarray

    @classmethod
    def from_frame(
        cls, frame: pl.DataFrame, *, users: IdMap, items: IdMap, repeats: bool = False
    ) -> "Interactions":
        """Build from `user_id, item_id, event_time, seq, polarity, stars[, session_start]`.

        Rows of users or items outside the maps are left out. Of a user and item only the first row
        is kept, as what is recommended is something new, unless `repeats` are wanted.
        """
        if "session_start" not in frame.columns:
            frame = frame.with_columns(session_start="event_time")
        frame = (
            frame.with_columns(
                user_idx=pl.Series(users.index(frame["user_id"])),
                item_idx=pl.Series(items.index(frame["item_id"])),
            )
            .filter((pl.col("user_idx") >= 0) & (pl.col("item_idx") >= 0))
            .sort("user_idx", "event_time", "seq")
        )
        if not repeats:
            frame = frame.unique(["user_idx", "item_idx"], keep="first", maintain_order=True)
        return cls(
            num_users=len(users),
            num_items=len(items),
            user_idx=frame["user_idx"].to_numpy().astype(np.int32),
            item_idx=frame["item_idx"].to_numpy().astype(np.int32),
            event_time=frame["event_time"].dt.epoch("us").to_numpy().astype(np.int64),
            sentiment=_floats(frame.select(felt(pl.col("stars"), pl.col("polarity"))).to_series()),
            stars=_floats(frame["stars"]),
            session_start=frame["session_start"].dt.epoch("us").to_numpy().astype(np.int64),
        )

    def __len__(self) -> int:
        """Return the number of interactions N."""
        return len(self.user_idx)

    @cached_property
    def indptr(self) -> np.ndarray:
        """Rows of user u are indptr[u]:indptr[u + 1], int64, shape (U + 1,)."""
        counts = np.bincount(self.user_idx, minlength=self.num_users)
        return np.concatenate([[0], np.cumsum(counts)])

    def keep(self, rows: np.ndarray) -> "Interactions":
        """Return the interactions of a boolean mask, in the same order and index space."""
        columns = {
            f.name: getattr(self, f.name)[rows]
            for f in fields(self)
            if f.name not in ("num_users", "num_items")
        }
        return Interactions(num_users=self.num_users, num_items=self.num_items, **columns)

    def histories(self, users: np.ndarray) -> Histories:
        """Return the rows of the given users, one batch row a user, in the order given."""
        return self.between(self.indptr[users], self.indptr[users + 1])

    def between(self, starts: np.ndarray, ends: np.ndarray) -> Histories:
        """Return rows starts[b]:ends[b] as the history of batch row b."""
        # Rows of one user lie side by side and need not be copied.
        rows = slice(*starts, *ends) if len(starts) == 1 else concat_ranges(starts, ends)
        return Histories(
            indptr=np.concatenate([[0], np.cumsum(ends - starts)]),
            item_idx=self.item_idx[rows],
            event_time=self.event_time[rows],
            sentiment=self.sentiment[rows],
        )

    def ends_before(self, users: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return where the rows of users[b] strictly before times[b] end, int64, shape (B,)."""
        keys, distinct = self._time_keys
        place = np.searchsorted(distinct, times, side="left")
        return np.searchsorted(keys, users.astype(np.int64) * (len(distinct) + 1) + place)

    @cached_property
    def _time_keys(self) -> tuple[np.ndarray, np.ndarray]:
        """One sortable key a row, by user and time, and the distinct times behind it."""
        distinct, place = np.unique(self.event_time, return_inverse=True)
        return self.user_idx.astype(np.int64) * (len(distinct) + 1) + place, distinct

    def popularity(self) -> np.ndarray:
        """Return the number of interactions of each item, int64, shape (I,)."""
        return np.bincount(self.item_idx, minlength=self.num_items)


def _floats(column: pl.Series) -> np.ndarray:
    return column.cast(pl.Float32).fill_null(float("nan")).to_numpy().astype(np.float32)


def concat_ranges(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the concatenation of arange(start, end) for every pair."""
    lengths = ends - starts
    offsets = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    return np.arange(lengths.sum()) + offsets
