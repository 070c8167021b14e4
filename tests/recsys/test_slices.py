"""Groups of users and items: nobody lost, nobody counted twice, figures those of the group."""

from dataclasses import replace

import polars as pl
import pytest
from tiny_shop import FittedShop

from recsys.evaluation import Evaluated, evaluate_source
from recsys.slices import (
    BRAND_SIZES,
    Slice,
    brand_exposure,
    by_history,
    by_item_purchases,
    by_item_reviews,
    by_user_group,
    spread,
)
from recsys.world import World


@pytest.fixture(scope="module")
def measured(shop: FittedShop) -> Evaluated:
    return evaluate_source(shop.world, shop.retrieval.sources[1])


def test_buckets_hold_everybody_once(shop: FittedShop, measured: Evaluated) -> None:
    histories = by_history(shop.world, measured)
    assert sum(found.num for found in histories) == len(shop.world.asked)
    weighted = sum(found.num * found.ndcg for found in histories) / len(shop.world.asked)
    assert weighted == pytest.approx(measured.metrics["ndcg@10"])
    for slices in (by_item_reviews(shop.world, measured), by_item_purchases(shop.world, measured)):
        assert sum(found.num for found in slices) == len(shop.world.target_item)
        assert all(found.low <= found.ndcg <= found.high for found in slices)
        weighted = sum(found.num * found.recall_100 for found in slices)
        assert weighted == pytest.approx((measured.ranks < 100).sum())


def test_a_bucket_is_told_by_what_is_visible(shop: FittedShop, measured: Evaluated) -> None:
    world = shop.world
    bought = world.population.bought.popularity()[world.target_item]
    wanted = {
        "0": (bought == 0).sum(),
        "1": (bought == 1).sum(),
        "2-5": ((bought >= 2) & (bought <= 5)).sum(),
        "more": (bought > 5).sum(),
    }
    found = {part.group: part.num for part in by_item_purchases(world, measured)}
    assert found == {group: num for group, num in wanted.items() if num}


def test_groups_of_users(shop: FittedShop, measured: Evaluated) -> None:
    world = shop.world
    ids = [str(user) for user in world.population.users.ids[world.asked]]
    known = ids[: len(ids) - 3]
    groups = pl.DataFrame(
        {"user_id": known, "group": ["x" if place % 3 else "y" for place in range(len(known))]}
    )
    found = {part.group: part for part in by_user_group(world, measured, groups)}
    assert [part.num for part in found.values()] == sorted(
        (part.num for part in found.values()), reverse=True
    )
    assert found["unknown"].num == 3
    of_y = [place for place in range(len(known)) if place % 3 == 0]
    assert found["y"].num == len(of_y)
    assert found["y"].ndcg == pytest.approx(measured.ndcg[of_y].mean())


def test_shares_of_brands_add_up(shop: FittedShop, measured: Evaluated) -> None:
    found = brand_exposure(shop.world, measured)
    for name in ("items", "purchases", "places", "targets"):
        assert sum(getattr(part, name) for part in found) == pytest.approx(1.0)
    assert {part.group for part in found} <= set(BRAND_SIZES)


def test_brands_are_told_apart_by_their_items(shop: FittedShop, measured: Evaluated) -> None:
    profiles = shop.world.item_profiles
    brands = ["alone", "two", "two", *[None] * (len(profiles) - 3)]
    world = _with_brands(shop, brands)
    found = {part.group: part for part in brand_exposure(world, measured)}
    assert found["1 item"].items == pytest.approx(1 / len(profiles))
    assert found["2-5 items"].items == pytest.approx(2 / len(profiles))
    assert found["no brand"].items == pytest.approx(1 - 3 / len(profiles))
    shown = measured.lists[measured.lists >= 0]
    assert found["1 item"].places == pytest.approx((shown == 0).mean())


def test_the_spread_leaves_out_small_groups() -> None:
    def part(num: int, ndcg: float) -> Slice:
        return Slice(group="g", num=num, ndcg=ndcg, low=0.0, high=1.0, recall_100=0.0)

    assert spread([part(100, 0.2), part(100, 0.5), part(3, 0.9)]) == pytest.approx(0.3)
    assert spread([part(3, 0.9)]) == 0.0


def _with_brands(shop: FittedShop, brands: list[str | None]) -> World:

    profiles = shop.world.item_profiles.with_columns(brand=pl.Series(brands, dtype=pl.String))
    return replace(shop.world, item_profiles=profiles)
