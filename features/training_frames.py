"""Declared features as of each label's own time: the frames that models outside can learn from.

A row sees what happened strictly before its time and nothing else; of events at that very moment
nothing is seen. Sums are cumulated over time and joined as of each label, windows are differences
of two such sums, and the features are the same declarations that profiles are read by.

Levels (`features.levels`) depend on everybody: what a row borrows is as of the beginning of its UTC
day, what it has of its own is as of its time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import get_args

import numpy as np
import polars as pl

from features import behaviour, opinion
from features.day_state import DAY, day_state
from features.feature import Feature, Level, Measure, Offer, evaluated, total_column, totals_of
from features.levels import level_basis
from features.profile_state import felt_reviews, judging, priced_events

LABEL_TIME = "label_time"
_AS_OF, _ROW, _CUT, _TODAY, _PLACE = "as_of", "_row", "_cut", "_today", "_place"


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Rows that happen at a time, what is summed over them, and what is read from the sums."""

    rows: pl.LazyFrame
    measures: Sequence[Measure]
    features: Sequence[Feature]
    levels: Sequence[Level] = ()


def features_at(
    labels: pl.DataFrame,
    items: pl.LazyFrame,
    events: pl.LazyFrame,
    reviews: pl.LazyFrame,
    signals: pl.LazyFrame,
) -> pl.DataFrame:
    """Add the declared features of each label's user and item, as of strictly before its time.

    Args:
        labels: `label_time`, with a time zone, and `user_id`, `item_id` or both; other columns are
            kept as they are.
        items: `features.schema.Items`; their prices, categories and brands are today's.
        events: `features.schema.Events`.
        reviews: `sentiment.schema.Reviews`.
        signals: Signals of those reviews, of one model version.

    Returns:
        The labels in their order, with columns `user:<feature>` and `item:<feature>`. A user or
        item of whom nothing is known has the features' defaults; without an id they are null.

    Raises:
        ValueError: If there is no time or no id, or a column would be overwritten.
    """
    keys = [key for key in ("user_id", "item_id") if key in labels.columns]
    if LABEL_TIME not in labels.columns or not keys:
        raise ValueError(f"labels need {LABEL_TIME}, and user_id or item_id")
    if _ROW in labels.columns:
        raise ValueError(f"labels have columns of their own named {_ROW}")
    priced, felt = priced_events(events, items), felt_reviews(reviews, signals)
    kin = items.select("item_id", "brand", category=pl.col("categories").list.last()).collect()
    parts = {
        "user_id": (
            _Part(rows=priced, measures=behaviour.MEASURES, features=behaviour.USER_BEHAVIOUR),
            _Part(
                rows=felt,
                measures=opinion.MEASURES,
                features=opinion.USER_OPINION,
                levels=opinion.levels_of(opinion.USER_OPINION),
            ),
        ),
        "item_id": (
            _Part(rows=priced, measures=behaviour.MEASURES, features=behaviour.ITEM_BEHAVIOUR),
            _Part(
                rows=judging(felt),
                measures=opinion.MEASURES,
                features=opinion.ITEM_OPINION,
                levels=opinion.levels_of(opinion.ITEM_OPINION),
            ),
        ),
    }
    frame = labels.with_row_index(_ROW)
    for key in keys:
        of_kin = kin if key == "item_id" else None
        for part in parts[key]:
            frame = _joined(frame, _features_at(frame, part, key, of_kin), key)
    return frame.sort(_ROW).drop(_ROW)


def _joined(frame: pl.DataFrame, found: pl.DataFrame, key: str) -> pl.DataFrame:
    scope = key.removesuffix("_id")
    named = found.rename({name: f"{scope}:{name}" for name in found.columns if name != _ROW})
    taken = sorted(set(named.columns) & set(frame.columns) - {_ROW})
    if taken:
        raise ValueError(f"labels have columns of their own named {', '.join(taken)}")
    return frame.join(named, on=_ROW, how="left")


def _features_at(
    labels: pl.DataFrame, part: _Part, key: str, kin: pl.DataFrame | None
) -> pl.DataFrame:
    """Return `_row` and the features of each label with an id."""
    moment = pl.col(LABEL_TIME).dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    asked = labels.select(_ROW, key, as_of=moment).drop_nulls()
    totals = totals_of(part.features, part.levels)
    read = totals_at(asked, part.rows, key, part.measures, totals)
    if part.levels and len(read):
        read = _with_levels_at(read, part, key, kin)
    elif part.levels:
        offers = [level.column(offer) for level in part.levels for offer in get_args(Offer)]
        read = read.with_columns(pl.lit(None).alias(name) for name in offers)
    return evaluated(read.lazy(), [_ROW], part.features).collect()


def totals_at(
    labels: pl.DataFrame,
    rows: pl.LazyFrame,
    key: str,
    measures: Sequence[Measure],
    totals: Sequence[tuple[str, int | None]],
) -> pl.DataFrame:
    """Add totals of the rows of each label's key strictly before its time.

    Args:
        labels: `as_of`, and the key.
        rows: The key, `event_time`, and what measures read.
        key: Column of the key.
        measures: What there is.
        totals: Names of measures, each with its window in days, None for the whole past; a window
            is cut to UTC days, as in `features.day_state`.

    Returns:
        `labels`, in another order, with a column (`features.feature.total_column`) a total.
    """
    kept = {measure.name: measure for measure in measures}
    names = list(dict.fromkeys(name for name, _ in totals))
    cumulated = _cumulated(rows, key, [kept[name] for name in names])
    sums = [total_column(name, None) for name in names if kept[name].how == "sum"]
    frame = _as_of_joined(labels, cumulated, key, names, pl.col(_AS_OF), None)
    frame = frame.with_columns(pl.col(sums).fill_null(0))
    for days in sorted({days for _, days in totals if days is not None}):
        begins = pl.col(_AS_OF).dt.truncate("1d") - timedelta(days=days)
        wanted = [name for name, window in totals if window == days]
        frame = _as_of_joined(frame, cumulated, key, wanted, begins, days).with_columns(
            (
                pl.col(total_column(name, None)) - pl.col(total_column(name, days)).fill_null(0)
            ).alias(total_column(name, days))
            for name in wanted
        )
    return frame


def _cumulated(rows: pl.LazyFrame, key: str, measures: Sequence[Measure]) -> pl.DataFrame:
    """Return each measure gathered up to and with each moment of a key, sorted by time."""
    by_moment = (
        rows.filter(pl.col(key).is_not_null())
        .group_by(key, "event_time")
        .agg(measure.gathered(measure.value).alias(measure.name) for measure in measures)
        .sort("event_time")
    )
    return by_moment.with_columns(_running(measure).over(key) for measure in measures).collect()


def _running(measure: Measure) -> pl.Expr:
    value = pl.col(measure.name)
    if measure.how == "sum":
        return value.cum_sum()
    return (value.cum_min() if measure.how == "min" else value.cum_max()).forward_fill()


def _as_of_joined(
    labels: pl.DataFrame,
    cumulated: pl.DataFrame,
    key: str,
    names: Sequence[str],
    moment: pl.Expr,
    days: int | None,
) -> pl.DataFrame:
    """Add what is cumulated strictly before a moment of each label, as totals of so many days."""
    told = cumulated.select(
        key, "event_time", *(pl.col(name).alias(total_column(name, days)) for name in names)
    )
    return (
        labels.with_columns(moment.alias(_CUT))
        .sort(_CUT)
        .join_asof(
            told,
            left_on=_CUT,
            right_on="event_time",
            by=key,
            strategy="backward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .drop(_CUT, "event_time")
    )


def _with_levels_at(
    read: pl.DataFrame, part: _Part, key: str, kin: pl.DataFrame | None
) -> pl.DataFrame:
    """Add what levels offer to labels with totals of their own.

    What is borrowed is estimated from everybody's totals before the label's UTC day, which grow
    from day to day.
    """
    parents = () if kin is None else opinion.ITEM_PARENTS
    names = [name for name, _ in totals_of([], part.levels)]
    state = day_state(part.rows, key, part.measures).select(key, DAY, *names).sort(DAY).collect()
    keys = state.select(key).unique().sort(key)
    place = state.join(keys.with_row_index(_PLACE), on=key, maintain_order="left")[_PLACE]
    days, values = state[DAY].to_physical().to_numpy(), state.select(names).to_numpy()
    totals, counted, found = np.zeros((len(keys), len(names))), 0, []
    dated = read.with_columns(pl.col(_AS_OF).dt.date().alias(_TODAY)).sort(_TODAY)
    for labels in dated.partition_by(_TODAY, maintain_order=True):
        until = int(np.searchsorted(days, labels[_TODAY].to_physical()[0]))
        np.add.at(totals, place.to_numpy()[counted:until], values[counted:until])
        counted = until
        columns = {total_column(name, None): totals[:, n] for n, name in enumerate(names)}
        groups = keys.with_columns(pl.Series(name, sums) for name, sums in columns.items())
        if kin is not None:
            groups = kin.join(groups, on=key, how="left")
        own = labels.columns
        for level in part.levels:
            labels = level_basis(groups, level, key, parents).offered(labels)
        # Of strangers there is no profile, and so no level: users who never wrote, unknown items.
        wrote = pl.col(total_column(opinion.REVIEWS.name, None)) > 0
        is_known = wrote if kin is None else pl.col(key).is_in(kin[key].implode())
        found.append(labels.with_columns(pl.when(is_known).then(pl.exclude(own)).name.keep()))
    return pl.concat(found)
