"""From opinions to series: reviews, negative ones and complaints of each subject, day by day.

Shape suffixes: S subjects of one scope, A aspects, R rows (a subject and an aspect), D days of the
window.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.alerts.config import AlertConfig
from recsys.alerts.counts import Counts, Levels
from recsys.alerts.levels import group_priors, wandering
from recsys.alerts.opinions import Opinions, outside, subjects_of
from recsys.alerts.returns import Returns, returns_of

_CELL_DAYS = 28


@dataclass(frozen=True, kw_only=True)
class Series:
    """Series of one scope as of one day.

    Attributes:
        keys: Subjects, sorted, shape (S,).
        counts: Reviews of each subject, and negative ones.
        levels: What is expected of them.
        worst_counts: Negative reviews of each subject, and the worst of them.
        worst_levels: What is expected of them.
        returns: What was sent back of each subject, by people who have not reviewed it.
        parent_S: Row in the series of categories, -1 for none.
        aspects: The aspect of each row, shape (R,).
        subject_R: Subject of each row.
        complaint_counts: Reviews of the row's subject, and those that complain of its aspect.
        complaint_levels: What is expected of them.
        num_aspects: Aspects that are complained of at all in the scope: so many rows a subject has,
            of which those with fewer than two complaints in the window are left out.
        negative: `user_id, day, row` of negative reviews; the row is the subject's, S.
        complained: `user_id, day, row` of complaints; the row is one of R.
    """

    keys: list[str]
    counts: Counts
    levels: Levels
    worst_counts: Counts
    worst_levels: Levels
    returns: Returns
    parent_S: np.ndarray
    aspects: list[str]
    subject_R: np.ndarray
    complaint_counts: Counts
    complaint_levels: Levels
    num_aspects: int
    negative: pl.DataFrame
    complained: pl.DataFrame


def num_people(told: pl.DataFrame, row: int, since: int) -> int:
    """Count who spoke badly of a row's subject since a day.

    Args:
        told: `Series.negative` or `Series.complained`.
        row: Number of the row.
        since: Days since 1970.
    """
    return told.filter(pl.col("row") == row, pl.col("day") >= since)["user_id"].n_unique()


def series_of(
    opinions: Opinions,
    items: pl.DataFrame,
    scope: str,
    *,
    day: int,
    config: AlertConfig,
    set_aside: pl.DataFrame | None = None,
    categories: list[str] | None = None,
) -> Series:
    """Count opinions as of the end of a day.

    Args:
        opinions: All of them; those after the day are not read.
        items: `features.schema.Items`.
        scope: Of `recsys.alerts.opinions.SCOPES`.
        day: The last day of the window.
        config: Lengths of window and past.
        set_aside: `key, first, last`: days of subjects that say nothing of their usual level,
            since they belong to an alert; left out of past and window.
        categories: Keys of the series of categories, for `parent_S`.
    """
    first = day + 1 - config.window_days
    subjects = subjects_of(items, scope)
    rows = (
        opinions.judged.lazy()
        .filter(
            pl.col("heard_day") <= day,
            pl.col("day") >= first - config.history_days,
            ~pl.col("after_return"),
        )
        .join(subjects.lazy(), on="item_id")
        .select("review_id", "user_id", "key", "parent", "day", "negative", "worst")
        .collect()
    )
    aside = None if set_aside is None else set_aside.select("key", "first", "last")
    if aside is not None and len(aside):
        rows = outside(rows, aside)
    sales = opinions.sales.filter(pl.col("day") >= first - config.history_days)
    sold = subjects.select("item_id", "key")
    keys = rows["key"].unique().sort()
    place = pl.DataFrame({"key": keys, "s": np.arange(len(keys))})
    rows = rows.join(place, on="key", maintain_order="left")
    shape = (len(keys), config.window_days)
    num = _dense(rows, "s", first, shape)
    bad = _dense(rows.filter("negative"), "s", first, shape)
    worst = _dense(rows.filter("worst"), "s", first, shape)
    parents = place.join(
        rows.select("key", "parent").unique("key", keep="first"), on="key", maintain_order="left"
    )["parent"].to_list()
    row_of = {key: row for row, key in enumerate(categories or [])}
    parent_S = np.array([row_of.get(parent, -1) for parent in parents], dtype=np.int64)
    counts = Counts(num_SD=num[0], num_before_S=num[1], bad_SD=bad[0], bad_before_S=bad[1])
    most = _wandering(rows, day, "negative")
    worst_counts = Counts(
        num_SD=bad[0], num_before_S=bad[1], bad_SD=worst[0], bad_before_S=worst[1]
    )
    most_of_worst = _wandering(rows.filter("negative"), day, "worst")

    told = rows.join(opinions.complaints, on="review_id")
    num_aspects = told["aspect"].n_unique()
    recent = told.filter(pl.col("day") >= first).group_by("s", "aspect").len()
    pairs = recent.filter(pl.col("len") >= 2).sort("s", "aspect").select("s", "aspect")
    pairs = pairs.with_columns(r=np.arange(len(pairs)))
    told = told.join(pairs, on=["s", "aspect"], how="left")
    subject_R = pairs["s"].to_numpy()
    complained = _dense(told.drop_nulls("r"), "r", first, (len(pairs), config.window_days))
    return Series(
        keys=keys.to_list(),
        counts=counts,
        levels=_levels(counts, parent_S, most, config),
        worst_counts=worst_counts,
        worst_levels=_levels(worst_counts, parent_S, most_of_worst, config),
        returns=returns_of(
            sales, sold.join(place, on="key"), len(keys), set_aside=aside, first=first, day=day
        ),
        parent_S=parent_S,
        aspects=pairs["aspect"].to_list(),
        subject_R=subject_R,
        complaint_counts=Counts(
            num_SD=num[0][subject_R],
            num_before_S=num[1][subject_R],
            bad_SD=complained[0],
            bad_before_S=complained[1],
        ),
        complaint_levels=_complaint_levels(
            pairs,
            told.filter(pl.col("day") <= day - _CELL_DAYS),
            _long_ago(counts)[0],
            parent_S,
            most,
            config,
        ),
        num_aspects=num_aspects,
        negative=rows.filter("negative").select("user_id", "day", row="s"),
        complained=told.drop_nulls("r").select("user_id", "day", row="r"),
    )


def _levels(counts: Counts, parent_S: np.ndarray, most: float, config: AlertConfig) -> Levels:
    num_S, bad_S = _long_ago(counts)
    mean_S, strength_S = group_priors(
        parent_S,
        num_S,
        bad_S,
        least_reviews=config.least_prior_reviews,
        most=config.most_strength,
    )
    limit = min(most, config.most_strength)
    return Levels(mean_S=mean_S, strength_S=strength_S, most_S=np.full(len(mean_S), limit))


def _complaint_levels(
    pairs: pl.DataFrame,
    past: pl.DataFrame,
    num_S: np.ndarray,
    parent_S: np.ndarray,
    most: float,
    config: AlertConfig,
) -> Levels:
    """Return what is expected of complaints, aspect by aspect, from all subjects of the scope."""
    num_rows, limit = len(pairs), min(most, config.most_strength)
    mean_R, strength_R = np.empty(num_rows), np.empty(num_rows)
    names = pairs["aspect"].unique().sort()
    place = pl.DataFrame({"aspect": names, "a": np.arange(len(names))})
    num_of = past.group_by("aspect", "s").len().join(place, on="aspect")
    bad_AS = np.zeros((len(names), len(parent_S)))
    bad_AS[num_of["a"].to_numpy(), num_of["s"].to_numpy()] = num_of["len"].to_numpy()
    subject_R, aspect_R = pairs["s"].to_numpy(), pairs["aspect"].to_numpy()
    for aspect, bad_S in zip(names.to_list(), bad_AS, strict=True):
        mine = np.flatnonzero(aspect_R == aspect)
        mean_R[mine], strength_R[mine] = group_priors(
            parent_S,
            num_S,
            bad_S,
            least_reviews=config.least_prior_reviews,
            most=config.most_strength,
            asked=subject_R[mine],
        )
    return Levels(mean_S=mean_R, strength_S=strength_R, most_S=np.full(num_rows, limit))


def _long_ago(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """Return reviews and negative ones before the last period: what priors are learned from."""
    num, bad = counts.until()
    return num[:, -_CELL_DAYS], bad[:, -_CELL_DAYS]


def _wandering(rows: pl.DataFrame, day: int, bad: str) -> float:
    """Return how much of the past counts, from the periods before the window and in it."""
    cells = rows.group_by("s", cell=(day - pl.col("day")) // _CELL_DAYS).agg(
        num=pl.len(), bad=pl.col(bad).sum()
    )
    # Sums of fractions depend on their order.
    cells = cells.sort("s", "cell")
    return wandering(cells["s"].to_numpy(), cells["num"].to_numpy(), cells["bad"].to_numpy())


def _dense(
    rows: pl.DataFrame, index: str, first: int, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return counts by day of the window, and before it."""
    place, day = rows[index].to_numpy(), rows["day"].to_numpy() - first
    inside = day >= 0
    window = np.zeros(shape, dtype=np.int32)
    np.add.at(window, (place[inside], day[inside]), 1)
    return window, np.bincount(place[~inside], minlength=shape[0])
