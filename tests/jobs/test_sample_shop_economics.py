"""The sample shop behaves like a shop, and sentiment counts in it exactly as far as it is told to.

Thresholds leave at least two standard deviations over the seeds that they are checked on.
"""

from functools import cache

import numpy as np
import polars as pl
import pytest

from jobs.sample_shop import Shop, ShopConfig, expected_satisfaction, generate_shop

SEEDS = (7, 8, 9)


@cache
def _shop(seed: int, effect: float) -> Shop:
    return generate_shop(ShopConfig(seed=seed, sentiment_effect=effect))


def _mean(column: pl.Series) -> float:
    return float(column.to_numpy().mean())


def _residual(target: np.ndarray, controls: np.ndarray) -> np.ndarray:
    design = np.column_stack([np.ones(len(target)), controls])
    return target - design @ np.linalg.lstsq(design, target, rcond=None)[0]


def _partial_correlation(x: np.ndarray, y: np.ndarray, controls: np.ndarray) -> float:
    return float(np.corrcoef(_residual(x, controls), _residual(y, controls))[0, 1])


def _star_shares() -> list[pl.Expr]:
    return [(pl.col("rating") == k).cast(pl.Float64).alias(f"stars_{k}") for k in (1, 2, 3, 4)]


def _told(shop: Shop) -> pl.DataFrame:
    """Reviews with the mean polarity of their opinions and what their writer felt."""
    polarity = shop.truth.opinions.group_by("review_id", maintain_order=True).agg(
        pl.col("polarity").mean()
    )
    return (
        shop.reviews.join(polarity, on="review_id", maintain_order="left")
        .join(shop.truth.reviews, on="review_id", maintain_order="left")
        .join(shop.truth.purchases.select("event_id", "satisfaction"), on="event_id")
        .with_columns(*_star_shares())
        .sort("seq")
    )


def _earlier_opinions(shop: Shop) -> float:
    """Partial correlation of a purchase's satisfaction with what earlier reviews of the item said.

    Controlled for the shares of stars in the same reviews; three earlier reviews at least.
    """
    columns = ["polarity", "stars_1", "stars_2", "stars_3", "stars_4"]
    history = (
        _told(shop)
        .sort("event_time", "seq")
        .select(
            "item_id",
            "event_time",
            *[pl.col(c).cum_sum().over("item_id") for c in columns],
            count=pl.int_range(1, pl.len() + 1).over("item_id"),
        )
    )
    rows = []
    bought = shop.truth.purchases.join(shop.events.select("event_id", "event_time"), on="event_id")
    past = {item[0]: frame for item, frame in history.group_by("item_id", maintain_order=True)}
    for item, frame in bought.group_by("item_id", maintain_order=True):
        if (before := past.get(item[0])) is not None:
            rows.append(
                frame.sort("event_time").join_asof(
                    before.drop("item_id"), on="event_time", allow_exact_matches=False
                )
            )
    known = pl.concat(rows).filter(pl.col("count") >= 3)
    means = known.select(pl.col(c) / pl.col("count") for c in columns).to_numpy()
    return _partial_correlation(means[:, 0], known["satisfaction"].to_numpy(), means[:, 1:])


@pytest.mark.parametrize("seed", SEEDS)
def test_earlier_opinions_foretell_satisfaction_beyond_stars(seed: int) -> None:
    assert _earlier_opinions(_shop(seed, 1.0)) > 0.12


def test_earlier_opinions_foretell_nothing_without_effect() -> None:
    # Purchases of one item share its history: about 400 clusters, so 0.03 a seed at most.
    found = [_earlier_opinions(_shop(seed, 0.0)) for seed in SEEDS]

    assert abs(np.mean(found)) < 0.05


def _own_text(shop: Shop) -> dict[str, float]:
    """Partial correlations of a writer's satisfaction with sides of the text, given the stars."""
    told = _told(shop)
    english = told.join(shop.users.select("user_id", "language"), on="user_id")
    english = english.filter(pl.col("language") == "en")
    needs = shop.truth.needs["review_id"].implode()
    sides = english.select(
        "polarity",
        "overall",
        length=pl.col("text").str.len_chars().cast(pl.Float64),
        wishes=pl.col("review_id").is_in(needs).cast(pl.Float64),
        lively=pl.col("text").str.count_matches("!").cast(pl.Float64),
    )
    stars = english.select("stars_1", "stars_2", "stars_3", "stars_4").to_numpy()
    felt = english["satisfaction"].to_numpy()
    return {
        name: _partial_correlation(sides[name].to_numpy(), felt, stars) for name in sides.columns
    }


def test_texts_of_equal_stars_are_exchangeable_without_effect() -> None:
    # 5,300 independent reviews a seed, three seeds: one standard error is 0.008.
    found = pl.DataFrame([_own_text(_shop(seed, 0.0)) for seed in SEEDS]).mean().row(0, named=True)

    assert max(abs(value) for value in found.values()) < 0.03, found


@pytest.mark.parametrize("seed", SEEDS)
def test_texts_tell_what_stars_hide(seed: int) -> None:
    half, full = (_own_text(_shop(seed, effect)) for effect in (0.5, 1.0))

    assert half["polarity"] > 0.2
    assert full["polarity"] > half["polarity"]
    assert full["overall"] > half["overall"] > 0.2


def _personal_fit(shop: Shop) -> float:
    """How much better than to others of the same shelf, in latent units, bought items fit.

    Items' means over all users are taken out first, so that popular items do not count.
    """
    satisfaction = expected_satisfaction(shop.truth)
    odds = satisfaction.drop("user_id").to_numpy()
    odds = np.log(odds / (1 - odds)) / 1.5
    odds -= odds.mean(axis=0)
    shelf = shop.items.select(pl.col("categories").list.last())["categories"].to_numpy()
    for name in np.unique(shelf):
        odds[:, shelf == name] -= odds[:, shelf == name].mean(axis=1, keepdims=True)
    bought = shop.truth.purchases.select(
        pl.col("user_id", "item_id").str.slice(1).cast(pl.Int64)
    ).to_numpy()
    return float(odds[bought[:, 0], bought[:, 1]].mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_choices_follow_fit_as_far_as_the_effect_says(seed: int) -> None:
    without, with_effect = (_personal_fit(_shop(seed, effect)) for effect in (0.0, 1.0))

    assert abs(without) < 0.03
    assert with_effect > 0.1


def _recall_at_100(shop: Shop) -> tuple[float, float]:
    """Leave-one-out Recall@100 of popularity and of item-kNN; ties rank the target last."""
    bought = (
        shop.events.filter(pl.col("event_type") == "purchase")
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
        .select(
            user=pl.col("user_id").str.slice(1).cast(pl.Int64),
            item=pl.col("item_id").str.slice(1).cast(pl.Int64),
            left=pl.int_range(pl.len()).reverse().over("user_id"),
            count=pl.len().over("user_id"),
        )
    )
    is_test = (pl.col("left") == 0) & (pl.col("count") >= 3)
    test = bought.filter(is_test)
    train = bought.filter(~is_test)
    seen = np.zeros((shop.users.height, shop.items.height))
    seen[train["user"].to_numpy(), train["item"].to_numpy()] = 1.0
    sales = seen.sum(axis=0)
    together = seen.T @ seen
    np.fill_diagonal(together, 0.0)
    alike = together / np.sqrt(np.outer(sales + 5, sales + 5))
    user, item = test["user"].to_numpy(), test["item"].to_numpy()
    recalls = []
    for scores in (np.tile(sales, (len(user), 1)), seen[user] @ alike):
        scores = np.where(seen[user] > 0, -1.0, scores)
        rank = (scores >= scores[np.arange(len(user)), item][:, None]).sum(axis=1)
        recalls.append(float((rank <= 100).mean()))
    return recalls[0], recalls[1]


@pytest.mark.parametrize("effect", [0.0, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_who_buys_what_can_be_learnt_but_is_not_given_away(seed: int, effect: float) -> None:
    popular, knn = _recall_at_100(_shop(seed, effect))

    assert 0.35 < popular < 0.58
    assert popular + 0.04 < knn < 0.75


@pytest.mark.parametrize("effect", [0.0, 1.0, 2.0])
def test_default_shop_has_its_size_and_shape(effect: float) -> None:
    shop = _shop(7, effect)
    stars = {k: _mean(shop.reviews["rating"] == k) for k in (1, 2, 3, 4, 5)}
    chinese = _mean(shop.reviews["text"].str.contains(r"\p{Han}"))
    bought = shop.truth.purchases.group_by("user_id").agg(
        pl.len().alias("all"), pl.col("item_id").n_unique().alias("distinct")
    )

    assert shop.reviews.height == 6000
    assert shop.events.height == pytest.approx(60000, rel=0.02)
    assert chinese == pytest.approx(0.12, abs=0.04)
    assert stars[5] > 0.5
    assert stars[5] > stars[4] > stars[3] > stars[2]
    assert stars[1] > stars[2]
    assert 0.8 < _mean(bought["distinct"] >= 3) < 0.99
    assert (bought["all"] > 40).any()


def test_returns_follow_bad_satisfaction() -> None:
    shop = _shop(7, 1.0)
    returned = shop.events.filter(pl.col("event_type") == "return")
    felt = shop.truth.purchases.join(
        returned.select("user_id", "item_id"), on=["user_id", "item_id"], how="semi"
    )

    assert 0.01 < returned.height / shop.truth.purchases.height < 0.12
    assert _mean(felt["satisfaction"]) < _mean(shop.truth.purchases["satisfaction"]) - 0.15


@pytest.mark.slow
def test_ten_times_the_shop_takes_about_ten_times_as_long() -> None:
    shop = generate_shop(
        ShopConfig(num_items=4000, num_users=15000, num_reviews=60000, num_events=600000)
    )

    assert shop.reviews.height == 60000
    assert shop.events.height == pytest.approx(600000, rel=0.02)
