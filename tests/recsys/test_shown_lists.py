"""Lists as users get them: rearranged as an answer would be, and measured beside the ranker's."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from tiny_shop import CONFIG, FittedShop

from features.visibility import Visible, before
from recsys.cuts import Cuts, positional_cuts
from recsys.fitting import Fitted, fit_and_test, rank_all
from recsys.recommender import Recommender, Reranking
from recsys.rerank_config import RerankConfig, Rule
from recsys.shown_lists import Circumstances, ShopWishes, asked_at, evaluate_shown, shown_to_all
from recsys.tower_fitting import fit_each
from recsys.world import ShopTables, World, build_world

OFF = ShopWishes(config=RerankConfig(suppress_brand=0, suppress_aspect=0))


@dataclasses.dataclass(frozen=True)
class AtTheTest:
    tables: ShopTables
    fitted: Fitted
    recommender: Recommender
    world: World
    visible: Visible
    around: Circumstances

    def shown(self, wishes: ShopWishes, **more: int) -> np.ndarray:
        ranked = rank_all(self.world, self.recommender)
        return shown_to_all(self.recommender, self.world, ranked, self.around, wishes, **more)


def with_opinions(tables: ShopTables) -> ShopTables:
    """Every review speaks of sound, which every other item lacks: there are complaints of it."""
    items = tables.signals.join(tables.reviews, on="review_id", maintain_order="left")["item_id"]
    aspects = [
        [
            {
                "aspect": "sound",
                "polarity": -0.9 if int(item[1:]) % 2 else 0.9,
                "confidence": 1.0,
                "start": 0,
                "end": 5,
            }
        ]
        for item in items
    ]
    column = pl.Series("aspects", aspects, dtype=tables.signals.schema["aspects"])
    return dataclasses.replace(tables, signals=tables.signals.with_columns(column))


@pytest.fixture(scope="module")
def tested(shop: FittedShop) -> AtTheTest:
    tables = with_opinions(shop.tables)
    cuts = positional_cuts(
        tables.events, tables.reviews, num_learned=CONFIG.label_positions, as_of=None
    )
    of_test = Cuts(learned=cuts.learned, test=cuts.test, final=cuts.test)
    fitted = fit_and_test(
        tables, of_test, CONFIG, fit_each, wishes=ShopWishes(config=RerankConfig())
    )
    assert fitted.recommender is not None
    assert fitted.world is not None
    around = Circumstances.of(fitted.recommender, fitted.world, cuts.test, tables.signals.lazy())
    return AtTheTest(tables, fitted, fitted.recommender, fitted.world, cuts.test, around)


def test_without_wishes_the_rankers_order_is_shown(tested: AtTheTest) -> None:
    measured = evaluate_shown(tested.world, tested.shown(OFF))
    ranker = tested.fitted.evaluated["ranker"]
    # Equal scores rank what is wanted last in the ranker's figures, and as they come in a list.
    assert (measured.ndcg >= ranker.ndcg - 1e-9).all()
    assert measured.metrics["recall@100"] == pytest.approx(ranker.metrics["recall@100"])


def test_a_fit_measures_what_its_lists_show(tested: AtTheTest) -> None:
    wanted = evaluate_shown(tested.world, tested.shown(ShopWishes(config=RerankConfig())))
    assert tested.fitted.shown is not None
    assert tested.fitted.shown.metrics == pytest.approx(wanted.metrics)
    assert set(tested.fitted.shown.metrics) == set(tested.fitted.metrics["ranker"])
    assert "shown" not in tested.fitted.metrics, "neither a source, a peer nor the ranker"


def test_each_list_is_that_of_the_answer(tested: AtTheTest) -> None:
    config = RerankConfig(diversity=0.3, brand_cap=3, exploration=0.2, suppress_aspect=1.0)
    shown = tested.shown(ShopWishes(config=config), seed=5)
    assert len({tuple(row) for row in shown.tolist()}) > 10
    for row in (0, 7, 41):
        user, now = tested.world.asked[row], int(tested.around.asked_at[row])
        name = str(tested.world.population.users.ids[user])
        reranking = Reranking(
            config=config,
            shelf=tested.around.shelf,
            now=now,
            seed=(5, row),
            complaints=tested.around.complaints.of_user(name, now, config.half_life_days),
        )
        query = tested.world.population.query(np.array([user]))
        wanted = tested.recommender.recommend(query, shown.shape[1], reranking).item_idx
        found = shown[row][shown[row] >= 0]
        assert found.tolist() == wanted.tolist()


def test_complaints_of_the_past_move_lists(tested: AtTheTest) -> None:
    heard = RerankConfig(suppress_brand=0, suppress_aspect=1.0)
    changed = (tested.shown(OFF) != tested.shown(ShopWishes(config=heard))).any(1)
    users = tested.world.population.users.ids[tested.world.asked]
    assert changed.any()
    spoke = {user for user in users.tolist() if user in tested.around.complaints.spans}
    assert set(users[changed].tolist()) <= spoke


def test_rules_take_items_out_and_nothing_bought_is_shown(tested: AtTheTest) -> None:
    rules = (Rule(factor=0.0, brands=("b1",)),)
    shown = tested.shown(dataclasses.replace(OFF, rules=rules))
    brands = tested.recommender.item_profiles["brand"].to_numpy()
    assert "b1" in brands
    assert not (brands[shown[shown >= 0]] == "b1").any()
    for row, user in enumerate(tested.world.asked):
        bought = tested.world.population.query(np.array([user])).bought.item_idx
        assert not np.isin(shown[row], bought).any()
        listed = shown[row][shown[row] >= 0]
        assert len(np.unique(listed)) == len(listed)


def test_a_question_is_put_before_its_answer(tested: AtTheTest) -> None:
    targets = tested.visible.targets
    users = tested.world.population.users.ids[tested.world.asked]
    bought = dict(zip(targets["user_id"], targets["event_time"].dt.epoch("us"), strict=True))
    for user, now in zip(users.tolist(), tested.around.asked_at.tolist(), strict=True):
        assert now <= bought[user]
    split = before(
        tested.tables.events,
        tested.tables.reviews,
        as_of=tested.tables.events["event_time"].quantile(0.8),  # type: ignore[arg-type]
    )
    world = build_world(tested.tables, split)
    cut = int(split.as_of.timestamp() * 1_000_000)
    assert asked_at(world, split).tolist() == [cut] * len(world.asked)


def test_what_comes_later_changes_no_list(tested: AtTheTest) -> None:
    """Reviews of held-out purchases say nothing to the lists: strip them, and all is the same."""
    reviews = tested.tables.reviews.join(tested.visible.reviews, on="review_id", how="anti")
    signals = tested.tables.signals.join(reviews, on="review_id", how="anti")
    assert len(signals) < len(tested.tables.signals)
    around = Circumstances.of(tested.recommender, tested.world, tested.visible, signals.lazy())
    both = (around.shelf.aspects, tested.around.shelf.aspects)
    np.testing.assert_array_equal(*(aspects.toarray() for aspects in both))
    assert around.complaints.spans == tested.around.complaints.spans
