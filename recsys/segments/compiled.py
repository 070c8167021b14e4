"""What a condition is compiled to: where its values are read, and Polars expressions over them."""

from dataclasses import dataclass
from typing import Any

import polars as pl


@dataclass(frozen=True, kw_only=True)
class Source:
    """One frame that values are read from.

    Attributes:
        frame: `user_id` and the columns, one row a user.
        defaults: Of users who are not in it, by column.
        is_counted: Whether it is made of many rows a user, and not a table of users itself.
    """

    frame: pl.LazyFrame
    defaults: dict[str, Any]
    is_counted: bool

    @property
    def columns(self) -> list[str]:
        """Of its values."""
        return list(self.defaults)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One comparison, or one set of users.

    Attributes:
        path: Where in the definition.
        says: In words.
        column: That tells its value; null of who is unknown.
        holds: Boolean over the columns, null for unknown.
    """

    path: str
    says: str
    column: str
    holds: pl.Expr


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A condition that can be asked of users.

    Attributes:
        conjuncts: Boolean each; all of them are to hold.
        says: Each conjunct in words.
        sources: Where their columns are read.
        asked: Every comparison and set, in the order of the definition.
        holds: The whole, null for unknown.
    """

    conjuncts: list[pl.Expr]
    says: list[str]
    sources: list[Source]
    asked: list[Asked]
    holds: pl.Expr
