"""What is bought again: gaps that are planted are found, and only the past is read."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from tiny_shop import NOW

from recsys.interactions import Histories, IdMap, Interactions
from recsys.query import Query, Repeats
from recsys.repurchase import (
    DAY_US,
    NAME,
    Replenishment,
    RepurchaseConfig,
    RepurchaseSource,
    fit_replenishment,
)
from recsys.repurchase_evaluation import LAST, OFTEN, evaluate_repurchases, narrowest, purchase_log

START = datetime(2025, 1, 1, tzinfo=UTC)
COFFEE, FILTERS, GUITAR, TEA, NEW = "coffee", "filters", "guitar", "tea", "unsold"
ITEMS = pl.DataFrame(
    {
        "item_id": [COFFEE, FILTERS, GUITAR, TEA, NEW],
        "categories": [["food", "drinks"], ["kitchen"], ["music"], ["food", "drinks"], None],
    },
    schema_overrides={"categories": pl.List(pl.String)},
)
IDS = IdMap.of(ITEMS["item_id"])
NUM_USERS = 60


def bought(seed: int = 0, days: int = 180) -> pl.DataFrame:
    """Coffee every 20 days or so, filters every 60, a guitar once, tea by two people twice."""
    rng = np.random.default_rng(seed)
    rows = []

    def buy(user: int, item: str, day: float) -> None:
        if day < days:
            rows.append((f"u{user:02}", item, START + timedelta(days=day), len(rows)))

    for user in range(NUM_USERS):
        first = rng.uniform(0, 20)
        for item, gap in ((COFFEE, 20.0), (FILTERS, 60.0)):
            day = first
            while day < days:
                buy(user, item, day)
                day += gap * np.exp(rng.normal(0, 0.15))
        buy(user, GUITAR, rng.uniform(0, days))
        if user % 3 == 0:
            buy(user, TEA, first)
        if user in (0, 3):
            buy(user, TEA, first + 25)
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "event_time", "seq"], orient="row")
    return frame.with_columns(event_type=pl.lit("purchase"))


def fitted(events: pl.DataFrame, config: RepurchaseConfig | None = None) -> Replenishment:
    users = IdMap.of(events["user_id"])
    log = purchase_log(events, users=users, items=IDS)
    return fit_replenishment(log, narrowest(ITEMS, IDS), config or RepurchaseConfig())


def due(model: Replenishment, purchases: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Chances of one user who bought items so many days ago."""
    order = sorted(purchases, key=lambda row: -row[1])
    log = Histories(
        indptr=np.array([0, len(order)]),
        item_idx=IDS.index([item for item, _ in order]).astype(np.int32),
        event_time=np.array([NOW - round(days) * DAY_US for _, days in order], dtype=np.int64),
        sentiment=np.full(len(order), np.nan, dtype=np.float32),
    )
    asked = replace(Query.of_stranger(), repeats=Repeats(purchases=log, now=NOW))
    scores = RepurchaseSource(name=NAME, replenishment=model).score(asked)[0]
    return dict(zip(IDS.ids.tolist(), scores.tolist(), strict=True))


def test_usual_gaps_are_learned() -> None:
    model = fitted(bought())
    days = dict(zip(IDS.ids.tolist(), np.exp(model.log_mean).tolist(), strict=True))
    assert days[COFFEE] == pytest.approx(20, rel=0.1)
    assert days[FILTERS] == pytest.approx(60, rel=0.2)
    # Two repeats are mostly the category's word, and that is coffee.
    assert 20 < days[TEA] < 25
    chance = dict(zip(IDS.ids.tolist(), model.chance.tolist(), strict=True))
    assert chance[COFFEE] > 0.9 > chance[TEA] > 0


def test_an_item_comes_round_and_is_given_up_at_last() -> None:
    model = fitted(bought())
    chances = {days: due(model, [(COFFEE, days)])[COFFEE] for days in (1, 20, 30, 60, 200)}
    assert chances[1] == 0.0
    assert chances[20] > 0.8
    assert chances[20] > chances[60] > chances[200]
    assert chances[200] < 0.05
    assert due(model, [(FILTERS, 20)])[FILTERS] == 0.0
    assert due(model, [(FILTERS, 55)])[FILTERS] > 0.3


def test_what_nobody_bought_twice_does_not_qualify() -> None:
    model = fitted(bought())
    for days in (1, 30, 100, 300):
        chances = due(model, [(GUITAR, days), (NEW, days)])
        assert chances[GUITAR] == chances[NEW] == 0.0


def test_what_a_user_never_bought_is_not_theirs_to_buy_again() -> None:
    chances = due(fitted(bought()), [(COFFEE, 20)])
    assert {item for item, chance in chances.items() if chance > 0} == {COFFEE}


def test_a_users_own_gaps_count() -> None:
    model = fitted(bought())
    slow = [(COFFEE, 250), (COFFEE, 190), (COFFEE, 130), (COFFEE, 70), (COFFEE, 10)]
    assert due(model, slow)[COFFEE] == 0.0
    usual = [(COFFEE, 110), (COFFEE, 90), (COFFEE, 70), (COFFEE, 50), (COFFEE, 25)]
    once = due(model, [(COFFEE, 70)])[COFFEE]
    assert due(model, usual)[COFFEE] > 0.8
    # Who has always come back late is still waited for when others are given up.
    assert due(model, [(COFFEE, days + 60) for days in (240, 180, 120, 60, 10)])[COFFEE] > once


def test_purchases_of_one_day_are_one() -> None:
    model = fitted(bought())
    twice = due(model, [(COFFEE, 20), (COFFEE, 20)])
    assert twice == due(model, [(COFFEE, 20)])


def test_what_comes_after_the_horizon_changes_nothing() -> None:
    events, cut = bought(), START + timedelta(days=120)
    config = RepurchaseConfig(horizon_days=14)
    is_later = pl.col("event_time") >= cut + timedelta(days=14)
    other = pl.concat([events.filter(~is_later), bought(seed=5).filter(is_later)])
    assert other.filter(is_later).height != events.filter(is_later).height
    one = evaluate_repurchases(events, ITEMS, as_of=cut, config=config)
    assert one is not None
    assert one == evaluate_repurchases(other, ITEMS, as_of=cut, config=config)


def test_what_comes_after_the_cut_teaches_nothing() -> None:
    """Users who are asked about are told apart by what they did before, whatever others do then."""
    events, cut = bought(), START + timedelta(days=120)
    is_later = pl.col("event_time") >= cut
    few = [f"u{user:02}" for user in range(10)]
    kept = events.filter(~is_later | pl.col("user_id").is_in(few))
    found = evaluate_repurchases(kept, ITEMS, as_of=cut, config=RepurchaseConfig())
    # The same questions, and others after the cut buying what nobody bought twice before.
    more = kept.filter(is_later & (pl.col("item_id") == COFFEE)).with_columns(
        user_id=pl.lit("stranger"), item_id=pl.lit(GUITAR)
    )
    assert len(more) > 1
    assert found is not None
    assert found == evaluate_repurchases(
        pl.concat([kept, more]), ITEMS, as_of=cut, config=RepurchaseConfig()
    )


def test_the_source_finds_what_is_bought_again_before_plain_answers_do() -> None:
    """Coffee is bought often and last; filters are due."""
    events = bought()
    cut = START + timedelta(days=120)
    no_coffee = (pl.col("item_id") == COFFEE) & (pl.col("event_time") >= cut)
    found = evaluate_repurchases(
        events.filter(~no_coffee),
        ITEMS,
        as_of=cut,
        config=RepurchaseConfig(horizon_days=14),
    )
    assert found is not None
    assert set(found) == {NAME, OFTEN, LAST}
    assert found[NAME]["num_users"] > 1
    assert found[NAME]["mrr"] > max(found[OFTEN]["mrr"], found[LAST]["mrr"])


def test_where_nobody_buys_again_there_is_nothing_to_measure() -> None:
    once = bought().unique(["user_id", "item_id"], keep="first", maintain_order=True)
    as_of = START + timedelta(days=120)
    assert evaluate_repurchases(once, ITEMS, as_of=as_of, config=RepurchaseConfig()) is None
    model = fitted(once)
    assert not model.chance.any()


def test_without_any_purchase_nothing_is_due() -> None:
    nothing = bought().clear()
    model = fitted(nothing)
    assert not model.chance.any()
    source = RepurchaseSource(name=NAME, replenishment=model)
    assert not source.score(Query.of_stranger()).any()
    assert (source.rank(Query.of_stranger(), 3).item_idx == -1).all()


def test_a_log_keeps_repeats() -> None:
    events = bought()
    log = purchase_log(events, users=IdMap.of(events["user_id"]), items=IDS)
    assert isinstance(log, Interactions)
    assert len(log) == len(events)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"horizon_days": 0.0}, "horizon_days must be positive"),
        ({"least_passed": 1.0}, r"least_passed must be within 0\.\.1"),
        ({"item_weight": 0.0}, "must be positive"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RepurchaseConfig(**wrong)
