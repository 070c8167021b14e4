"""From incidents to rows: the accounts and reviews of bombings, and the truth of all incidents."""

import datetime as dt

import polars as pl

from jobs.sample_shop.config import ShopConfig
from jobs.sample_shop.departments import ASPECTS
from jobs.sample_shop.incidents import BOMBING, Bomb, Incident
from jobs.sample_shop.records import Records

_TIME = pl.Datetime("us", "UTC")
INCIDENT_SCHEMA = {
    "item_id": pl.String(),
    "kind": pl.String(),
    "aspect": pl.String(),
    "start": _TIME,
    "end": _TIME,
    "first_review_at": _TIME,
    "num_reviews": pl.Int64(),
}
_BOMBER = "x"


def bomb_users(users: pl.DataFrame, bombs: list[Bomb]) -> pl.DataFrame:
    """Add one account a bomb; without bombs, the very frame."""
    if not bombs:
        return users
    made = pl.DataFrame(
        {
            "user_id": [f"{_BOMBER}{n:05d}" for n in range(len(bombs))],
            "country": ["CN" if bomb.is_chinese else "US" for bomb in bombs],
            "language": ["zh" if bomb.is_chinese else "en" for bomb in bombs],
            "signup_at": _times([bomb.signup_s for bomb in bombs]),
            "email": [f"bomber{n:05d}@example.com" for n in range(len(bombs))],
            "phone": [None] * len(bombs),
            "consents": [[]] * len(bombs),
        },
        schema=users.schema,
    )
    return pl.concat([users, made])


def bomb_reviews(reviews: pl.DataFrame, bombs: list[Bomb]) -> pl.DataFrame:
    """Add the reviews of bombings, in order of time; without bombs, the very frame."""
    if not bombs:
        return reviews
    made = pl.DataFrame(
        {
            "review_id": [f"{_BOMBER}{n:06d}" for n in range(len(bombs))],
            "user_id": [f"{_BOMBER}{n:05d}" for n in range(len(bombs))],
            "item_id": [f"i{bomb.item:05d}" for bomb in bombs],
            "rating": [1.0] * len(bombs),
            "title": [bomb.composed.title for bomb in bombs],
            "text": [bomb.composed.text for bomb in bombs],
            "source": ["review"] * len(bombs),
            "thread_id": [None] * len(bombs),
            "verified": [False] * len(bombs),
            "helpful_votes": [0] * len(bombs),
            "event_time": _times([bomb.time_s for bomb in bombs]),
            "seq": [0] * len(bombs),
        },
        schema=reviews.schema,
    )
    both = pl.concat([reviews, made]).sort("event_time", maintain_order=True)
    return both.with_columns(seq=pl.int_range(pl.len(), dtype=pl.Int64))


def incident_truth(
    config: ShopConfig,
    incidents: list[Incident],
    reviewed: pl.DataFrame,
    records: Records,
    reviews: pl.DataFrame,
) -> pl.DataFrame:
    """Return `INCIDENT_SCHEMA`, in order of time.

    Args:
        config: Of the shop.
        incidents: What went wrong.
        reviewed: The truth of reviews: which purchase each is of.
        records: The event log.
        reviews: With those of bombings.
    """
    bought = records.events.select("event_id", bought_at="event_time")
    told = reviews.join(reviewed.select("review_id", "event_id"), on="review_id", how="left").join(
        bought, on="event_id", how="left"
    )
    rows = []
    for incident in incidents:
        start = dt.datetime.fromtimestamp(config.start_s, dt.UTC) + dt.timedelta(
            days=incident.first_day
        )
        end = start + dt.timedelta(days=incident.last_day - incident.first_day + 1)
        own = told.filter(pl.col("item_id") == f"i{incident.item:05d}")
        if incident.kind == BOMBING:
            of_it = own.filter(pl.col("event_id").is_null())
        else:
            of_it = own.filter((pl.col("bought_at") >= start) & (pl.col("bought_at") < end))
        first = of_it["event_time"].min()
        rows.append(
            (
                f"i{incident.item:05d}",
                incident.kind,
                ASPECTS[incident.aspect],
                start,
                end,
                first,
                len(of_it),
            )
        )
    return pl.DataFrame(rows, schema=INCIDENT_SCHEMA, orient="row").sort("start", "item_id")


def _times(seconds: list[int]) -> pl.Series:
    return (pl.Series(seconds, dtype=pl.Int64) * 1_000_000).cast(_TIME)
