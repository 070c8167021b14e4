"""Who is in a segment of a store, as of a moment."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from features.store import Store
from jobs.config import Config
from recsys.segments.compiled import Compiled
from recsys.segments.compiling import NearUsers, compile_condition
from recsys.segments.definition import Definition
from recsys.segments.selecting import members
from recsys.segments.tables import SegmentTables

_TABLES = (
    "users",
    "user_profiles",
    "user_aspects",
    "user_outcomes",
    "category_satisfaction",
    "purchase_history",
    "browse_history",
    "items",
    "events",
    "reviews",
    "contacts",
)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Who a segment is made of, before anybody asks who may be written to.

    Attributes:
        definition: Of the segment.
        as_of: Nothing at or after it was read.
        tables: That were read.
        compiled: What they were asked.
    """

    definition: Definition
    as_of: datetime
    tables: SegmentTables
    compiled: Compiled

    @property
    def version(self) -> str:
        """Of the definition."""
        return self.definition.version

    def lazy(self) -> pl.LazyFrame:
        """Return `user_id` of all members, each once, in no order; nothing is held."""
        return members(self.compiled, self.tables)

    def user_ids(self) -> pl.Series:
        """Return the ids of all members, sorted, each once."""
        found = self.lazy().collect(engine="streaming")
        return found["user_id"].sort()


def signals_version(store: Store, settings: Config) -> str | None:
    """Return which signals segments read: the only ones there are, else those of the models in use.

    None where no review has any.

    Raises:
        StoreError: The table is damaged.
    """
    if not store.exists("review_signals"):
        return None
    versions = store.scan("review_signals").select(pl.col("model_version").unique())
    found = versions.collect(engine="streaming")["model_version"].to_list()
    if len(found) == 1:
        return found[0]
    # Slow to import: only where there is a choice.
    from jobs.settings import score_config
    from sentiment.scorer import model_version

    return model_version(score_config(settings).scorer)


def segment_tables(
    store: Store, *, version: str | None, as_of: datetime, uncounted: str | None = None
) -> SegmentTables:
    """Open the tables that segments read.

    Args:
        store: Where they are.
        version: Model version of the signals; None where there are none.
        as_of: Nothing at or after it is read.
        uncounted: Segment whose contacts are left out: who is on its list was written to by being
            on it, and would leave it again for that.

    Raises:
        StoreError: A table is damaged.
    """
    frames = {name: store.scan(name) for name in _TABLES if store.exists(name)}
    if version is not None:
        signals = store.scan("review_signals")
        frames["signals"] = signals.filter(pl.col("model_version") == version)
    if uncounted is not None and "contacts" in frames:
        frames["contacts"] = frames["contacts"].filter(pl.col("segment").ne_missing(uncounted))
    return SegmentTables(frames=frames, as_of=as_of)


def select_members(
    store: Store,
    definition: Definition,
    as_of: datetime,
    *,
    version: str | None,
    near: Callable[[SegmentTables], NearUsers] | None = None,
    uncounted: str | None = None,
) -> Selection:
    """Ask a store who is in a segment.

    Args:
        store: Where the tables are.
        definition: Of the segment.
        as_of: Nothing at or after it is read.
        version: Model version of the signals; see `signals_version`.
        near: Opens the two-tower space; None for the live bundle of the store.
        uncounted: See `segment_tables`.

    Raises:
        SegmentError: A table or column that is needed is not there, or was made later.
        StoreError: A table is damaged.
    """
    tables = segment_tables(store, version=version, as_of=as_of, uncounted=uncounted)

    def of_live_bundle(tables: SegmentTables) -> NearUsers:
        # Slow to import: only where a condition asks.
        from jobs.segment_space import tower_space

        return tower_space(store, tables, version=version)

    opened = near or of_live_bundle
    compiled = compile_condition(
        definition.condition,
        tables,
        where=f"{definition.source}: segment {definition.name}",
        near=lambda: opened(tables),
    )
    return Selection(definition=definition, as_of=as_of, tables=tables, compiled=compiled)
