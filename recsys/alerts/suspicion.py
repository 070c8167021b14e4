"""Who wrote the negative reviews of a rise: people who bought, or accounts made for it.

Each trait of a bombing is held against how common it is among all reviews of the shop: k of n
reviews with the trait, beta-binomial with the shop's share, against one with a share of four in
five. What one trait can say is bounded, so that it takes two.

Shape suffix: N reviews.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import betaln, expit
from scipy.stats import nbinom

from recsys.alerts.near_duplicates import near_duplicates

TRAITS = ("near_duplicate", "new_account", "unverified", "not_bought")
NEW_ACCOUNT_DAYS = 7.0
BURST_DAYS = 3
_USUAL_DUPLICATES = 0.03
_SHARE_OF_BOMBS, _STRENGTH = 0.8, 4.0
_MOST_OF_TRAIT, _MOST_OF_BURST = 4.0, 2.0
# Of a hundred rises five are bombings, before anything is known of one.
_BEFORE = float(np.log(0.05 / 0.95))
_SUSPICIOUS_TRAITS = 2


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """What speaks for a bombing.

    Attributes:
        probability: That the rise is one, within 0..1.
        shares: Share of the reviews that have each trait; None where it is not known of any.
        burst_p: Mid-p that as many reviews come within `BURST_DAYS` by chance.
        is_suspicious: Reviews with two or more traits, bool, shape (N,).
    """

    probability: float
    shares: Mapping[str, float | None]
    burst_p: float
    is_suspicious: np.ndarray


def review_traits(
    reviews: pl.DataFrame, events: pl.DataFrame, users: pl.DataFrame | None
) -> pl.DataFrame:
    """Return `review_id, new_account, unverified, not_bought` of reviews, null where unknown.

    An account is new where the user signed up, or first did anything, at most seven days before.
    Without events of purchase nothing is known of who bought; a shop in which each review is the
    purchase (review data) has one at the very time of the review, which tells nothing either.

    Args:
        reviews: Visible reviews with an item.
        events: Visible events.
        users: `features.schema.Users`; None where there are none.
    """
    bought = (
        events.lazy()
        .filter(pl.col("event_type") == "purchase")
        .group_by("user_id", "item_id")
        .agg(bought_at=pl.col("event_time").min())
    )
    heard = pl.concat(
        [
            events.lazy().select("user_id", "event_time"),
            reviews.lazy().select("user_id", "event_time"),
        ]
    )
    first = heard.group_by("user_id").agg(first_at=pl.col("event_time").min())
    joined = (
        reviews.lazy()
        .select("review_id", "user_id", "item_id", "event_time", "verified")
        .join(bought, on=["user_id", "item_id"], how="left")
        .join(first, on="user_id", how="left")
    )
    if users is None:
        joined = joined.with_columns(signup_at=pl.lit(None, dtype=pl.Datetime("us", "UTC")))
    else:
        joined = joined.join(users.lazy().select("user_id", "signup_at"), on="user_id", how="left")
    is_review_data = pl.col("bought_at") == pl.col("event_time")
    has_past = (pl.col("first_at") < pl.col("event_time")).any()
    knows_signup = pl.col("signup_at").is_not_null()
    age = pl.col("event_time") - pl.coalesce("signup_at", "first_at")
    late = pl.col("bought_at").is_null() | (pl.col("bought_at") > pl.col("event_time"))
    has_bought = pl.col("bought_at").is_not_null().any() & ~is_review_data.all()
    return joined.select(
        "review_id",
        new_account=pl.when(knows_signup | has_past).then(
            age <= pl.duration(days=NEW_ACCOUNT_DAYS)
        ),
        unverified=~pl.col("verified"),
        not_bought=pl.when(has_bought).then(late),
    ).collect()


def usual_shares(traits: pl.DataFrame) -> dict[str, float]:
    """Return how common each trait is among all reviews, one more of either kind added."""
    usual = {"near_duplicate": _USUAL_DUPLICATES}
    for name in TRAITS[1:]:
        known = traits[name].drop_nulls()
        usual[name] = float((known.sum() + 1) / (len(known) + 2))
    return usual


def suspicion(
    reviews: pl.DataFrame, usual: Mapping[str, float], *, expected_a_day: float
) -> Suspicion:
    """Weigh what the negative reviews of a rise have in common.

    Args:
        reviews: `text, heard_day` and the traits, in order of time.
        usual: Of `usual_shares`.
        expected_a_day: Negative reviews of the subject, as its past leads to expect, above 0.
    """
    with_words = reviews.with_columns(
        near_duplicate=pl.Series(near_duplicates(reviews["text"].to_list()))
    )
    log_odds, shares = _BEFORE, {}
    for name in TRAITS:
        known = with_words[name].drop_nulls()
        num, bad = len(known), int(known.sum())
        shares[name] = bad / num if num else None
        told = _log(bad, num, _SHARE_OF_BOMBS) - _log(bad, num, usual[name])
        log_odds += float(np.clip(told, -_MOST_OF_TRAIT, _MOST_OF_TRAIT))
    burst_p = _burst(with_words["heard_day"].to_numpy(), expected_a_day)
    log_odds += min(_MOST_OF_BURST, -0.25 * float(np.log(burst_p)))
    is_so = with_words.select(pl.sum_horizontal(pl.col(TRAITS).fill_null(value=False)))
    return Suspicion(
        probability=float(expit(log_odds)),
        shares=shares,
        burst_p=burst_p,
        is_suspicious=is_so.to_series().to_numpy() >= _SUSPICIOUS_TRAITS,
    )


def _log(bad: int, num: int, share: float) -> float:
    a, b = share * _STRENGTH, (1 - share) * _STRENGTH
    return float(betaln(a + bad, b + num - bad) - betaln(a, b))


def _burst(day_N: np.ndarray, expected_a_day: float) -> float:
    """Return the mid-p of the fullest `BURST_DAYS` days, by all windows that were looked at.

    Numbers of reviews are negative-binomial: gamma-Poisson with a shape of 1.
    """
    if not len(day_N):
        return 1.0
    days = np.bincount(day_N - day_N.min())
    most = int(np.convolve(days, np.ones(BURST_DAYS, dtype=int)).max())
    p = 1.0 / (1.0 + BURST_DAYS * expected_a_day)
    mid = nbinom.sf(most, 1, p) + 0.5 * nbinom.pmf(most, 1, p)
    return float(np.clip(mid * len(days), 1e-12, 1.0))
