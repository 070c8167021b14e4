"""Lookalikes and audiences, in the space of a fitted shop."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from segment_shop import NOW, compiled, parsed, tables_of
from tiny_shop import FittedShop

from features.histories import browse_history, browse_log, purchase_history
from features.visibility import everything
from recsys.errors import SegmentError
from recsys.segments.compiling import compile_condition
from recsys.segments.conditions import Audience
from recsys.segments.selecting import members
from recsys.segments.tower_space import TowerSpace


@pytest.fixture(scope="module")
def space(shop: FittedShop) -> TowerSpace:
    """All users of the shop; those whose id ends in an even digit will be satisfied."""
    visible = everything(shop.tables.events, shop.tables.reviews, as_of=NOW)

    def satisfaction(category: str, users: pl.Series) -> np.ndarray:
        return np.where(users.str.slice(-1).cast(pl.Int64).to_numpy() % 2 == 0, 0.9, 0.2)

    assert shop.fitted.recommender is not None
    return TowerSpace.of(
        shop.fitted.recommender,
        purchase_history(visible, shop.tables.signals.lazy()),
        browse_history(browse_log(visible)),
        satisfaction,
    )


def test_lookalikes_are_the_nearest_and_no_seeds(space: TowerSpace) -> None:
    seeds = pl.Series(space.users.ids[:5].tolist())

    found = space.lookalikes(seeds, top=10, include_seeds=False)
    near = found.filter("value")
    far = found.filter(~pl.col("value") & ~pl.col("user_id").is_in(seeds.implode()))

    assert len(near) == 10
    assert near["score"].min() >= far["score"].max()  # type: ignore[operator]
    assert not near["user_id"].is_in(seeds.implode()).any()
    assert found["score"].is_between(-1.0001, 1.0001).all()


def test_of_one_seed_the_nearest_is_itself_where_it_is_asked(space: TowerSpace) -> None:
    seed = str(space.users.ids[3])

    found = space.lookalikes(pl.Series([seed]), top=1, include_seeds=True)

    assert found.filter("value")["user_id"].to_list() == [seed]


def test_seeds_without_a_history_say_nothing(space: TowerSpace) -> None:
    with pytest.raises(SegmentError, match="none of the 2 seeds bought or browsed"):
        space.lookalikes(pl.Series(["x", "y"]), top=1, include_seeds=False)


def test_an_audience_wants_and_will_love_the_item(space: TowerSpace) -> None:
    item = str(space.recommender.items.ids[0])
    bought = set(space.users.ids[space.bought.user_idx[space.bought.item_idx == 0]])
    asked = Audience(audience=item, top=8, min_satisfaction=0.5)

    found = space.audience(asked, where="here")
    chosen = found.filter("value")

    assert len(chosen) == 8
    assert not set(chosen["user_id"]) & bought
    assert (chosen["user_id"].str.slice(-1).cast(pl.Int64) % 2 == 0).all()
    assert found["score"].is_between(0, 1).all()
    everybody = space.audience(Audience(audience=item, top=10_000, include_buyers=True), where="")
    assert everybody["value"].all()


def test_an_item_that_the_bundle_does_not_know(space: TowerSpace) -> None:
    with pytest.raises(SegmentError, match="here: the live bundle has no item 'none of ours'"):
        space.audience(Audience(audience="none of ours", top=1), where="here")


def test_a_condition_of_the_space_joins_others(space: TowerSpace) -> None:
    users = space.users.ids.tolist()
    profiles = pl.LazyFrame(
        {"user_id": users, "x": np.arange(len(users), dtype=float), "as_of": [NOW] * len(users)}
    )
    tables = tables_of(user_profiles=profiles)
    where: dict[str, Any] = {
        "all": [
            {"lookalike": {"profile": "x", "below": 3}, "top": 12},
            {"profile": "x", "at_least": 20},
        ]
    }

    asked = compile_condition(parsed(where), tables, where="here", near=lambda: space)
    found = set(members(asked, tables).collect()["user_id"])

    seeds = pl.Series(users[:3])
    near = space.lookalikes(seeds, top=12, include_seeds=False).filter("value")["user_id"]
    assert found == set(near) & set(users[20:])
    with pytest.raises(SegmentError, match="needs a live bundle"):
        compiled(where, tables)
