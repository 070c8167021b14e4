"""The users: what they like, what they care for, how strict they are, and made-up contact data.

Shapes: U users, S subcategories, A aspects.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from jobs.sample_shop.catalogue import SHELF_DEPARTMENT, STYLE_DIM
from jobs.sample_shop.config import ShopConfig, generator
from jobs.sample_shop.departments import ASPECTS, DEPARTMENTS

CONSENTS = ("email", "sms", "ads")
ENGLISH_COUNTRIES = ("US", "GB", "CA", "AU", "IE")
CHINESE_COUNTRIES = ("CN", "SG", "MY")


@dataclass(frozen=True, kw_only=True)
class People:
    """The users, as arrays for the simulation and as the frame the shop publishes."""

    users: pl.DataFrame
    is_chinese: np.ndarray
    """bool[U]: writes and searches in Chinese."""
    num_purchases: np.ndarray
    """int[U]: purchases planned over the window, heavy-tailed."""
    signup_day: np.ndarray
    """int[U]: days from the first day; negative where older than the window."""
    shelf_taste: np.ndarray
    """float[U, S]: log interest in each shelf."""
    style: np.ndarray
    """float[U, STYLE_DIM]: taste in style."""
    price_band: np.ndarray
    """float[U]: preferred standardised log price."""
    weight: np.ndarray
    """float[U, A]: care for each aspect, positive, sums to 1."""
    strictness: np.ndarray
    """float[U]: how much better than average a thing must be; about N(0, 0.4)."""
    generosity: np.ndarray
    """float[U]: lift that the person gives to stars, whatever was felt."""
    always_five: np.ndarray
    """bool[U]: gives five stars unless furious."""
    talkative: np.ndarray
    """float[U]: log odds of writing a review."""


def build_people(config: ShopConfig) -> People:
    """Draw the users."""
    rng = generator(config, "people")
    num_users = config.num_users
    num_purchases = _purchase_counts(rng, config)
    is_chinese = _spread(rng, num_purchases, config.chinese_share)
    before = rng.random(num_users) < 0.6
    signup_day = np.where(
        before,
        -rng.integers(1, 730, size=num_users),
        rng.integers(0, int(0.6 * config.days), size=num_users),
    )
    department_taste = np.log(rng.gamma(0.3, size=(num_users, len(DEPARTMENTS))) + 0.01)
    shelf_taste = department_taste[:, SHELF_DEPARTMENT] + 0.7 * rng.normal(
        size=(num_users, len(SHELF_DEPARTMENT))
    )
    weight = rng.gamma(0.45, size=(num_users, len(ASPECTS))) + 0.02
    return People(
        users=_users_frame(rng, config, is_chinese, signup_day),
        is_chinese=is_chinese,
        num_purchases=num_purchases,
        signup_day=signup_day,
        shelf_taste=shelf_taste,
        style=rng.normal(size=(num_users, STYLE_DIM)) * 0.45,
        price_band=rng.normal(size=num_users),
        weight=weight / weight.sum(axis=1, keepdims=True),
        strictness=0.4 * rng.normal(size=num_users),
        generosity=0.3 + 0.5 * rng.normal(size=num_users),
        always_five=rng.random(num_users) < 0.15,
        talkative=rng.normal(size=num_users),
    )


def _purchase_counts(rng: np.random.Generator, config: ShopConfig) -> np.ndarray:
    """Purchases of every user: 93 percent have three or more, a few have dozens."""
    num_users, total = config.num_users, config.num_purchases
    least = np.where(rng.random(num_users) < 0.07, rng.integers(1, 3, size=num_users), 3)
    cold = least < 3
    share = np.exp(1.4 * rng.normal(size=num_users)) * ~cold
    most = max(6, int(0.3 * config.num_items))
    counts = least
    while (missing := total - int(counts.sum())) > 0:
        room = counts < most
        counts = counts + rng.multinomial(missing, share * room / (share * room).sum()) * room
        counts = np.minimum(counts, np.where(cold, 2, most))
    return counts


def _spread(rng: np.random.Generator, activity: np.ndarray, share: float) -> np.ndarray:
    """Choose a share of the users evenly over the range of activity."""
    order = np.lexsort((rng.random(len(activity)), activity))
    steps = np.floor(np.arange(len(activity) + 1) * share + rng.random())
    chosen = np.zeros(len(activity), dtype=bool)
    chosen[order] = np.diff(steps) > 0
    return chosen


def _users_frame(
    rng: np.random.Generator, config: ShopConfig, is_chinese: np.ndarray, signup_day: np.ndarray
) -> pl.DataFrame:
    num_users = config.num_users
    english = rng.choice(len(ENGLISH_COUNTRIES), num_users, p=[0.6, 0.18, 0.1, 0.08, 0.04])
    chinese = rng.choice(len(CHINESE_COUNTRIES), num_users, p=[0.8, 0.12, 0.08])
    second_of_day = np.where(signup_day < 0, rng.integers(0, 86400, size=num_users), 0)
    signup_s = config.start_s + signup_day * 86400 + second_of_day
    agreed = rng.random((num_users, len(CONSENTS))) < np.array([0.7, 0.3, 0.45])
    has_phone = rng.random(num_users) < 0.55
    return pl.DataFrame(
        {
            "user_id": [f"u{u:05d}" for u in range(num_users)],
            "country": [
                CHINESE_COUNTRIES[chinese[u]] if is_chinese[u] else ENGLISH_COUNTRIES[english[u]]
                for u in range(num_users)
            ],
            "language": np.where(is_chinese, "zh", "en").tolist(),
            "signup_at": pl.Series(signup_s * 1_000_000).cast(pl.Datetime("us", "UTC")),
            "email": [f"user{u:05d}@example.com" for u in range(num_users)],
            # 555-0100 to 555-0199 is set aside for fiction; the area code 555 is unassigned too.
            "phone": [
                f"+1555555{100 + u % 100:04d}" if has_phone[u] else None for u in range(num_users)
            ],
            "consents": [
                [name for name, yes in zip(CONSENTS, row, strict=True) if yes] for row in agreed
            ],
        },
        schema_overrides={"consents": pl.List(pl.String)},
    )
