"""What sentiment adds to stars in telling how satisfied a buyer will be.

For held-out purchases that were later reviewed, the stars given are predicted from what was visible
before: once from stars alone, once from stars and the sentiment of texts. Both are ridge
regressions on the same rows, fitted and tested on disjoint users, so the difference is what the
texts say that the stars do not. Stars enter as shares of one to five, not as a mean alone: texts
must add to all that stars know.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from features.profile_state import felt_reviews
from features.visibility import Visible

NUM_FOLDS = 10
LEAST_PURCHASES = 100
PRIOR = 3.0
_STARS = (1, 2, 3, 4, 5)


@dataclass(frozen=True, kw_only=True)
class SentimentGain:
    """How well held-out stars are told.

    Attributes:
        r2_stars: Out-of-fold R2 from stars alone.
        r2_stars_and_signals: The same with sentiment signals.
        gain: Their difference.
        low: Lower end of the gain's 95% bootstrap interval over purchases.
        high: Upper end.
        num_purchases: Held-out purchases with stars.
    """

    r2_stars: float
    r2_stars_and_signals: float
    gain: float
    low: float
    high: float
    num_purchases: int


def sentiment_gain(
    cuts: list[Visible],
    reviews: pl.DataFrame,
    signals: pl.LazyFrame,
    *,
    seed: int = 0,
    num_resamples: int = 1000,
) -> SentimentGain | None:
    """Measure the gain on the held-out purchases of one or more cuts.

    Args:
        cuts: Visible worlds with their targets.
        reviews: All reviews; only the stars of targets are taken from them.
        signals: `review_id, polarity, embedding` of one model version.
        seed: Of folds and bootstrap.
        num_resamples: Bootstrap resamples.

    Returns:
        The gain, or None with fewer than `LEAST_PURCHASES` held-out purchases that have stars.
    """
    outcomes = (
        reviews.drop_nulls(["item_id", "rating"])
        .sort("event_time", "seq")
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
        .select("user_id", "item_id", outcome="rating")
    )
    if len(outcomes) < LEAST_PURCHASES:
        return None
    frames = [_rows(cut, outcomes, signals) for cut in cuts]
    rows = pl.concat(frames)
    if len(rows) < LEAST_PURCHASES:
        return None
    outcome = rows["outcome"].to_numpy().astype(np.float64)
    stars = rows.select(pl.col("^stars_.*$")).to_numpy()
    felt = rows.select(pl.col("^felt_.*$")).to_numpy()
    users = rows["user_id"].rank("dense").to_numpy() - 1
    rng = np.random.default_rng(seed)
    fold = (rng.permutation(users.max() + 1) % NUM_FOLDS)[users]
    mean = outcome.mean()
    total = (outcome - mean) ** 2
    without = (outcome - _out_of_fold(stars, outcome, fold)) ** 2
    with_signals = (outcome - _out_of_fold(np.hstack([stars, felt]), outcome, fold)) ** 2
    picks = rng.integers(0, len(rows), (num_resamples, len(rows)))
    gains = (without - with_signals)[picks].sum(1) / total[picks].sum(1)
    low, high = np.quantile(gains, [0.025, 0.975])
    return SentimentGain(
        r2_stars=float(1 - without.sum() / total.sum()),
        r2_stars_and_signals=float(1 - with_signals.sum() / total.sum()),
        gain=float((without - with_signals).sum() / total.sum()),
        low=float(low),
        high=float(high),
        num_purchases=len(rows),
    )


def _rows(cut: Visible, outcomes: pl.DataFrame, signals: pl.LazyFrame) -> pl.DataFrame:
    """Return one row a held-out purchase with stars: features from visible reviews, and outcome."""
    felt = felt_reviews(cut.reviews.lazy(), signals).collect()
    rows = cut.targets.join(outcomes, on=["user_id", "item_id"])
    for key in ("item_id", "user_id"):
        rows = rows.join(_opinions(felt, key), on=key, how="left")
    return rows.drop("event_time").with_columns(
        pl.col("^(stars|felt)_.*$").cast(pl.Float64).fill_null(0.0)
    )


def _opinions(felt: pl.DataFrame, key: str) -> pl.DataFrame:
    """Return shrunk star shares and polarity of all visible reviews of an item, or by a user.

    `felt_<key>_beyond` is the mean of polarity less what the reviews' stars alone lead to expect.
    """
    rated = felt.drop_nulls([key, "rating"]).with_columns(
        star=pl.col("rating").round().clip(1, 5),
        felt=pl.col("polarity").is_not_null(),
    )
    expected = pl.col("polarity").mean().over("star")
    rated = rated.with_columns(beyond=(pl.col("polarity") - expected).fill_null(0.0))
    shop = {star: float((rated["star"] == star).to_numpy().mean()) for star in _STARS}
    count = pl.len() + PRIOR
    return rated.group_by(key).agg(
        **{
            f"stars_{key}_{star}": ((pl.col("star") == star).sum() + PRIOR * shop[star]) / count
            - shop[star]
            for star in _STARS
        },
        **{f"stars_{key}_count": pl.len().log1p()},
        **{f"felt_{key}_beyond": pl.col("beyond").sum() / count},
        **{f"felt_{key}_worst": pl.col("beyond").min().clip(-1, 0)},
    )


def _out_of_fold(
    features: np.ndarray, outcome: np.ndarray, fold: np.ndarray, l2: float = 10.0
) -> np.ndarray:
    """Return ridge predictions of each fold from the others."""
    predicted = np.empty(len(outcome))
    for k in range(NUM_FOLDS):
        train, test = fold != k, fold == k
        mean, scale = features[train].mean(0), features[train].std(0) + 1e-9
        x = (features[train] - mean) / scale
        level = outcome[train].mean()
        gram = x.T @ x + l2 * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, x.T @ (outcome[train] - level))
        predicted[test] = level + (features[test] - mean) / scale @ weights
    return predicted
