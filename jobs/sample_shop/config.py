"""What to generate: the size, the season and the strength of sentiment in a sample shop."""

import datetime as dt
from dataclasses import dataclass

import numpy as np

CONCERNS = (
    "catalogue",
    "people",
    "visits",
    "choices",
    "experience",
    "reviewing",
    "writing",
    "incidents",
)


@dataclass(frozen=True, kw_only=True)
class ShopConfig:
    """Settings of a generated shop; the same settings give the same shop, byte for byte.

    Raises:
        ValueError: a setting is out of its range, or there are too few events or reviews for the
            other sizes.
    """

    seed: int = 7
    """Source of all randomness; every concern draws from a stream of its own."""
    num_items: int = 400
    """Items in the catalogue."""
    num_users: int = 1500
    """Users; every one of them buys at least once."""
    num_reviews: int = 6000
    """Reviews, exactly; about 1.5 times as many purchases are made."""
    num_events: int = 60000
    """Events, within 2 percent."""
    sentiment_effect: float = 1.0
    """How far texts and later choices follow what was felt beyond the stars; 0 is not at all."""
    chinese_share: float = 0.12
    """Share of users, and so about of reviews, who write Chinese."""
    start: str = "2025-01-01"
    """First day, as an ISO date in UTC."""
    days: int = 365
    """Days that the events and reviews span."""
    bad_batches: int = 0
    """Items of which what is sold within some weeks is broken."""
    drifts: int = 0
    """Items that get worse slowly, and stay so."""
    review_bombings: int = 0
    """Items that people who never bought them give a burst of bad reviews."""

    def __post_init__(self) -> None:
        """Check every setting."""
        _at_least("seed", self.seed, 0)
        _at_least("num_items", self.num_items, 100)
        _at_least("num_users", self.num_users, 20)
        _at_least("num_reviews", self.num_reviews, 2 * self.num_users, "2 x num_users")
        _at_least("num_events", self.num_events, 8 * self.num_reviews, "8 x num_reviews")
        _at_least("days", self.days, 180)
        for name in ("bad_batches", "drifts", "review_bombings"):
            _at_least(name, getattr(self, name), 0)
        capacity = self.num_users * self.num_items // 15
        if self.num_reviews > capacity:
            raise ValueError(
                f"num_reviews is {self.num_reviews}, wanted at most num_users x num_items / 15 = "
                f"{capacity}: raise num_users or num_items"
            )
        if not 0.0 <= self.sentiment_effect <= 10.0:
            raise ValueError(f"sentiment_effect is {self.sentiment_effect}, wanted 0 to 10")
        if not 0.0 <= self.chinese_share <= 1.0:
            raise ValueError(f"chinese_share is {self.chinese_share}, wanted 0 to 1")
        try:
            first = dt.date.fromisoformat(self.start)
        except ValueError as error:
            raise ValueError(
                f"start is {self.start!r}, wanted an ISO date such as 2025-01-01"
            ) from error
        if not 1995 <= first.year <= 2090:
            raise ValueError(f"start is {self.start!r}, wanted a year from 1995 to 2090")

    @property
    def num_purchases(self) -> int:
        """Purchases that the users make: 1.5 a review."""
        return round(1.5 * self.num_reviews)

    @property
    def start_s(self) -> int:
        """First second of the first day, in seconds since 1970 UTC."""
        first = dt.datetime.fromisoformat(self.start[:10]).replace(tzinfo=dt.UTC)
        return int(first.timestamp())


def generator(config: ShopConfig, concern: str) -> np.random.Generator:
    """Return the random stream of one concern, independent of all others.

    Args:
        config: settings, of which only the seed matters here.
        concern: one of `CONCERNS`.
    """
    assert concern in CONCERNS, concern
    return np.random.default_rng(
        np.random.SeedSequence(config.seed, spawn_key=(CONCERNS.index(concern),))
    )


def _at_least(name: str, seen: int, wanted: int, why: str = "") -> None:
    if seen < wanted:
        reason = f" ({why})" if why else ""
        raise ValueError(f"{name} is {seen}, wanted at least {wanted}{reason}")
