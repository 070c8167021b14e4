import pytest
from polars.testing import assert_frame_equal
from rows import day, events, reviews, signals

from features.histories import BROWSE_WEIGHTS, browse_history, browse_log, purchase_history
from features.visibility import everything


def test_purchases_carry_the_last_own_review() -> None:
    seen = events(
        {"user_id": "u", "item_id": "b", "day": 2, "seq": 1},
        {"user_id": "u", "item_id": "a", "day": 2, "seq": 0},
        {"user_id": "u", "item_id": "a", "day": 3, "seq": 9},
        {"user_id": "v", "item_id": "b", "day": 1, "seq": 5},
        {"user_id": "v", "item_id": "a", "event_type": "view", "day": 1},
    )
    felt = reviews(
        {"review_id": "late", "user_id": "u", "item_id": "a", "rating": 1.0, "day": 9, "seq": 2},
        {"review_id": "early", "user_id": "u", "item_id": "a", "rating": 5.0, "day": 9, "seq": 1},
        {"review_id": "other's", "user_id": "w", "item_id": "b", "rating": 2.0, "day": 9},
    )
    history = purchase_history(
        everything(seen, felt, as_of=day(10)), signals({"late": -0.7, "early": 0.9}).lazy()
    )
    assert history.select("user_id", "item_id", "seq", "stars").rows() == [
        ("u", "a", 0, 1.0),
        ("u", "b", 1, None),
        ("v", "b", 5, None),
    ]
    assert history["polarity"].to_list() == [pytest.approx(-0.7), None, None]


def test_a_review_after_the_cut_is_not_felt() -> None:
    seen = events({"user_id": "u", "item_id": "a", "day": 1})
    felt = reviews({"review_id": "r", "user_id": "u", "item_id": "a", "rating": 1.0, "day": 5})
    now, later = (
        purchase_history(everything(seen, felt, as_of=day(days)), signals({"r": -1.0}).lazy())
        for days in (5, 6)
    )
    assert now["polarity"].to_list() == now["stars"].to_list() == [None]
    assert later["polarity"].to_list() == [-1.0]


def test_browsing_adds_up_and_keeps_the_last_time() -> None:
    seen = events(
        {"user_id": "u", "item_id": "a", "event_type": "cart", "day": 3, "seq": 0},
        {"user_id": "u", "item_id": "b", "event_type": "wishlist", "day": 2, "seq": 1},
        {"user_id": "u", "item_id": "a", "event_type": "view", "day": 1, "seq": 2},
        {"user_id": "u", "item_id": "a", "event_type": "impression", "day": 4, "seq": 3},
        {"user_id": "u", "item_id": "a", "event_type": "purchase", "day": 4, "seq": 4},
        {"user_id": "u", "item_id": "c", "event_type": "dismiss", "day": 4, "seq": 5},
    )
    history = browse_history(browse_log(everything(seen, reviews(), as_of=day(9))))
    assert history.rows() == [
        ("u", "b", day(2), 1, BROWSE_WEIGHTS["wishlist"]),
        ("u", "a", day(3), 0, BROWSE_WEIGHTS["cart"] + BROWSE_WEIGHTS["view"]),
    ]


def test_empty_tables_have_empty_histories_of_the_same_shape() -> None:
    some = everything(
        events(
            {"user_id": "u", "item_id": "a", "day": 1},
            {"user_id": "u", "item_id": "a", "event_type": "view", "day": 1},
        ),
        reviews(),
        as_of=day(9),
    )
    none = everything(events(), reviews(), as_of=day(9))
    felt = signals({}).lazy()
    assert_frame_equal(purchase_history(none, felt), purchase_history(some, felt).clear())
    assert_frame_equal(browse_history(browse_log(none)), browse_history(browse_log(some)).clear())
