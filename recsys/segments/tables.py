"""The tables that segments read, as of a moment: nothing at or after it is ever seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from recsys.errors import SegmentError
from recsys.segments.hints import nearest
from recsys.segments.values import Window

MADE_BY = {
    "user_profiles": "profiles",
    "user_aspects": "profiles",
    "purchase_history": "profiles",
    "browse_history": "profiles",
    "user_outcomes": "outcomes",
    "category_satisfaction": "outcomes",
    "signals": "score",
}
"""Command that makes a table; the others come from `ingest`."""
_TIMES = {"events": "event_time", "reviews": "event_time", "contacts": "contacted_at"}
_MADE_AS_OF = ("user_profiles", "user_outcomes", "category_satisfaction")
# These bear no time of their own: they are written with the profiles.
_WITH_PROFILES = {
    "user_aspects": "user_profiles",
    "purchase_history": "user_profiles",
    "browse_history": "user_profiles",
}
_KINDS = {"item": "item_id", "brand": "brand", "category": "categories"}
_USERS_OF = ("users", "user_profiles", "user_outcomes", *_TIMES)


@dataclass(frozen=True)
class SegmentTables:
    """Tables of a shop, each read as of one moment.

    Attributes:
        frames: By name, those that are there: `users`, `user_profiles`, `user_aspects`,
            `user_outcomes`, `category_satisfaction`, `items`, `events`, `reviews`, `contacts`; and
            `signals`: review signals of one model version.
        as_of: The moment; rows at or after it are not read.
    """

    frames: Mapping[str, pl.LazyFrame]
    as_of: datetime

    def read(self, table: str, asked: str) -> pl.LazyFrame:
        """Return a table as of the moment.

        Args:
            table: Its name.
            asked: What needs it, for messages.

        Raises:
            SegmentError: It is not there, or was made as of a later moment.
        """
        if table not in self.frames:
            command = MADE_BY.get(table, "ingest FILE")
            raise SegmentError(f"{asked} needs the table {table}: run `sentirec {command}` first")
        self._check_moment(_WITH_PROFILES.get(table, table), asked)
        return self._seen(table)

    def rows(self, table: str, window: Window | None, asked: str) -> pl.LazyFrame:
        """Return the rows of events, reviews or contacts that lie within a window.

        Raises:
            SegmentError: A table is not there, or no item is what the window asks for.
        """
        found = self.read(table, asked)
        if window is None:
            return found
        time = pl.col(_TIMES[table])
        if window.last_days is not None:
            found = found.filter(time >= self.as_of - timedelta(days=window.last_days))
        if window.since is not None:
            found = found.filter(time >= window.since)
        if window.until is not None:
            found = found.filter(time < window.until)
        items = self.items_of(window, asked)
        return found if items is None else found.join(items, on="item_id", how="semi")

    def items_of(self, asked_of: "Window | object", asked: str) -> pl.LazyFrame | None:
        """Return `item_id` of the items, brands and categories that are asked for; None for all.

        Raises:
            SegmentError: A name is that of no item, brand or category: a misspelt one would be in
                nobody's history, and everybody would be known not to have bought it.
        """
        wanted = {kind: getattr(asked_of, kind) for kind in _KINDS if getattr(asked_of, kind)}
        if not wanted:
            return None
        items = self.read("items", asked)
        is_wanted = pl.lit(value=True)
        for kind, names in wanted.items():
            column = pl.col(_KINDS[kind])
            self._check_names(items, kind, names, asked)
            is_wanted &= (
                pl.any_horizontal([column.list.contains(name) for name in names])
                if kind == "category"
                else column.is_in(names)
            )
        return items.filter(is_wanted).select("item_id")

    def everybody(self) -> pl.LazyFrame:
        """Return `user_id` of everybody who is in any table, each once.

        Raises:
            SegmentError: There is no table of anybody.
        """
        found = [self._seen(name).select("user_id") for name in _USERS_OF if name in self.frames]
        if not found:
            raise SegmentError("the store has no table of users: run `sentirec ingest FILE` first")
        return pl.concat(found).unique()

    def _seen(self, table: str) -> pl.LazyFrame:
        frame = self.frames[table]
        return frame.filter(pl.col(_TIMES[table]) < self.as_of) if table in _TIMES else frame

    def _check_moment(self, table: str, asked: str) -> None:
        if table not in _MADE_AS_OF or table not in self.frames:
            return
        made = self.frames[table].select(pl.col("as_of").max()).collect(engine="streaming").item()
        if made is not None and made > self.as_of:
            raise SegmentError(
                f"{asked} needs the table {table}, which knows what came before "
                f"{made.isoformat()}, after the moment {self.as_of.isoformat()} that is asked "
                f"about: run `sentirec {MADE_BY[table]} --as-of {self.as_of.isoformat()}` first"
            )

    def _check_names(
        self, items: pl.LazyFrame, kind: str, names: Sequence[str], asked: str
    ) -> None:
        column = pl.col(_KINDS[kind])
        values = items.select(column.explode() if kind == "category" else column).unique()
        known = values.collect(engine="streaming").to_series()
        for name in names:
            if name not in known:
                hint = nearest(name, known.drop_nulls().to_list())
                raise SegmentError(f"{asked}: no item has the {kind} {name!r}{hint}")
