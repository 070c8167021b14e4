"""The state of profiles as it lies in a store: batches of sums, of which only new rows are made.

Each part of `features.profile_state.ProfileState` is a table `profile_<part>` with a column
`batch`; the table `profile_batches` names the batches that count, and is written last: what an
interrupted build left behind counts for nothing. What was read is remembered by the versions of the
tables, and up to which time; rows that came in late belong to the next batch.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from features import behaviour, opinion
from features.affinity import REFERENCE, AffinityConfig
from features.errors import StoreError
from features.feature import Level
from features.profile_state import (
    PARTS,
    ProfileState,
    merged_state,
    profile_state,
)
from features.schema import TABLES
from features.shrinkage import GroupPrior, group_prior
from features.store import Store
from sentiment.schema import UTC

BATCHES = "profile_batches"
_PRICES = "profile_prices"
_MERGE_AFTER = 8
_SCHEMA = pl.Schema(
    {
        "batch": pl.String(),
        "model_version": pl.String(),
        "declared": pl.String(),
        "events_version": pl.Int64(),
        "reviews_version": pl.Int64(),
        "until": pl.Datetime("us", UTC),
        "has_unpriced": pl.Boolean(),
    }
)


def rebuild(store: Store, *, version: str, as_of: datetime) -> ProfileState:
    """Sum up all rows before a time, and keep that.

    Args:
        store: Where the tables are.
        version: Model version of the signals.
        as_of: Rows at or after it are not read.

    Raises:
        StoreError: If a table is missing or cannot be written.
    """
    versions = _versions(store)
    before = pl.col("event_time") < as_of
    events, reviews = store.scan("events").filter(before), _reviews(store).filter(before)
    state = _summed(store, events, reviews, version)
    batch = _batch(store, version, versions, as_of, has_unpriced=_unpriced(events))
    return _replace(store, state, batch)


def update(store: Store, *, version: str, as_of: datetime) -> ProfileState:
    """Add what came in since the state was last made, and return the whole.

    Args:
        store: Where the tables are.
        version: Model version of the signals.
        as_of: Rows at or after it are not read.

    Raises:
        StoreError: If no state is kept, or it cannot be told what came in; the message says why.
    """
    last = _last_batch(store, version, as_of)
    versions = _versions(store)
    events = _new(store, "events", last["events_version"], last["until"], as_of)
    reviews = _new(store, "reviews", last["reviews_version"], last["until"], as_of)
    has_unpriced = last["has_unpriced"] or _unpriced(events)
    if last["has_unpriced"]:
        _refuse_changed_prices(store)
    added = _batch(store, version, versions, as_of, has_unpriced=has_unpriced)
    state = _summed(store, events, reviews, version)
    for name, part in state.parts().items():
        store.append(_table(name), part.collect().with_columns(batch=pl.lit(added["batch"].item())))
    store.overwrite(_PRICES, _prices(store))
    store.append(BATCHES, added)
    whole = _read(store)
    if len(store.scan(BATCHES).collect()) >= _MERGE_AFTER:
        whole = _replace(
            store, merged_state(whole), added.with_columns(batch=pl.lit(secrets.token_hex(8)))
        )
    return whole


@dataclass(frozen=True, kw_only=True)
class OwnRows:
    """What is kept of one user.

    Attributes:
        days: Rows of `ProfileState.user_days`, without the user.
        said: Rows of `ProfileState.user_said`, without the user.
        until: Rows of events and reviews before this time are in them.
    """

    days: pl.DataFrame
    said: pl.DataFrame
    until: datetime


def own_rows(store: Store, user_id: str) -> OwnRows | None:
    """Return what is kept of one user; None where no state is kept.

    Raises:
        StoreError: If a table cannot be read.
    """
    if not store.exists(BATCHES):
        return None
    batches = store.scan(BATCHES).collect()
    if batches.is_empty():
        return None
    own = pl.col("user_id") == user_id
    is_kept = pl.col("batch").is_in(batches["batch"].implode())
    days, said = (
        store.scan(_table(part)).filter(own & is_kept).drop("batch", "user_id").collect()
        for part in ("user_days", "user_said")
    )
    return OwnRows(days=days, said=said, until=batches["until"].max())  # type: ignore[arg-type]


def user_prior(store: Store, level: Level) -> GroupPrior:
    """Return how a level is spread among users, as the state that is kept knows it.

    Raises:
        StoreError: If no state is kept, or it cannot be read.
    """
    own = level.moments
    measures = (level.count, level.total, level.squares)
    totals = (
        _read(store)
        .user_said.group_by("user_id")
        .agg(
            pl.col(measure.name).sum().alias(name)
            for measure, name in zip(measures, (own.count, own.total, own.squares), strict=True)
        )
        .collect()
    )
    return group_prior(totals, own)


def _summed(
    store: Store, events: pl.LazyFrame, reviews: pl.LazyFrame, version: str
) -> ProfileState:
    signals = _signals(store, version).join(reviews.select("review_id"), on="review_id", how="semi")
    return profile_state(store.scan("items"), events, reviews, signals)


def _read(store: Store) -> ProfileState:
    batches = store.scan(BATCHES).select("batch")
    kept = {
        name: store.scan(_table(name)).join(batches, on="batch", how="semi").drop("batch")
        for name in PARTS
    }
    return ProfileState(**kept)


def _replace(store: Store, state: ProfileState, batch: pl.DataFrame) -> ProfileState:
    """Keep this state and no other, and return it; until it is whole, none is kept."""
    parts = {name: part.collect() for name, part in state.parts().items()}
    store.overwrite(BATCHES, batch.clear())
    for name, part in parts.items():
        store.overwrite(_table(name), part.with_columns(batch=pl.lit(batch["batch"].item())))
    store.overwrite(_PRICES, _prices(store))
    store.append(BATCHES, batch)
    return ProfileState(**{name: part.lazy() for name, part in parts.items()})


def _last_batch(store: Store, version: str, as_of: datetime) -> dict:
    kept = store.scan(BATCHES).collect() if store.exists(BATCHES) else pl.DataFrame(schema=_SCHEMA)
    if kept.is_empty():
        raise StoreError("no state of profiles is kept yet: build them once without --since")
    last = kept.sort("until", "events_version", "reviews_version").row(-1, named=True)
    for name, now in (("model_version", version), ("declared", _declared())):
        if last[name] != now:
            raise StoreError(
                f"the kept state of profiles is of another {name.replace('_', ' ')} ({last[name]}, "
                f"now {now}): build profiles without --since"
            )
    if as_of < last["until"]:
        raise StoreError(
            f"the kept state of profiles holds rows up to {last['until'].isoformat()}: to build "
            f"them as of {as_of.isoformat()} leave out --since"
        )
    return last


def _new(store: Store, table: str, since: int, until: datetime, as_of: datetime) -> pl.LazyFrame:
    """Return rows before `as_of` that came in late, or lie at or after `until`."""
    whole = _reviews(store) if table == "reviews" else store.scan(table)
    time = pl.col("event_time")
    ahead = whole.filter((time >= until) & (time < as_of))
    late = store.scan_added(table, since) if store.exists(table) else whole.clear()
    if late is None:
        raise StoreError(
            f"rows of {table} were changed or deleted, or its log reaches back no further: build "
            "profiles without --since"
        )
    return pl.concat([ahead, late.filter(time < until).select(whole.collect_schema().names())])


def _refuse_changed_prices(store: Store) -> None:
    changed = (
        store.scan(_PRICES)
        .join(_prices(store).lazy(), on="item_id", how="left", suffix="_now")
        .filter(pl.col("price_cents").ne_missing(pl.col("price_cents_now")))
        .collect()
    )
    if len(changed):
        raise StoreError(
            f"the list price of {len(changed):,} items changed, and purchases without a price of "
            "their own go by it: build profiles without --since"
        )


def _batch(
    store: Store, version: str, versions: Sequence[int], as_of: datetime, *, has_unpriced: bool
) -> pl.DataFrame:
    values = (secrets.token_hex(8), version, _declared(), *versions, as_of, has_unpriced)
    return pl.DataFrame([values], schema=_SCHEMA, orient="row")


def _versions(store: Store) -> tuple[int, int]:
    """Return the versions of events and reviews, -1 for a table that is not there."""
    found = [store.version(table) for table in ("events", "reviews")]
    return tuple(-1 if version is None else version for version in found)  # type: ignore[return-value]


def _unpriced(events: pl.LazyFrame) -> bool:
    bought = events.filter((pl.col("event_type") == "purchase") & pl.col("price_cents").is_null())
    return bool(bought.select(pl.len() > 0).collect().item())


def _prices(store: Store) -> pl.DataFrame:
    return store.scan("items").select("item_id", "price_cents").collect()


def _reviews(store: Store) -> pl.LazyFrame:
    return _or_empty(store, "reviews")


def _signals(store: Store, version: str) -> pl.LazyFrame:
    return _or_empty(store, "review_signals").filter(pl.col("model_version") == version)


def _or_empty(store: Store, table: str) -> pl.LazyFrame:
    return store.scan(table) if store.exists(table) else TABLES[table].create_empty().lazy()


def _declared() -> str:
    """Return a key of what is summed: another one, and kept sums mean something else."""
    measures = [
        [measure.name, measure.how, measure.value.meta.serialize(format="json")]
        for measure in (*behaviour.MEASURES, *opinion.MEASURES)
    ]
    affinity = AffinityConfig()
    faded = [affinity.half_life_days, dict(affinity.weights), REFERENCE.isoformat()]
    said = [measures, faded]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def _table(part: str) -> str:
    return f"profile_{part}"
