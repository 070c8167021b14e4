"""Texts that tell something are a gain; shuffled or absent ones are none."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from tiny_shop import signals

from features.visibility import Visible
from recsys.satisfaction import SentimentGain, sentiment_gain
from sentiment.schema import EMBEDDING_DIM, Reviews

NUM_ITEMS, NUM_EARLY, NUM_TARGETS = 40, 6, 400
START = datetime(2024, 1, 1, tzinfo=UTC)


def world(seed: int = 0) -> tuple[Visible, pl.DataFrame, pl.DataFrame]:
    """Items whose stars are all 4 or 5 by chance, and whose texts alone tell who will be sad."""
    rng = np.random.default_rng(seed)
    quality = rng.uniform(-1, 1, NUM_ITEMS)
    rows, polarity = [], []
    for item in range(NUM_ITEMS):
        for early in range(NUM_EARLY):
            rows.append(
                {"user_id": f"e{early}", "item_id": f"i{item}", "rating": 4.0 + rng.integers(0, 2)}
            )
            polarity.append(float(np.clip(quality[item] + rng.normal(0, 0.1), -1, 1)))
    targets = []
    for target in range(NUM_TARGETS):
        item = int(rng.integers(0, NUM_ITEMS))
        stars = float(np.clip(np.round(3 + 2 * quality[item] + rng.normal(0, 0.3)), 1, 5))
        targets.append({"user_id": f"t{target}", "item_id": f"i{item}"})
        rows.append(targets[-1] | {"rating": stars})
        polarity.append(0.0)
    named = [
        row | {"review_id": f"r{place}", "seq": place, "source": "review", "event_time": START}
        for place, row in enumerate(rows)
    ]
    empty = Reviews.create_empty()
    reviews = pl.DataFrame(
        [{name: row.get(name) for name in empty.columns} for row in named], schema=empty.schema
    )
    embedding = np.tile(np.eye(1, EMBEDDING_DIM, dtype=np.float32), (len(rows), 1))
    visible = Visible(
        events=pl.DataFrame(),
        reviews=reviews.head(NUM_ITEMS * NUM_EARLY),
        targets=pl.DataFrame(targets).with_columns(event_time=pl.lit(START + timedelta(days=9))),
        as_of=START + timedelta(days=9),
    )
    return visible, reviews, signals(named, polarity, embedding)


def gain_of(visible: Visible, reviews: pl.DataFrame, felt: pl.DataFrame) -> SentimentGain:
    gain = sentiment_gain([visible], reviews, felt.lazy())
    assert gain is not None
    return gain


def test_what_only_texts_tell_is_a_gain() -> None:
    gain = gain_of(*world())
    assert gain.num_purchases == NUM_TARGETS
    assert gain.gain > 0.3
    assert 0 < gain.low < gain.gain < gain.high
    assert gain.r2_stars_and_signals - gain.r2_stars == pytest.approx(gain.gain)


@pytest.mark.parametrize("kind", ["shuffled", "absent"])
def test_signals_that_say_nothing_are_no_gain(kind: str) -> None:
    visible, reviews, felt = world()
    shuffled = felt.with_columns(pl.col("polarity").shuffle(seed=1))
    gain = gain_of(visible, reviews, shuffled if kind == "shuffled" else felt.clear())
    assert gain.low <= 1e-9
    assert abs(gain.gain) < 0.05


def test_the_held_out_reviews_own_words_are_not_read() -> None:
    visible, reviews, felt = world()
    told = felt.with_columns(
        polarity=pl.when(pl.int_range(pl.len()) < NUM_ITEMS * NUM_EARLY)
        .then("polarity")
        .otherwise(pl.lit(-1.0))
    )
    one, other = gain_of(visible, reviews, felt), gain_of(visible, reviews, told)
    assert (other.r2_stars, other.gain) == pytest.approx((one.r2_stars, one.gain), abs=1e-6)


def test_too_few_held_out_stars_are_no_answer() -> None:
    visible, reviews, felt = world()
    few = Visible(
        events=visible.events,
        reviews=visible.reviews,
        targets=visible.targets.head(99),
        as_of=visible.as_of,
    )
    assert sentiment_gain([few], reviews, felt.lazy()) is None
