"""What may be seen: the one place where the two evaluation protocols cut the tables.

Strict (time split, production): nothing at or after `as_of`, from anybody.
Positional (leave-one-out): order is (event_time, seq); a user's row at `offset` from the end and
all that follows is held out, with the reviews that belong to held-out rows; other users contribute
everything of theirs that is not held out. Where purchases carry a session, the user's other events
of the held-out purchase's session are hidden too: the question is put when the session starts.
Reviews have no place among the events of their own timestamp, so at the time of the question only
those of purchases that are visible themselves are seen.
"""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

_ORDER = ["user_id", "event_time", "seq"]


@dataclass(frozen=True, kw_only=True)
class Visible:
    """Tables cut to what may be seen, and what lies beyond.

    Attributes:
        events: Visible events.
        reviews: Visible reviews.
        targets: Held-out first purchases of an item (`user_id, item_id, event_time`), at least one
            a user that is asked about; users without anything visible are not asked about.
        as_of: Reference time of windows and ages: the cut, or the last visible row.
    """

    events: pl.DataFrame
    reviews: pl.DataFrame
    targets: pl.DataFrame
    as_of: datetime


def first_purchases(events: pl.DataFrame) -> pl.DataFrame:
    """Return the first purchase of each user and item, ordered, with its place from the end.

    `from_end` is 1 for a user's last distinct item.
    """
    return (
        events.lazy()
        .filter(pl.col("event_type") == "purchase")
        .sort(_ORDER)
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
        .with_columns(from_end=pl.len().over("user_id") - pl.int_range(pl.len()).over("user_id"))
        .collect()
    )


def session_starts(events: pl.DataFrame) -> pl.DataFrame:
    """Return when each session began: `user_id, session_id, start_time, start_seq`."""
    return (
        events.lazy()
        .filter(pl.col("session_id").is_not_null())
        .sort(_ORDER)
        .group_by("user_id", "session_id")
        .agg(start_time=pl.col("event_time").first(), start_seq=pl.col("seq").first())
        .collect()
    )


def everything(events: pl.DataFrame, reviews: pl.DataFrame, *, as_of: datetime) -> Visible:
    """Return all rows before `as_of`, with nothing held out: what production is fitted on."""
    visible = before(events, reviews, as_of=as_of)
    return Visible(
        events=visible.events, reviews=visible.reviews, targets=visible.targets.clear(), as_of=as_of
    )


def before(
    events: pl.DataFrame,
    reviews: pl.DataFrame,
    *,
    as_of: datetime,
    until: datetime | None = None,
) -> Visible:
    """Cut strictly: nothing at or after `as_of`; warm users' later first purchases are targets.

    Args:
        events: All events.
        reviews: All reviews.
        as_of: The cut.
        until: Targets lie before it; None: whenever.
    """
    past = pl.col("event_time") < as_of
    seen = events.filter(past)
    firsts = first_purchases(events)
    if until is not None:
        firsts = firsts.filter(pl.col("event_time") < until)
    warm = first_purchases(seen).select("user_id").unique()
    targets = firsts.filter(~past).join(warm, on="user_id", how="semi")
    return Visible(
        events=seen,
        reviews=reviews.filter(past),
        targets=targets.select("user_id", "item_id", "event_time"),
        as_of=as_of,
    )


def hold_out(events: pl.DataFrame, reviews: pl.DataFrame, *, offset: int) -> Visible:
    """Cut by position: hold out each user's row at `offset` from the end and all after it.

    Args:
        events: All events.
        reviews: All reviews.
        offset: 1 holds out the last distinct item, 2 the last two, and so on.

    Raises:
        ValueError: If `offset` is below 1.
    """
    if offset < 1:
        raise ValueError(f"offset counts from 1, the last row; got {offset}")
    firsts = first_purchases(events)
    cuts = (
        firsts.filter(pl.col("from_end") <= offset)
        .unique("user_id", keep="first", maintain_order=True)
        .select(
            "user_id",
            cut_time="event_time",
            cut_seq="seq",
            cut_session="session_id",
        )
    )
    starts = session_starts(events).rename({"session_id": "cut_session"})
    cuts = cuts.join(starts, on=["user_id", "cut_session"], how="left").select(
        "user_id",
        question_time=pl.coalesce("start_time", "cut_time"),
        question_seq=pl.coalesce("start_seq", "cut_seq"),
    )
    seen = (
        events.join(cuts, on="user_id", how="left")
        .filter(
            pl.col("question_time").is_null()
            | (pl.col("event_time") < pl.col("question_time"))
            | (
                (pl.col("event_time") == pl.col("question_time"))
                & (pl.col("seq") < pl.col("question_seq"))
            )
        )
        .select(events.columns)
    )
    hidden = firsts.filter(pl.col("from_end") <= offset).select("user_id", "item_id")
    owned = first_purchases(seen).select("user_id", "item_id", owned=pl.lit(True))
    seen_reviews = (
        reviews.join(hidden, on=["user_id", "item_id"], how="anti")
        .join(cuts, on="user_id", how="left")
        .join(owned, on=["user_id", "item_id"], how="left")
        .filter(
            pl.col("question_time").is_null()
            | (pl.col("event_time") < pl.col("question_time"))
            | ((pl.col("event_time") == pl.col("question_time")) & pl.col("owned"))
        )
        .select(reviews.columns)
    )
    targets = (
        firsts.with_columns(num_items=pl.len().over("user_id"))
        .filter((pl.col("from_end") == offset) & (pl.col("num_items") > offset))
        .join(seen, on="user_id", how="semi")
        .select("user_id", "item_id", "event_time")
    )
    return Visible(
        events=seen,
        reviews=seen_reviews,
        targets=targets,
        as_of=_last_time(seen, seen_reviews) or _last_time(events, reviews),  # type: ignore[arg-type]
    )


def _last_time(*tables: pl.DataFrame) -> datetime | None:
    times = [table["event_time"].max() for table in tables if len(table)]
    return max(times, default=None)  # type: ignore[type-var]
