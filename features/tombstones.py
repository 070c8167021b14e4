"""Who was erased, without saying who: salted hashes of ids that no table may hold any more.

The salt lies beside the hashes: whoever knows an id can see that it was erased, nobody can read the
ids out of them without guessing.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from sentiment.schema import UTC

ERASED = "erased"
ERASED_SCHEMA = pl.Schema(
    {"key": pl.String(), "salt": pl.String(), "erased_at": pl.Datetime("us", UTC)}
)
"""Columns of the table `erased`: one row an erased user, and one a review of theirs."""
ID_COLUMNS = ("user_id", "review_id")


@dataclass(frozen=True)
class Tombstones:
    """Hashes of erased ids.

    Attributes:
        salt: Of the store, hexadecimal.
        keys: Hashes, hexadecimal.
    """

    salt: str
    keys: frozenset[str]

    @classmethod
    def of(cls, erased: pl.DataFrame) -> "Tombstones":
        """Read the table `erased`; an empty one makes a new salt."""
        salt = erased["salt"][0] if len(erased) else secrets.token_hex(16)
        return cls(salt=salt, keys=frozenset(erased["key"]))

    @classmethod
    def holding(cls, ids: Iterable[str]) -> "Tombstones":
        """Return marks for some ids, of a salt of their own."""
        salt = secrets.token_hex(16)
        bare = cls(salt=salt, keys=frozenset())
        return cls(salt=salt, keys=frozenset(map(bare._key, ids)))

    def rows(self, ids: Iterable[str], now: datetime) -> pl.DataFrame:
        """Return rows of the table `erased` for ids that are not in it yet."""
        new = sorted({self._key(name) for name in ids} - self.keys)
        return pl.DataFrame(
            {"key": new, "salt": [self.salt] * len(new), "erased_at": [now] * len(new)},
            schema=ERASED_SCHEMA,
        )

    def marked(self, frame: pl.DataFrame) -> pl.Series:
        """Tell which rows are of an erased user or review, Boolean, as long as the frame.

        A row as it stood in a source (column `row`, of the quarantine) is one where any value of it
        is an erased id.
        """
        marks = pl.Series([False]).new_from_index(0, len(frame))
        if not self.keys:
            return marks
        for column in ID_COLUMNS:
            if column in frame.columns:
                marks |= self._marked_ids(frame[column])
        if "row" in frame.columns:
            marks |= pl.Series([self._is_in(row) for row in frame["row"]], dtype=pl.Boolean)
        return marks

    def _marked_ids(self, ids: pl.Series) -> pl.Series:
        distinct = ids.unique().drop_nulls()
        erased = distinct.filter(
            pl.Series([self._key(name) in self.keys for name in distinct], dtype=pl.Boolean)
        )
        return ids.is_in(erased.implode()).fill_null(value=False)

    def _is_in(self, row: str | None) -> bool:
        return any(self._key(value) in self.keys for value in texts_in(row))

    def _key(self, name: str) -> str:
        digest = hashlib.blake2b(name.encode(), key=bytes.fromhex(self.salt), digest_size=16)
        return digest.hexdigest()


def texts_in(row: str | None) -> list[str]:
    """Return the values, as texts, of a source row; the row itself where it is no JSON.

    >>> texts_in('{"user": "u7", "items": [{"id": 3}]}')
    ['u7', '3']
    """
    if row is None:
        return []
    try:
        return [str(value) for value in _leaves(json.loads(row))]
    except ValueError:
        return [row, *row.replace('"', "").split(",")]


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in _leaves(part)]
    if isinstance(value, list):
        return [leaf for part in value for leaf in _leaves(part)]
    return [value]
