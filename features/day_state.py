"""The state that profiles of behaviour are read from: what happened to a key on each UTC day.

It knows no `as_of`, so that new events only add to it: states of disjoint sets of events merge to
that of all, in any order. Windows are cut when a profile is read, to whole days: only events before
`as_of` may be in a state that is read as of it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import polars as pl

from features.feature import Feature, Measure, evaluated, total_column, totals_of

DAY = "day"
_RING = "_ring"


def day_state(events: pl.LazyFrame, key: str, measures: Sequence[Measure]) -> pl.LazyFrame:
    """Sum events up.

    Args:
        events: With `event_time` and the columns that measures read.
        key: Column of the key; events without one are left out.
        measures: What is kept.

    Returns:
        `key, day`, and a column a measure.
    """
    return (
        events.filter(pl.col(key).is_not_null())
        .group_by(key, pl.col("event_time").dt.date().alias(DAY))
        .agg(measure.gathered(measure.value).alias(measure.name) for measure in measures)
    )


def merged(state: pl.LazyFrame, key: str, measures: Sequence[Measure]) -> pl.LazyFrame:
    """Gather rows of the same key and day, as states that were put together have them."""
    return state.group_by(key, DAY).agg(
        measure.gathered(pl.col(measure.name)) for measure in measures
    )


def read_totals(
    state: pl.LazyFrame,
    key: str,
    measures: Sequence[Measure],
    totals: Iterable[tuple[str, int | None]],
    *,
    as_of: datetime,
) -> pl.LazyFrame:
    """Return `key` and a column (`features.feature.total_column`) a total, one row a key.

    Args:
        state: Of events before `as_of`; merged or not.
        key: Column of the key.
        measures: What the state keeps.
        totals: Names of measures, each with its window in days, None for the whole past.
        as_of: Reference of windows.

    Raises:
        ValueError: If a measure is wanted that is not kept.
    """
    kept = {measure.name: measure for measure in measures}
    wanted = dict.fromkeys(totals)
    unknown = sorted({name for name, _ in wanted} - set(kept))
    if unknown:
        raise ValueError(f"features read {', '.join(unknown)}; kept are {', '.join(kept)}")
    # Days are put together by the narrowest window they lie in before windows are: most keys have
    # many days, and each window would read them again.
    windows = sorted({days for _, days in wanted if days is not None})
    starts = [as_of.date() - timedelta(days=days) for days in windows]
    beyond = pl.sum_horizontal(pl.lit(0, pl.Int8), *(pl.col(DAY) < start for start in starts))
    names = dict.fromkeys(name for name, _ in wanted)
    rings = state.group_by(key, beyond.alias(_RING)).agg(
        kept[name].gathered(pl.col(name)) for name in names
    )
    columns = []
    for name, days in wanted:
        value = pl.col(name)
        if days is not None:
            value = value.filter(pl.col(_RING) <= windows.index(days))
        columns.append(kept[name].gathered(value).alias(total_column(name, days)))
    return rings.group_by(key).agg(columns)


def read_features(
    state: pl.LazyFrame,
    key: str,
    measures: Sequence[Measure],
    features: Sequence[Feature],
    *,
    as_of: datetime,
) -> pl.LazyFrame:
    """Return `key` and the features of every key of the state.

    Args:
        state: Of events before `as_of`; merged or not.
        key: Column of the key.
        measures: What the state keeps.
        features: What to read, without levels.
        as_of: Reference of windows and ages.

    Raises:
        ValueError: If a feature reads a measure that is not kept.
    """
    totals = read_totals(state, key, measures, totals_of(features), as_of=as_of)
    return evaluated(totals.with_columns(as_of=pl.lit(as_of)), [key], features)
