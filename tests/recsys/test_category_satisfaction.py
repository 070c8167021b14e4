"""Satisfaction with a category's next purchase: strict in time, told where there is a pattern."""

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from whole_rows import whole

from features.felt_purchases import felt_purchases
from features.schema import TABLES
from recsys.category_satisfaction import (
    BY_CATEGORY,
    NAMES,
    OURS,
    fit_category_satisfaction,
    known_before,
    satisfaction_back_test,
)
from recsys.errors import NotEnoughDataError
from recsys.propensity import PropensityConfig
from recsys.world import ShopTables

START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=80)
CONFIG = PropensityConfig(max_trees=40)


@pytest.fixture(scope="module")
def tables() -> ShopTables:
    """Every third user is picky, and the second category is worse; a day after buying they say."""
    rng = np.random.default_rng(0)
    bought, said = [], []
    for user in range(150):
        for number in range(6):
            kind = int(rng.integers(2))
            time = START + timedelta(days=20 * number + int(rng.integers(20)))
            pleased = rng.random() < (0.85 - 0.5 * (user % 3 == 0) - 0.3 * kind)
            item = f"{kind}-{number}"
            bought.append((f"u{user}", item, time))
            said.append((f"u{user}", item, time + timedelta(days=1), 5.0 if pleased else 2.0))
    events = pl.DataFrame(bought, schema=["user_id", "item_id", "event_time"], orient="row")
    reviews = pl.DataFrame(
        said, schema=["user_id", "item_id", "event_time", "rating"], orient="row"
    )
    row = pl.int_range(pl.len())
    kinds = pl.DataFrame(
        {"item_id": [f"{kind}-{number}" for kind in (0, 1) for number in range(6)]}
    )
    return ShopTables(
        items=whole(
            kinds.with_columns(categories=pl.concat_list(pl.col("item_id").str.head(1))), "items"
        ),
        events=whole(
            events.with_columns(
                event_id=pl.format("e{}", row), event_type=pl.lit("purchase"), seq=row
            ),
            "events",
        ),
        reviews=whole(
            reviews.with_columns(review_id=pl.format("r{}", row), source=pl.lit("review"), seq=row),
            "reviews",
        ),
        signals=TABLES["review_signals"].create_empty(),
    )


def felt_of(tables: ShopTables) -> pl.DataFrame:
    return felt_purchases(
        tables.events.lazy(), tables.reviews.lazy(), tables.items.lazy(), tables.signals.lazy()
    )


def test_users_and_categories_are_told_apart(tables: ShopTables) -> None:
    test = satisfaction_back_test(tables, now=NOW, config=CONFIG)
    assert test.figures[OURS].auc > 0.7
    assert test.figures[OURS].auc > test.figures[BY_CATEGORY].auc > 0.5
    assert test.num_asked == 150
    assert test.figures[OURS].calibration_error < 0.15


def test_shares_are_of_what_was_told_strictly_before(tables: ShopTables) -> None:
    felt = felt_of(tables)
    one = felt.filter(user_id="u1").row(2, named=True)
    asked = pl.DataFrame(
        {
            "user_id": ["u1", "u1", "nobody"],
            "category": [one["category"], one["category"], "none"],
            "label_time": [one["told_at"], one["told_at"] + timedelta(seconds=1), START],
        }
    )
    found = known_before(asked, felt, tables)
    told = felt.filter(pl.col("told_at") < one["told_at"])
    assert found["user_id_told"].to_list() == [2, 3, 0]
    assert found["category_told"][0] == len(told.filter(category=one["category"]))
    shop = (np.sum(told["satisfied"].to_numpy()) + 1) / (len(told) + 2)
    own = np.sum(told.filter(user_id="u1")["satisfied"].to_numpy())
    assert found["user_id_share"][0] == pytest.approx((own + 5 * shop) / (2 + 5))
    assert found["category_share"][2] == pytest.approx(0.5)


def test_what_comes_after_changes_nothing(tables: ShopTables) -> None:
    cut = pl.col("event_time") < NOW
    past = dataclasses.replace(
        tables, events=tables.events.filter(cut), reviews=tables.reviews.filter(cut)
    )
    with_future = fit_category_satisfaction(tables, now=NOW, config=CONFIG)
    alone = fit_category_satisfaction(past, now=NOW, config=CONFIG)
    assert with_future.model == alone.model
    assert_frame_equal(with_future.felt, alone.felt)
    asked = pl.DataFrame({"user_id": ["u1"], "category": ["1"], "label_time": [NOW]})
    told = [fitted.predict(asked, of) for fitted, of in ((with_future, tables), (alone, past))]
    assert told[0] == pytest.approx(told[1])
    assert len(NAMES) == len(alone.model.names)


def test_too_little_is_said(tables: ShopTables) -> None:
    with pytest.raises(NotEnoughDataError, match="no purchase was judged before"):
        fit_category_satisfaction(tables, now=START)
    with pytest.raises(NotEnoughDataError, match="how well that was told cannot be measured"):
        satisfaction_back_test(tables, now=START + timedelta(days=400), config=CONFIG)
