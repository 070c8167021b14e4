"""What an alert carries: who wrote, what they said, how many bought, what it is, what to do."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl

from features.quotes import item_complaints
from recsys.alerts.config import AlertConfig
from recsys.alerts.kinds import BOMBING, action_of, gradual, kind_of
from recsys.alerts.lifecycle import Recent
from recsys.alerts.opinions import Opinions, day_of, subjects_of
from recsys.alerts.suspicion import TRAITS, Suspicion, review_traits, suspicion, usual_shares
from recsys.world import ShopTables

_SHAPE_DAYS = 56


@dataclass(frozen=True)
class Circumstances:
    """A shop on a day, as alerts are described from it.

    Attributes:
        shop: Tables cut to what may be seen.
        users: `features.schema.Users`; None where there are none.
        opinions: Of the same reviews.
        day: The last day, since 1970.
    """

    shop: ShopTables
    users: pl.DataFrame | None
    opinions: Opinions
    day: int

    def knows(self, scope: str, key: str) -> bool:
        """Tell whether any item of the shop counts for a subject."""
        return key in subjects_of(self.shop.items, scope)["key"]

    def judged(self, scope: str, key: str) -> pl.DataFrame:
        """Return the judgements of a subject, in order of time."""
        subjects = subjects_of(self.shop.items, scope).filter(pl.col("key") == key)
        return self.opinions.judged.join(subjects, on="item_id", how="semi", maintain_order="left")

    def bad(self, judged: pl.DataFrame, aspect: str | None) -> pl.Series:
        """Return which judgements are negative, or complain of the aspect, bool."""
        if aspect is None:
            return judged["negative"]
        complaints = self.opinions.complaints.filter(pl.col("aspect") == aspect)
        return judged["review_id"].is_in(complaints["review_id"].implode())

    @cached_property
    def traits(self) -> pl.DataFrame:
        """Return what is known of who wrote each review."""
        reviews = self.shop.reviews.filter(pl.col("item_id").is_not_null())
        return review_traits(reviews, self.shop.events, self.users)

    @cached_property
    def usual(self) -> dict[str, float]:
        """Return how common each trait is."""
        return usual_shares(self.traits)


@dataclass(frozen=True, kw_only=True)
class Particulars:
    """What is told of a rise.

    Attributes:
        fields: Columns of `features.alert_tables.Alerts` that describe it.
        quotes: `review_id, user_id, quote, aspect, polarity, language`.
        suspicious: Review ids that look made for it.
    """

    fields: dict[str, Any]
    quotes: pl.DataFrame
    suspicious: list[str]


def particulars(
    seen: Circumstances,
    *,
    scope: str,
    key: str,
    aspect: str | None,
    onset: datetime,
    share_before: float,
) -> Particulars:
    """Describe a rise as of the day of the circumstances.

    Args:
        seen: The shop.
        scope: Of the subject.
        key: Of the subject.
        aspect: That the rise is of; None for the whole.
        onset: Since when.
        share_before: Share of negative reviews (complaints of the aspect) to be expected.
    """
    judged = seen.judged(scope, key)
    judged = judged.with_columns(bad=seen.bad(judged, aspect))
    since = judged.filter(pl.col("day") >= day_of(onset))
    num, bad = len(since), int(since["bad"].sum())
    weighed = _suspicion(seen, judged, since, share_before)
    slow = _gradual(seen, judged, onset, share_before)
    kind = kind_of(bombing=weighed.probability, gradual=slow, days_since=seen.day - day_of(onset))
    num_buyers = _buyers(seen, scope, key, onset)
    share = bad / num if num else 0.0
    fields = {
        "kind": kind,
        "share_since": share,
        "num_reviews": num,
        "num_negative": bad,
        "num_buyers": num_buyers,
        "action": action_of(kind, aspect, share, num_buyers),
        "p_bombing": weighed.probability,
        "burst_p": weighed.burst_p,
        "gradual": slow,
        **{name: weighed.shares[name] for name in TRAITS},
    }
    told = since.filter("bad")
    suspicious = told.filter(pl.Series(weighed.is_suspicious, dtype=pl.Boolean))
    return Particulars(
        fields=fields,
        quotes=_quotes(seen, told, key, aspect),
        suspicious=suspicious["review_id"].to_list() if kind == BOMBING else [],
    )


def recent(
    seen: Circumstances,
    *,
    scope: str,
    key: str,
    aspect: str | None,
    onset: datetime,
    config: AlertConfig,
) -> Recent:
    """Return what the reviews of what was bought last say."""
    judged = seen.judged(scope, key)
    last = judged["heard_day"].max()
    judged = judged.with_columns(bad=seen.bad(judged, aspect))
    late = judged.filter(pl.col("day") > day_of(onset)).sort("day", "event_time")
    late = late.tail(config.recovery_reviews)
    return Recent(
        num_reviews=len(late),
        num_negative=int(late["bad"].sum()),
        days_silent=seen.day - last if isinstance(last, int) else config.stale_days + 1,
    )


def _suspicion(
    seen: Circumstances, judged: pl.DataFrame, since: pl.DataFrame, share_before: float
) -> Suspicion:
    first, last = judged["heard_day"].min(), judged["heard_day"].max()
    days = last - first + 1 if isinstance(first, int) and isinstance(last, int) else 1
    told = (
        since.filter("bad")
        .join(
            seen.shop.reviews.select("review_id", "text"),
            on="review_id",
            how="left",
            maintain_order="left",
        )
        .join(seen.traits, on="review_id", how="left", maintain_order="left")
    )
    a_day = max(len(judged) / days * share_before, 1e-3)
    return suspicion(told, seen.usual, expected_a_day=a_day)


def _gradual(
    seen: Circumstances, judged: pl.DataFrame, onset: datetime, share_before: float
) -> float:
    """Hold a ramp against a step, by the day of purchase where that is known."""
    near = judged.filter(pl.col("day") >= day_of(onset) - _SHAPE_DAYS)
    near = near.sort("day", maintain_order=True)
    return gradual(near["day"].to_numpy(), near["bad"].to_numpy(), share_before)


def _buyers(seen: Circumstances, scope: str, key: str, onset: datetime) -> int:
    """Count people who bought since the onset."""
    subjects = subjects_of(seen.shop.items, scope).filter(pl.col("key") == key)
    bought = seen.shop.events.filter(
        (pl.col("event_type") == "purchase") & (pl.col("event_time") >= onset)
    )
    return bought.join(subjects, on="item_id", how="semi")["user_id"].n_unique()


def _quotes(seen: Circumstances, told: pl.DataFrame, key: str, aspect: str | None) -> pl.DataFrame:
    """Return complaints of a rise, those of its aspect first, as if its items were one."""
    reviews = seen.shop.reviews.join(told, on="review_id", how="semi")
    reviews = reviews.with_columns(item_id=pl.lit(key))
    found = item_complaints(reviews.lazy(), seen.shop.signals.lazy()).drop("item_id")
    if aspect is None:
        return found
    of_it = pl.col("aspect").eq_missing(pl.lit(aspect))
    return found.sort(of_it, descending=True, maintain_order=True)
