import polars as pl
import pytest
from rows import day, events, items, reviews, signals

from features import profiles as built
from features.visibility import Visible, everything

AS_OF = day(100)
ITEMS = items(
    {"item_id": "a", "title": "A", "categories": ["x", "y"], "price_cents": 1000, "brand": "B"},
    {"item_id": "b", "categories": ["x"], "price_cents": 3000, "created_at": day(40)},
    {"item_id": "untouched", "categories": ["z"]},
)
EVENTS = events(
    {"user_id": "u", "item_id": "a", "event_type": "view", "day": 5},
    {"user_id": "u", "item_id": "a", "event_type": "view", "day": 6},
    {"user_id": "u", "item_id": "a", "event_type": "cart", "day": 6},
    {"user_id": "u", "item_id": "a", "day": 9, "quantity": 2, "price_cents": 900},
    {"user_id": "v", "item_id": "a", "day": 10},
    {"user_id": "u", "item_id": "a", "day": 70},
    {"user_id": "u", "item_id": "b", "day": 99, "price_cents": 3100},
    {"user_id": "u", "item_id": "a", "event_type": "return", "day": 99},
    {"user_id": "w", "item_id": None, "event_type": "search", "query": "q", "day": 99},
)
REVIEWS = reviews(
    {"review_id": "good", "user_id": "u", "item_id": "a", "rating": 5.0, "day": 20},
    {"review_id": "bad", "user_id": "v", "item_id": "a", "rating": 2.0, "day": 30},
    {"review_id": "wordless", "user_id": "w", "item_id": "a", "rating": 2.0, "day": 25},
    {"review_id": "ticket", "user_id": "u", "item_id": None, "rating": 1.0, "day": 26},
    {"review_id": "mild", "user_id": "u", "item_id": "b", "rating": 3.0, "day": 99},
)
POLARITY = {"good": 0.8, "bad": -0.6, "ticket": -0.9, "mild": -0.1}


def item_profiles(items_: pl.LazyFrame, seen: Visible, felt: pl.LazyFrame) -> pl.DataFrame:
    return built.item_profiles(items_, built.visible_state(items_, seen, felt), seen.as_of)


def user_profiles(items_: pl.LazyFrame, seen: Visible, felt: pl.LazyFrame) -> pl.DataFrame:
    state = built.visible_state(items_, seen, felt)
    turned = built.user_affinities(items_, state, seen.as_of)
    return built.user_profiles(state, seen.as_of, turned)


def visible(seen: pl.DataFrame = EVENTS, felt: pl.DataFrame = REVIEWS) -> Visible:
    return everything(seen, felt, as_of=AS_OF)


@pytest.fixture(scope="module")
def of_items() -> dict[str, dict]:
    profiles = item_profiles(ITEMS.lazy(), visible(), signals(POLARITY).lazy())
    return {row["item_id"]: row for row in profiles.to_dicts()}


@pytest.fixture(scope="module")
def of_users() -> dict[str, dict]:
    profiles = user_profiles(ITEMS.lazy(), visible(), signals(POLARITY).lazy())
    return {row["user_id"]: row for row in profiles.to_dicts()}


# The shop: stars 5, 2, 2, 3 (mean 3), polarity 0.8, -0.6, -0.1 (mean 1/30), one of three negative.
@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        (
            "a",
            {
                "num_purchases": 3,
                "num_purchases_30d": 1,
                "num_purchases_90d": 2,
                "num_views": 2,
                "num_carts": 1,
                "num_returns": 1,
                "num_reviews": 3,
                "conversion": 1.5,
                "return_rate": 1 / 3,
                "stars_mean": 3.0,
                "polarity_mean": 0.1,
                "polarity_std": 0.7 * 2**0.5,
                "controversy": 1.0,
                "age_days": 95.0,
                "days_since_review": 70.0,
                "polarity_trend": None,
                "polarity_drift": 0.0,
                "stars_borrowed_from": None,
                "as_of": AS_OF,
            },
        ),
        (
            "b",
            {
                "num_purchases": 1,
                "num_views": 0,
                "conversion": None,
                "return_rate": 0.0,
                "polarity_std": None,
                "controversy": 0.0,
                "age_days": 60.0,
            },
        ),
        (
            "untouched",
            {
                "num_purchases": 0,
                "num_purchases_30d": 0,
                "num_reviews": 0,
                "conversion": None,
                "return_rate": 0.0,
                "stars_mean": None,
                "polarity_mean": None,
                # Items differ by no more than chance: all are what the shop is.
                "stars_smoothed": 3.0,
                "polarity_smoothed": 1 / 30,
                "negative_share": 1 / 3,
                "stars_own_share": 0.0,
                "stars_borrowed_from": "shop",
                "num_needs": 0,
                "age_days": None,
                "days_since_review": None,
            },
        ),
    ],
)
def test_item_profile(of_items: dict[str, dict], item: str, wanted: dict) -> None:
    for name, value in wanted.items():
        near = pytest.approx(value, abs=1e-6) if isinstance(value, float) else value
        assert of_items[item][name] == near, name


@pytest.mark.parametrize(
    ("user", "wanted"),
    [
        (
            "u",
            {
                "num_purchases": 3,
                "num_views": 2,
                "num_carts": 1,
                "num_returns": 1,
                "num_reviews": 3,
                "spend_cents": 2 * 900 + 1000 + 3100,
                "mean_price_cents": (900 + 1000 + 3100) / 3,
                "days_since_last": 1.0,
                "stars_mean": 3.0,
                "polarity_mean": -0.2 / 3,
                "negative_share": 1 / 3,
                "stars_above_crowd": 1.0,
                "favourite_categories": ["x", "y"],
            },
        ),
        (
            "w",
            {
                "num_purchases": 0,
                "num_reviews": 1,
                "spend_cents": 0,
                "mean_price_cents": None,
                "polarity_mean": None,
                "negative_share": None,
                "stars_above_crowd": -1.0,
                "favourite_categories": None,
            },
        ),
    ],
)
def test_user_profile(of_users: dict[str, dict], user: str, wanted: dict) -> None:
    for name, value in wanted.items():
        near = pytest.approx(value, abs=1e-6) if isinstance(value, float) else value
        assert of_users[user][name] == near, name


@pytest.mark.parametrize(("age_days", "counted"), [(30, 1), (30.01, 0)])
def test_a_window_holds_its_first_instant(age_days: float, counted: int) -> None:
    seen = events({"user_id": "u", "item_id": "a", "day": 100 - age_days})
    profiles = item_profiles(ITEMS.lazy(), visible(seen), signals({}).lazy())
    assert profiles["num_purchases_30d"].to_list() == [counted, 0, 0]


def test_a_shop_without_reviews_has_profiles() -> None:
    profiles = item_profiles(ITEMS.lazy(), visible(felt=reviews()), signals({}).lazy())
    assert profiles["stars_smoothed"].to_list() == [None] * 3
    assert profiles["polarity_smoothed"].to_list() == [0.0] * 3
    assert profiles["negative_share"].to_list() == [0.0] * 3
    users = user_profiles(ITEMS.lazy(), visible(felt=reviews()), signals({}).lazy())
    assert users["num_reviews"].to_list() == [0, 0, 0]
    assert users["stars_mean"].to_list() == [None] * 3


def test_texts_without_any_stars_say_nothing_of_stars() -> None:
    felt = reviews({"review_id": "good", "user_id": "u", "item_id": "a", "day": 1})
    profiles = item_profiles(ITEMS.lazy(), visible(felt=felt), signals({"good": 0.9}).lazy())
    assert profiles["stars_smoothed"].to_list() == [None] * 3


def test_a_wordless_review_has_stars_and_no_polarity() -> None:
    felt = signals({"good": 0.8, "wordless": 0.0})
    without = felt.with_columns(
        embedding=pl.when(pl.col("review_id") != "wordless").then(pl.col("embedding"))
    )
    profile = item_profiles(ITEMS.lazy(), visible(), without.lazy()).row(0, named=True)
    assert profile["polarity_mean"] == pytest.approx(0.8)
    assert profile["stars_mean"] == pytest.approx(3.0)


def test_more_returns_than_purchases_are_a_rate_of_one() -> None:
    seen = events(
        {"user_id": "u", "item_id": "a", "day": 1},
        {"user_id": "u", "item_id": "a", "event_type": "return", "day": 2},
        {"user_id": "u", "item_id": "a", "event_type": "return", "day": 3},
        {"user_id": "u", "item_id": "b", "event_type": "return", "day": 3},
    )
    profiles = item_profiles(ITEMS.lazy(), visible(seen), signals({}).lazy())
    assert profiles["return_rate"].to_list() == [1.0, 0.0, 0.0]


def test_a_reviewer_without_events_has_a_profile() -> None:
    felt = reviews({"user_id": "reader", "item_id": "a", "rating": 4.0, "day": 1})
    profiles = user_profiles(ITEMS.lazy(), visible(events(), felt), signals({}).lazy())
    row = profiles.row(0, named=True)
    assert (row["user_id"], row["num_purchases"], row["num_reviews"]) == ("reader", 0, 1)
    assert row["as_of"] == AS_OF
