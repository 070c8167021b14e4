"""A recommender asked to order what could have been shown."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from tiny_shop import START, FittedShop

from features.visibility import Visible
from recsys.errors import PolicyError
from recsys.off_policy import build_log, ranking_policy
from recsys.off_policy.recommender_policy import population_of, recommender_scores
from recsys.recommender import Recommender

CANDIDATES = ["i00", "i01", "i02", "i03", "nothing"]


@pytest.fixture
def recommender(shop: FittedShop) -> Recommender:
    assert shop.fitted.recommender is not None
    return shop.fitted.recommender


def rows(users: list[str], day: float = 60.0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "list_id": [f"l{number}" for number in range(len(users))],
            "user_id": users,
            "item_id": "i00",
            "propensity": 0.25,
            "click": 1.0,
            "event_time": [
                START + timedelta(days=day + number / 10) for number in range(len(users))
            ],
            "candidates": [CANDIDATES] * len(users),
        }
    )


def test_candidates_are_scored_as_the_recommender_ranks_them(
    shop: FittedShop, recommender: Recommender
) -> None:
    frame = rows(["u00"])
    found = recommender_scores(frame, shop.tables, recommender)
    assert (found.num_lists, found.num_silent) == (1, 0)
    as_of = frame["event_time"][0]
    events, reviews = (
        table.filter(pl.col("event_time") < as_of)
        for table in (shop.tables.events, shop.tables.reviews)
    )
    visible = Visible(events=events, reviews=reviews, targets=events.clear(), as_of=as_of)
    population = population_of(shop.tables, visible, recommender.items)
    allowed = np.isin(recommender.items.ids, CANDIDATES)
    asked = population.query(population.users.index(["u00"]), allowed=allowed)
    candidates, scores = recommender.rank(asked)
    real = np.isfinite(scores[0]) & (candidates.item_idx[0] >= 0)
    told = dict(
        zip(
            recommender.items.ids[candidates.item_idx[0, real]],
            scores[0, real].tolist(),
            strict=True,
        )
    )
    assert dict(found.scores.select("item_id", "score").iter_rows()) == pytest.approx(told)
    assert set(found.scores["item_id"]) <= set(CANDIDATES[:-1])


def test_later_rows_of_the_tables_change_nothing(
    shop: FittedShop, recommender: Recommender
) -> None:
    frame = rows(["u00", "u01", "u07"], day=20.0)
    found = recommender_scores(frame, shop.tables, recommender)
    until = frame["event_time"][0]
    cut = replace(
        shop.tables,
        events=shop.tables.events.filter(pl.col("event_time") < until),
        reviews=shop.tables.reviews.filter(pl.col("event_time") < until),
    )
    assert recommender_scores(frame, cut, recommender).scores.equals(found.scores)


def test_histories_are_taken_anew_each_period(shop: FittedShop, recommender: Recommender) -> None:
    far = pl.concat(
        [rows(["u00"], day=5.0), rows(["u00"], day=90.0).with_columns(list_id=pl.lit("m"))]
    )
    found = recommender_scores(far, shop.tables, recommender, refresh_days=7.0).scores
    frozen = recommender_scores(far, shop.tables, recommender, refresh_days=365.0).scores
    late = pl.col("list_id") == "m"
    assert found.filter(~late).equals(frozen.filter(~late))
    assert not found.filter(late).equals(frozen.filter(late))


def test_strangers_are_answered_and_the_scores_are_a_policy(
    shop: FittedShop, recommender: Recommender
) -> None:
    frame = rows(["nobody", "u05"])
    found = recommender_scores(frame, shop.tables, recommender)
    assert set(found.scores["list_id"]) == {"l0", "l1"}
    target = ranking_policy(build_log(frame, "click"), found.scores, name="bundle", temperature=1.0)
    assert target.total + target.unlogged == pytest.approx(np.ones(2))


def test_logs_that_cannot_be_asked_about_are_refused(
    shop: FittedShop, recommender: Recommender
) -> None:
    with pytest.raises(PolicyError, match="cannot be asked without user_id, candidates"):
        recommender_scores(rows(["u00"]).drop("user_id", "candidates"), shop.tables, recommender)
    other = rows(["u00"]).with_columns(candidates=pl.lit(["x", "y"]))
    for wrong in (0.0, float("inf"), float("nan")):
        with pytest.raises(PolicyError, match="refresh_days is"):
            recommender_scores(other, shop.tables, recommender, refresh_days=wrong)
    with pytest.raises(PolicyError, match="none of the candidates of all 1 lists"):
        recommender_scores(other, shop.tables, recommender)
