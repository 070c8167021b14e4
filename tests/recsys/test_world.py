"""The built world sees no more than is visible: leakage through every feature at once."""

import dataclasses
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tiny_shop import AS_OF, NUM_ITEMS, NUM_USERS, FittedShop, tiny_shop

from features.visibility import Visible, everything, first_purchases, hold_out
from recsys.evaluation import evaluate_source
from recsys.grades import BOUGHT, DISLIKED, LOVED
from recsys.sources import PopularSource
from recsys.world import ShopTables, World, build_world

TABLES = tiny_shop(seed=3)
CUT = TABLES.events["event_time"].sort()[len(TABLES.events) // 2]


def assert_same_world(left: World, right: World) -> None:
    """Equal to the last bit where sums are of the same rows in the same order."""
    assert left.items.ids.tolist() == right.items.ids.tolist()
    assert left.population.users.ids.tolist() == right.population.users.ids.tolist()
    for kind in ("bought", "browsed"):
        one, other = getattr(left.population, kind), getattr(right.population, kind)
        for field in dataclasses.fields(one):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
    np.testing.assert_allclose(left.population.user, right.population.user, atol=1e-6)
    for field in dataclasses.fields(left.features):
        one, other = getattr(left.features, field.name), getattr(right.features, field.name)
        if field.name == "rarity":
            assert one is None
            assert other is None
            continue
        np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_allclose(left.text, right.text, atol=1e-6)
    assert_frame_equal(left.item_profiles, right.item_profiles, abs_tol=1e-9)
    assert_frame_equal(left.user_profiles, right.user_profiles, abs_tol=1e-9)


@st.composite
def later_rows(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Copies of rows of the shop, moved to the cut or beyond it, by other users, of other items."""
    delay = draw(st.integers(0, 3000))
    users = st.sampled_from([f"u{user:02}" for user in range(NUM_USERS)])
    item = st.sampled_from([f"i{item:02}" for item in range(NUM_ITEMS)])

    def moved(table: pl.DataFrame, key: str) -> pl.DataFrame:
        rows = draw(st.lists(st.integers(0, len(table) - 1), max_size=20, unique=True))
        return table[rows].with_columns(
            pl.lit(CUT + timedelta(hours=delay)).alias("event_time"),
            pl.lit(draw(users)).alias("user_id"),
            pl.lit(draw(item)).alias("item_id"),
            pl.format("later-{}", key).alias(key),
        )

    return moved(TABLES.events, "event_id"), moved(TABLES.reviews, "review_id")


@settings(max_examples=10)
@given(later_rows())
def test_strict_what_comes_after_the_cut_changes_nothing(
    later: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    events, reviews = later
    signals = TABLES.signals.join(reviews.select(pl.col("review_id").str.slice(6)), on="review_id")
    more = dataclasses.replace(
        TABLES,
        events=pl.concat([TABLES.events, events]),
        reviews=pl.concat([TABLES.reviews, reviews]),
        signals=pl.concat(
            [
                TABLES.signals,
                signals.with_columns(pl.format("later-{}", "review_id").alias("review_id")),
            ]
        ),
    )
    plain, extended = (
        build_world(tables, everything(tables.events, tables.reviews, as_of=CUT))
        for tables in (TABLES, more)
    )
    assert_same_world(plain, extended)


def change_reviews_of_targets(tables: ShopTables, visible: Visible) -> ShopTables:
    """Turn the held-out reviews around: stars, time, polarity and embedding."""
    held = tables.reviews.join(visible.targets, on=["user_id", "item_id"], how="semi")
    assert len(held) > 10
    is_held = pl.col("review_id").is_in(held["review_id"].to_list())
    dim = tables.signals.schema["embedding"].shape[0]  # type: ignore[attr-defined]
    turned = pl.lit([1.0] * dim, dtype=pl.Array(pl.Float32, dim))
    return dataclasses.replace(
        tables,
        reviews=tables.reviews.with_columns(
            rating=pl.when(is_held).then(6 - pl.col("rating")).otherwise("rating"),
            event_time=pl.when(is_held)
            .then(pl.col("event_time") - timedelta(days=400))
            .otherwise("event_time"),
        ),
        signals=tables.signals.with_columns(
            polarity=pl.when(is_held).then(-pl.col("polarity")).otherwise("polarity"),
            embedding=pl.when(is_held).then(turned).otherwise("embedding"),
        ),
    )


def move_targets_later(tables: ShopTables, visible: Visible) -> ShopTables:
    """Put what is held out years later, at another price, several at a time."""
    held = ~pl.col("event_id").is_in(visible.events["event_id"].to_list())
    events = tables.events.with_columns(held=held)
    return dataclasses.replace(
        tables,
        events=events.with_columns(
            event_time=pl.when("held")
            .then(pl.col("event_time") + timedelta(days=900))
            .otherwise("event_time"),
            price_cents=pl.when("held").then(1).otherwise("price_cents"),
            quantity=pl.when("held").then(99).otherwise("quantity"),
        ).drop("held"),
    )


def add_later_events_of_asked_users(tables: ShopTables, visible: Visible) -> ShopTables:
    """Let every asked user browse, return and buy known things again after the question."""
    last = TABLES.events["event_time"].sort()[-1]
    again = visible.events.join(visible.targets, on="user_id", how="semi").with_columns(
        event_id=pl.format("again-{}", "event_id"), event_time=pl.lit(last + timedelta(days=1))
    )
    kinds = [
        again.with_columns(event_type=pl.lit(kind), event_id=pl.format(f"{kind}-{{}}", "event_id"))
        for kind in ("view", "cart", "return", "purchase")
    ]
    return dataclasses.replace(tables, events=pl.concat([tables.events, *kinds]))


def replace_the_targets(tables: ShopTables, visible: Visible) -> ShopTables:
    """Let every asked user have bought the same other thing, which nobody had before."""
    keys = visible.targets.select("user_id", "item_id", held=pl.lit(True))
    new = pl.when("held").then(pl.lit("new")).otherwise("item_id")
    is_purchase = pl.col("event_type") == "purchase"
    events = tables.events.join(keys, on=["user_id", "item_id"], how="left").with_columns(
        item_id=pl.when(is_purchase).then(new).otherwise("item_id")
    )
    reviews = tables.reviews.join(keys, on=["user_id", "item_id"], how="left")
    return dataclasses.replace(
        tables,
        events=events.drop("held"),
        reviews=reviews.with_columns(item_id=new).drop("held"),
    )


@pytest.mark.parametrize("offset", [1, 2])
@pytest.mark.parametrize(
    "change",
    [
        change_reviews_of_targets,
        move_targets_later,
        add_later_events_of_asked_users,
        replace_the_targets,
    ],
)
def test_positional_what_is_held_out_changes_nothing(change, offset: int) -> None:
    # The shop knows the item that replaces the targets; nobody has touched it.
    item = TABLES.items.head(1).with_columns(item_id=pl.lit("new"))
    tables = dataclasses.replace(TABLES, items=pl.concat([TABLES.items, item]))
    visible = hold_out(tables.events, tables.reviews, offset=offset)
    changed = change(tables, visible)
    seen = hold_out(changed.events, changed.reviews, offset=offset)

    assert visible.targets["user_id"].to_list() == seen.targets["user_id"].to_list()
    assert_same_world(build_world(tables, visible), build_world(changed, seen))


def test_the_tests_above_would_see_a_leak() -> None:
    visible = hold_out(TABLES.events, TABLES.reviews, offset=1)
    leaky = dataclasses.replace(visible, reviews=TABLES.reviews)
    changed = change_reviews_of_targets(TABLES, visible)
    with pytest.raises(AssertionError):
        assert_same_world(
            build_world(TABLES, leaky),
            build_world(changed, dataclasses.replace(leaky, reviews=changed.reviews)),
        )


def test_questions_and_histories_do_not_overlap(shop: FittedShop) -> None:
    world = shop.world
    assert len(world.asked) == NUM_USERS
    assert np.diff(world.target_indptr).tolist() == [1] * NUM_USERS
    bought = world.population.bought.histories(world.asked)
    for b, target in enumerate(world.target_item):
        assert target not in bought.item_idx[bought.indptr[b] : bought.indptr[b + 1]]


def test_the_target_is_each_users_last_item(shop: FittedShop) -> None:
    firsts = first_purchases(shop.tables.events)
    last = dict(firsts.filter(pl.col("from_end") == 1).select("user_id", "item_id").rows())
    world = shop.world
    asked = world.population.users.ids[world.asked]
    assert dict(zip(asked, world.items.ids[world.target_item], strict=True)) == last


def test_several_targets_a_user_stay_with_their_user() -> None:
    visible = Visible(
        events=TABLES.events,
        reviews=TABLES.reviews,
        targets=pl.DataFrame(
            {
                "user_id": ["u05", "u01", "u05", "nobody", "u01"],
                "item_id": ["i03", "i00", "i01", "i02", "nothing"],
                "event_time": [AS_OF] * 5,
            }
        ),
        as_of=AS_OF,
    )
    world = build_world(TABLES, visible)
    assert world.population.users.ids[world.asked].tolist() == ["u01", "u05"]
    assert world.target_indptr.tolist() == [0, 1, 3]
    assert world.items.ids[world.target_item].tolist() == ["i00", "i03", "i01"]


def test_targets_are_graded_by_what_the_tables_tell_of_them() -> None:
    visible = hold_out(TABLES.events, TABLES.reviews, offset=1)
    firsts = first_purchases(TABLES.events).select("user_id", "item_id", bought="event_time")
    targets = visible.targets.join(firsts, on=["user_id", "item_id"])
    rated = TABLES.reviews.join(targets, on=["user_id", "item_id"], how="semi").drop_nulls("rating")
    stars = dict(rated.select("user_id", "rating").iter_rows())
    world = build_world(TABLES, visible)
    users = world.population.users.ids[world.asked]
    grades = dict(zip(users.tolist(), world.target_grade.tolist(), strict=True))
    assert len({grades[user] for user in stars}) == 2, "some loved it, some did not"
    for user, rating in stars.items():
        assert grades[user] == (LOVED if rating >= 4 else DISLIKED)
    nothing_told = dataclasses.replace(TABLES, reviews=TABLES.reviews.clear())
    assert set(build_world(nothing_told, visible).target_grade.tolist()) == {BOUGHT}


def test_other_questions_of_the_same_world(shop: FittedShop) -> None:
    world, last = shop.world, str(shop.world.items.ids[-1])
    stranger = TABLES.events.head(1).with_columns(user_id=pl.lit("stranger"), item_id=pl.lit(last))
    events = pl.concat([TABLES.events, stranger])
    visible = everything(TABLES.events, TABLES.reviews, as_of=AS_OF)
    tables = dataclasses.replace(TABLES, events=events)
    asked = build_world(tables, visible).asking_about(
        pl.DataFrame(
            {"user_id": ["stranger", "nobody", "stranger"], "item_id": [last, last, "no item"]}
        ),
        tables,
    )
    assert asked.population.users.ids[asked.asked].tolist() == ["stranger"]
    assert asked.target_item.tolist() == [len(world.items) - 1]
    assert asked.target_indptr.tolist() == [0, 1]
    assert len(asked.population.query(asked.asked).bought.item_idx) == 0
    found = evaluate_source(asked, PopularSource(name="p", popularity=np.arange(NUM_ITEMS) + 1.0))
    assert found.ranks.tolist() == [0.0]


def test_features_of_items_without_anything_known() -> None:
    tables = dataclasses.replace(
        TABLES,
        items=TABLES.items.with_columns(
            brand=pl.lit(None, pl.String), categories=pl.lit([], pl.List(pl.String))
        ),
    )
    features = build_world(tables, everything(tables.events, tables.reviews, as_of=AS_OF)).features
    assert (features.num_categories, features.num_brands) == (1, 1)
    assert features.category_indptr.tolist() == [0] * (NUM_ITEMS + 1)
    assert np.isfinite(features.dense).all()
